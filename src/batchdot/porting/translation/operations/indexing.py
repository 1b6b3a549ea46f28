"""Translations of functions of keras.ops and TensorFlow that select by indices."""

from batchdot.porting.errors import quote
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import EllipsisIndex, Slice
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.operations.operands import (
    has_only,
    integer,
    integers,
    is_tensor,
    operand,
    rank_of,
    result,
    tensor,
)
from batchdot.porting.translation.registry import Forward, Result, computes
from batchdot.porting.translation.site import Argument, Site


@computes("one_hot")
def one_hot(layer: Layer) -> Forward:
    """A comparison with all ids, as F.one_hot has no row of zeros for an id outside of them."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "num_classes", "axis", "dtype")
        x, axis = site.last(tensor(layer, site)), integer(site, "axis", -1)
        if axis not in (-1, x.rank):
            raise RefusedError(f"its axis is {axis}")
        count = integer(site, "num_classes")
        ids = f"torch.arange({count}, device={x}.device)"
        return result(site, f"{x}.unsqueeze(-1) == {ids}", Value("", None, "count"))

    return forward


@computes("take")
def take(layer: Layer) -> Forward:
    """An index into one axis."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "indices", "axis", "batch_dims", "mode", "validate_indices")
        if site.arguments.get("batch_dims"):
            raise RefusedError("its batch_dims are not 0")
        x, axes = site.last(tensor(layer, site)), integers(site, "axis")
        indices = site.arguments.get("indices")
        if isinstance(indices, int):
            index = str(indices)
        else:
            made = operand(layer, indices)
            assert isinstance(made, Value)
            index = (
                f"{site.last(made)}"
                if made.kind == "int" and not is_tensor(indices)
                else f"{site.last(made)}.long()"
            )
        if axes is None:
            text = f"{x}.flatten()[{index}]"
        else:
            axis = axes[0] if axes[0] == -1 else axes[0] % rank_of(x)
            before = "..., " if axis == -1 else ":, " * axis
            text = f"{x}[{before}{index}]"
        return result(site, text, Value("", None, x.kind))

    return forward


@computes("get_item")
def get_item(layer: Layer) -> Forward:
    """``x[...]``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "key")
        x, key = operand(layer, site.arguments.get("x")), site.arguments.get("key")
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(x, Value):
            raise RefusedError("it works on a number")
        if x.kind == "size":
            return _of_sizes(site, x, keys)
        x = site.last(x)
        text, flipped = [], []
        axis = 0
        for number, part in enumerate(keys):
            if isinstance(part, Slice) and isinstance(part.step, int) and part.step < 0:
                if (part.start, part.stop, part.step) != (None, None, -1) or _has_ellipsis(keys[:number]):
                    raise RefusedError(f"it counts back by {-part.step}")
                flipped.append(axis)
                part = Slice(None, None, None)
            text.append(_index(part))
            axis += part is not None
        while len(text) > 1 and text[-1] == ":":
            text.pop()
        base = f"{x}.flip({', '.join(map(str, flipped))})" if flipped else str(x)
        made = base if text == [":"] else f"{base}[{', '.join(text)}]"
        return result(site, made, Value("", None, x.kind))

    return forward


def _has_ellipsis(keys: tuple[object, ...]) -> bool:
    return any(isinstance(key, EllipsisIndex) for key in keys)


def _index(part: Argument) -> str:
    """Return one index of a tensor as source."""
    if part is None:
        return "None"
    if isinstance(part, EllipsisIndex):
        return "..."
    if isinstance(part, Slice):
        bounds = [_bound(part.start), _bound(part.stop)]
        if part.step not in (None, 1):
            bounds.append(_bound(part.step))
        return ":".join(bounds)
    if isinstance(part, Value) and part.kind != "float":
        return str(part)
    if isinstance(part, int) and not isinstance(part, bool):
        return str(part)
    if isinstance(part, tuple) and all(isinstance(each, int) for each in part):
        return literal(list(part))
    raise RefusedError(f"its index is {quote(part)}")


def _bound(bound: object) -> str:
    if bound is None:
        return ""
    if isinstance(bound, int) or (isinstance(bound, Value) and bound.kind == "size"):
        return str(bound)
    raise RefusedError("it has a bound that is computed")


def _of_sizes(site: Site, sizes: Value, keys: tuple[Argument, ...]) -> Value:
    """Return one or some of the sizes of a tensor."""
    if len(keys) != 1 or not isinstance(keys[0], (int, Slice)):
        raise RefusedError("it works on the sizes of a tensor")
    part = Value(f"{sizes}[{_index(keys[0])}]", site.output_shapes[0], "size")
    return site.body.assign(part, site.name, inline=True)
