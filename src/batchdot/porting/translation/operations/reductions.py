"""Translations of functions of keras.ops and TensorFlow that sum over axes: reductions and products."""

from typing import Final

from batchdot.porting.errors import quote
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.operations.operands import (
    has_only,
    integers,
    rank_of,
    result,
    tensor,
)
from batchdot.porting.translation.registry import Forward, Result, computes
from batchdot.porting.translation.site import Site

REDUCTIONS: Final = {
    "sum": "sum", "mean": "mean", "max": "amax", "min": "amin", "prod": "prod", "any": "any", "all": "all",
    "var": "var", "std": "std", "logsumexp": "logsumexp", "argmax": "argmax", "argmin": "argmin",
}  # fmt: skip
"""Reductions as methods of a tensor."""


@computes(*REDUCTIONS, restriction="axes that are numbers")
def reduction(layer: Layer) -> Forward:
    """The method that does it."""
    name = layer.record.class_name

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis", "keepdims")
        x, axes = tensor(layer, site), integers(site, "axis")
        keep = site.arguments.get("keepdims") is True
        if axes is None and (keep or name in ("logsumexp", "max", "min")):
            axes = tuple(range(rank_of(x)))
        if axes is None and name.startswith("arg"):
            x = site.last(x)
        text = f"{x}.float()" if name in ("mean", "var", "std") and x.kind != "float" else str(x)
        kind = {"any": "bool", "all": "bool", "argmax": "int", "argmin": "int"}.get(name)
        made = result(site, _reduced(name, text, x, axes, keep), x, kind=kind or _summed(name, x))
        return made if axes is not None and _keeps_order(x, axes, keep) else _unordered(made)

    return forward


def _summed(name: str, x: Value) -> str:
    return "float" if name in ("mean", "var", "std") else "int" if x.kind == "bool" else x.kind


def _reduced(name: str, text: str, x: Value, axes: tuple[int, ...] | None, keep: bool) -> str:
    method = REDUCTIONS[name]
    more = ["correction=0"] if name in ("var", "std") else []
    if axes is None:
        return f"{text}.{method}({', '.join(more)})"
    places = [x.axis(axis) for axis in axes]
    more += ["keepdim=True"] if keep else []
    if name == "prod" or name.startswith("arg"):
        if name != "prod" and len(places) != 1:
            raise RefusedError(f"its axes are {axes}")
        for place in (
            sorted((place % rank_of(x) for place in places), reverse=True) if len(places) > 1 else places
        ):
            text += f".{method}({', '.join([str(place), *more])})"
        return text
    where = str(places[0]) if len(places) == 1 else literal(tuple(places))
    return f"{text}.{method}({', '.join([where, *more])})"


def _keeps_order(x: Value, axes: tuple[int, ...], keep: bool) -> bool:
    """Whether what a reduction leaves of a tensor has the order of axes of the tensor."""
    if not x.is_first or keep:
        return True
    rank = rank_of(x)
    gone = {axis % rank for axis in axes}
    return rank - 1 not in gone and rank - len(gone) > 2


def _unordered(value: Value) -> Value:
    return Value(value.text, value.shape, value.kind)


@computes("average")
def average(layer: Layer) -> Forward:
    """The mean; with weights of its shape or its last axis, the sum of products over the sum of weights."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis", "weights")
        x, axes = site.last(tensor(layer, site)), integers(site, "axis")
        where = "" if axes is None else str(axes[0]) if len(axes) == 1 else literal(axes)
        if site.arguments.get("weights") is None:
            return f"{x}.mean({where})"
        weights = site.last(tensor(layer, site, "weights"))
        if weights.rank == 1 and axes is not None and axes[0] in (-1, rank_of(x) - 1):
            return f"({x} * {weights}).sum({where}) / {weights}.sum()"
        if weights.rank != x.rank:
            raise RefusedError("its weights have another rank than its input")
        return f"({x} * {weights}).sum({where}) / {weights}.sum({where})"

    return forward


@computes("normalize", "l2_normalize")
def normalize(layer: Layer) -> Forward:
    """F.normalize; TensorFlow's epsilon is the least square."""
    is_square = layer.record.class_name == "l2_normalize"

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis", "order", "epsilon")
        x, axes = tensor(layer, site), integers(site, "axis")
        if axes is None or (len(axes) > 1 and not is_square):
            axes = tuple(range(rank_of(x)))
        epsilon, order = site.arguments["epsilon"], site.arguments.get("order", 2)
        if not isinstance(epsilon, (int, float)) or not isinstance(order, (int, float)):
            raise RefusedError(f"its epsilon is {quote(epsilon)}, its order {quote(order)}")
        floor = literal(float(f"{epsilon**0.5:.12g}") if is_square else epsilon)
        places = [x.axis(axis) for axis in axes]
        if len(places) > 1:
            length = f"torch.linalg.vector_norm({x}, dim={literal(tuple(places))}, keepdim=True)"
            return x.with_text(f"{x} / {length}.clamp(min={floor})")
        more = [] if order == 2 else [f"p={literal(order)}"]
        more += [f"dim={places[0]}", *([] if floor == "1e-12" else [f"eps={floor}"])]
        return x.with_text(f"F.normalize({x}, {', '.join(more)})")

    return forward


TRANSPOSED = ("transpose_x1", "transpose_x2", "adjoint_x1", "adjoint_x2")


@computes("matmul")
def matmul(layer: Layer) -> Forward:
    """``x @ y``."""

    def forward(site: Site) -> Result:
        has_only(site, "x1", "x2", *TRANSPOSED)
        parts = []
        for key in ("x1", "x2"):
            text = str(site.last(tensor(layer, site, key)))
            turned = any(site.arguments.get(f"{how}_{key}") for how in ("transpose", "adjoint"))
            parts.append(f"{text}.mT" if turned else text)
        return " @ ".join(parts)

    return forward


@computes("einsum")
def einsum(layer: Layer) -> Forward:
    """torch.einsum."""

    def forward(site: Site) -> Result:
        has_only(site, "subscripts", "operands")
        values = ", ".join(map(str, map(site.last, site.values("operands"))))
        return f"torch.einsum({literal(site.arguments['subscripts'])}, {values})"

    return forward


@computes("dot")
def dot(layer: Layer) -> Forward:
    """NumPy's dot: over the last axis and the last but one."""

    def forward(site: Site) -> Result:
        has_only(site, "x1", "x2")
        x, y = (site.last(tensor(layer, site, key)) for key in ("x1", "x2"))
        if rank_of(y) <= 2:
            return f"{x} @ {y}"
        return f"torch.tensordot({x}, {y}, dims=([-1], [-2]))"

    return forward


@computes("tensordot")
def tensordot(layer: Layer) -> Forward:
    """torch.tensordot."""

    def forward(site: Site) -> Result:
        has_only(site, "x1", "x2", "axes")
        x, y = (site.last(tensor(layer, site, key)) for key in ("x1", "x2"))
        axes = site.arguments.get("axes")
        if isinstance(axes, tuple):
            axes = tuple(list(part) if isinstance(part, tuple) else [part] for part in axes)  # type: ignore[misc]
        return f"torch.tensordot({x}, {y}, dims={literal(axes)})"

    return forward


@computes("cumsum")
def cumsum(layer: Layer) -> Forward:
    """``x.cumsum``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis", "dtype")
        x, axes = tensor(layer, site), integers(site, "axis")
        if axes is None:
            return f"{site.last(x)}.flatten().cumsum(0)"
        return x.with_text(f"{x}.cumsum({x.axis(axes[0])})")

    return forward
