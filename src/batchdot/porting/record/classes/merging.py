"""Specifications of the layers in Keras's folder ``merging``."""

from batchdot.planning.contraction import Contraction
from batchdot.porting.record import fields
from batchdot.porting.record.classes.spec import Config, Spec
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value


def broadcast(shapes: tuple[Shape, ...]) -> Shape:
    """Return the shape of an elementwise result, None where the ranks are not known."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes) or not known:
        return None
    rank = max(len(shape) for shape in known)
    result: list[int | None] = []
    for axis in range(rank):
        sizes = [shape[axis - rank + len(shape)] for shape in known if axis - rank + len(shape) >= 0]
        plain = {size for size in sizes if size not in (1, None)}
        if len(plain) > 1:
            return None
        result.append(plain.pop() if plain else (None if None in sizes else 1))
    return tuple(result)


def _merged(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Like broadcasting, but Keras adds axes of lower ranks behind the batch."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) != len(shapes) or not known:
        return (None,)
    rank = max(len(shape) for shape in known)
    spread = tuple((shape[0], *(1,) * (rank - len(shape)), *shape[1:]) if shape else shape for shape in known)
    return (broadcast(spread),)


def concatenated(shapes: tuple[Shape, ...], axis: int) -> Shape:
    """Return the shape of tensors joined along an axis."""
    first = shapes[0] if shapes else None
    if first is None or any(shape is None or len(shape) != len(first) for shape in shapes):
        return None
    if not -len(first) <= axis < len(first):
        return None
    axis %= len(first)
    total: int | None = 0
    for shape in shapes:
        size = shape[axis] if shape else None
        total = None if total is None or size is None else total + size
    rest = [
        next((shape[at] for shape in shapes if shape and shape[at] is not None), None)
        for at in range(len(first))
    ]
    return (*rest[:axis], total, *rest[axis + 1 :])


def _concatenated(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    axis = config["axis"]
    return (concatenated(shapes, axis if isinstance(axis, int) else -1),)


def _dot_axes(item: Item, era: Era) -> Value:
    if isinstance(item.value, list):
        if len(item.value) != 2:
            raise item.wrong("an axis, or two")
        return tuple(
            fields.axis(part, era) if not isinstance(part.value, list) else fields.axes(part, era)
            for part in item.items()
        )
    return item.integer(-32, 32)


def _finish_dot(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say which rule of batch_dot is meant, and the floor under the squared norm of ``normalize``."""
    matmul = era.before(keras2=(2, 3), tf=(2, 0))
    floor = 1e-14 if era.is_keras3 else 1e-7 if era.backend == "theano" else 1e-12
    return {**config, "rule": "matmul" if matmul else "batch_dot", "floor": floor}


def dot_contraction(config: Config, shapes: tuple[Shape, ...]) -> Contraction | None:
    """Return the contraction of a Dot layer, None where shapes are not known.

    Raises:
        ValueError: the shapes do not fit the axes.
    """
    if len(shapes) != 2 or shapes[0] is None or shapes[1] is None:
        return None
    x, y = shapes[0], shapes[1]
    axes = config["axes"]
    if isinstance(axes, int):
        axes = (axes, axes)
    if not isinstance(axes, tuple):
        return None
    if config["rule"] == "matmul" and len(x) == len(y) and len(x) > 3:
        return Contraction.batch_dot(x, y, axes, batch_dims=len(x) - 2)  # type: ignore[arg-type]
    return Contraction.batch_dot(x, y, axes)  # type: ignore[arg-type]


def _dot_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    cosine = config["mode"] == "cosine of Keras 1"
    try:
        contraction = dot_contraction(config, shapes)
    except (ValueError, IndexError):
        return (None,)
    if contraction is None:
        return (None,)
    shape = contraction.output_shape
    return ((shape[0], 1, *shape[1:]) if cosine else shape,)


SPECS = (
    *(
        Spec(name, infer=_merged, mask="merge")
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    ),
    Spec("Concatenate", {"axis": Field(fields.axis, -1)}, infer=_concatenated, mask="concatenate"),
    Spec(
        "Dot",
        {
            "axes": Field(_dot_axes),
            "normalize": Field(fields.flag, False),
            "mode": Field(fields.choice("dot", "cosine of Keras 1"), "dot"),
        },
        infer=_dot_shape,
        finish=_finish_dot,
        mask="stop",
    ),
)
