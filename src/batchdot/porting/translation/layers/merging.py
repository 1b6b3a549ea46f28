"""Translations of Keras's folder ``merging``."""

from functools import reduce

from batchdot.planning.contraction import Contraction
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import FrozenMap
from batchdot.porting.record.classes.merging import dot_contraction
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

SIGNS = {"Add": " + ", "Subtract": " - ", "Multiply": " * "}
FUNCTIONS = {"Maximum": "torch.maximum", "Minimum": "torch.minimum"}


@translates("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
def merge(layer: Layer) -> Forward:
    """An operator, or a function of two, over all inputs in order."""
    kind = layer.record.class_name

    def forward(site: Site) -> Result:
        values = _spread(site)
        texts = [value.text for value in values]
        if kind in FUNCTIONS:
            text = reduce(lambda left, right: f"{FUNCTIONS[kind]}({left}, {right})", texts)
        elif kind == "Average":
            text = f"({' + '.join(texts)}) / {len(texts)}"
        else:
            text = SIGNS[kind].join(texts)
        return values[0].with_text(text)

    return forward


def _spread(site: Site) -> tuple[Value, ...]:
    """Return the inputs with one rank: Keras puts the axes that one lacks behind the batch."""
    values = site.alike(site.values())
    ranks = [value.rank for value in values]
    if len(set(ranks)) == 1 or None in ranks:
        return values
    most = max(rank for rank in ranks if rank is not None)
    spread = []
    for value in values:
        assert value.rank is not None
        missing = most - value.rank
        index = ", ".join([":", *["None"] * missing])
        spread.append(value.with_text(f"{value}[{index}]") if missing else value)
    return tuple(spread)


@translates("Concatenate")
def concatenate(layer: Layer) -> Forward:
    """torch.cat."""
    axis = layer.integer("axis")

    def forward(site: Site) -> Result:
        values = site.alike(site.values())
        text = f"torch.cat([{', '.join(map(str, values))}], dim={values[0].axis(axis)})"
        return values[0].with_text(text)

    return forward


MATRICES = {
    "ik,jk->ij": "{x} @ {y}.mT",
    "ik,kj->ij": "{x} @ {y}",
    "ki,kj->ij": "{x}.mT @ {y}",
    "ki,jk->ij": "{x}.mT @ {y}.mT",
}
"""Products of the last two axes of tensors that share all others."""

VECTORS = {"ik,k->i": "{x}", "ki,k->i": "{x}.mT", "k,ik->i": "{y}", "k,ki->i": "{y}.mT"}
"""The matrix of a product of a matrix and a vector."""


@translates("Dot", restriction="inputs of known rank")
def dot(layer: Layer) -> Forward:
    """The simplest product that means the same: of rows, of matrices, or torch.einsum."""
    if layer.flag("normalize") and layer.text("mode") == "dot":
        write = _cosine
    else:
        write = _product if layer.text("mode") == "dot" else _keras1_cosine
    if layer.with_batchdot and write is not _keras1_cosine:
        module = layer.module(_batchdot(layer))
        return lambda site: f"{module}({site.xs[0]}, {site.xs[1]})"
    return lambda site: write(layer, site, *_pair(site))


def _pair(site: Site) -> tuple[Value, Value]:
    if len(site.values()) != 2:
        raise RefusedError(f"it is called with {len(site.values())} tensors")
    x, y = site.xs
    return x, y


def _product(layer: Layer, site: Site, x: Value, y: Value, axes: tuple[int, ...] | None = None) -> str:
    """Return the product of two tensors along axes, default those of the layer."""
    contraction = _contraction(layer, x, y, axes)
    if contraction.einsum == "bk,bk->b":
        return f"({x} * {y}).sum(1, keepdim=True)"
    shared = contraction.subscripts[2][: len(contraction.shared)]
    inside = contraction.einsum
    if all(part.startswith(shared) for part in contraction.subscripts):
        inside = inside.replace(shared, "")
    if inside in MATRICES:
        text = MATRICES[inside].format(x=x, y=y)
        return f"torch.bmm({text.replace(' @ ', ', ')})" if _are_batches(x, y) else text
    if inside in VECTORS:
        vector = x if inside.startswith("k,") else y
        return f"({VECTORS[inside].format(x=x, y=y)} @ {vector}.unsqueeze(-1)).squeeze(-1)"
    return f'torch.einsum("{contraction.einsum}", {x}, {y})'


def _are_batches(x: Value, y: Value) -> bool:
    """Whether two tensors are matrices in batches of one size, for which torch.bmm takes less time than @."""
    both = x.shape, y.shape
    return (
        all(shape is not None and len(shape) == 3 for shape in both)
        and len({shape[0] for shape in both if shape}) == 1
    )


def _cosine(layer: Layer, site: Site, x: Value, y: Value) -> str:
    """Return the product of vectors that are scaled to length 1, or less where they are tiny."""
    eps = f"eps={literal(layer.number('floor') ** 0.5)}"
    contraction = _contraction(layer, x, y)
    if contraction.einsum == "bk,bk->b":
        return f"F.cosine_similarity({x}, {y}, dim=1, {eps}).unsqueeze(1)"
    ((x_axis, y_axis),) = contraction.contracted
    x_unit = site.named(x.with_text(f"F.normalize({x}, dim={x_axis}, {eps})"), "x")
    y_unit = site.named(y.with_text(f"F.normalize({y}, dim={y_axis}, {eps})"), "y")
    return _product(layer, site, x_unit, y_unit)


def _keras1_cosine(layer: Layer, site: Site, x: Value, y: Value) -> str:
    """Return Keras 1's cosine: of matrices, products are divided elementwise by those of their squares."""
    axes = _axes(layer)
    squares = [_product(layer, site, each, each, axes) for each in (x, y)]
    return f"quotient_of_products({_product(layer, site, x, y)}, {', '.join(squares)})"


def _axes(layer: Layer) -> tuple[int, int]:
    axes = layer.integers("axes")
    if len(axes) != 2:
        raise RefusedError("the ranks of its inputs are not known")
    return axes[0], axes[1]


def _contraction(layer: Layer, x: Value, y: Value, axes: tuple[int, ...] | None = None) -> Contraction:
    config = layer.config if axes is None else FrozenMap({**layer.config, "axes": axes})
    try:
        found = dot_contraction(config, (x.shape, y.shape))
    except (ValueError, IndexError) as error:
        raise RefusedError(f"its inputs do not fit: {error}") from None
    if found is None:
        raise RefusedError("the ranks of its inputs are not known")
    return found


def _batchdot(layer: Layer) -> str:
    """Return the constructor of the layer as batchdot has it."""
    arguments = [f"axes={_axes(layer)}"]
    if layer.flag("normalize"):
        arguments.append("normalize=True")
        if layer.number("floor") != 1e-12:
            arguments.append(f"epsilon={literal(layer.number('floor'))}")
    ranks = {len(shape) for shape in layer.input_shapes if shape is not None}
    if layer.text("rule") == "matmul" and len(ranks) == 1 and max(ranks) > 3:
        arguments.append(f"batch_dims={max(ranks) - 2}")
    return f"batchdot.Dot({', '.join(arguments)})"
