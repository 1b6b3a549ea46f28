"""What translations of layers over time, images and volumes share: sizes, orders of axes, and their text."""

import math
from collections.abc import Sequence
from dataclasses import replace

from batchdot.porting.program import Value
from batchdot.porting.record import Shape
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.site import Site


def is_keras_first(layer: Layer) -> bool:
    """Whether channels stand behind the batch in Keras as well, so that Keras's order is PyTorch's."""
    return layer.config.get("data_format") == "channels_first"


def sizes_of(layer: Layer, rank: int) -> tuple[int | None, ...]:
    """Return the sizes in space of the layer's input, None where they are unknown or calls differ."""
    shapes = [shapes[0] for shapes in layer.call_shapes if shapes] or [None]
    return tuple(_agreed([_space(shape, rank, layer)[axis] for shape in shapes]) for axis in range(rank))


def _space(shape: Shape, rank: int, layer: Layer) -> tuple[int | None, ...]:
    if shape is None or len(shape) != rank + 2:
        return (None,) * rank
    return shape[2:] if is_keras_first(layer) else shape[1:-1]


def _agreed(sizes: Sequence[int | None]) -> int | None:
    return sizes[0] if len(set(sizes)) == 1 else None


def channels_behind_batch(site: Site, layer: Layer, rank: int) -> Value:
    """Return the only input as PyTorch's layers over space take it: (B, C, space)."""
    value = site.value()
    if value.shape is None:
        value = replace(value, shape=(None,) * (rank + 2))
    return site.last(value) if is_keras_first(layer) else site.first(value)


def result(site: Site, like: Value, text: str) -> Value:
    """Return what a layer over space gives: an expression in the order of axes of its input."""
    shape = site.output_shapes[0]
    return replace(like, text=text, shape=shape or (None,) * (like.rank or 0), kind="float")


def axes_of(layer: Layer, value: Value, rank: int) -> tuple[int, ...]:
    """Return where the axes in space stand in a tensor."""
    start = 2 if is_keras_first(layer) else 1
    return tuple(value.axis(start + axis) for axis in range(rank))


def compact(sizes: Sequence[int]) -> str:
    """Return sizes as an argument: one number where all are equal.

    >>> compact((3, 3)), compact((3, 2)), compact((3,))
    ('3', '(3, 2)', '3')
    """
    return str(sizes[0]) if len(set(sizes)) == 1 else tuple_text(sizes)


def tuple_text(sizes: Sequence[int]) -> str:
    """Return sizes as a tuple."""
    return repr(tuple(sizes))


def keywords(**values: object) -> str:
    """Return the arguments that have a value, as text to append to others.

    >>> keywords(stride="2", bias=None)
    ', stride=2'
    """
    return "".join(f", {key}={value}" for key, value in values.items() if value is not None)


def other_than(default: int, sizes: Sequence[int]) -> str | None:
    """Return sizes as an argument, None if they are the default."""
    return None if all(size == default for size in sizes) else compact(sizes)


def number(value: float) -> str:
    """Return a number without the digits that float32 or a subtraction left.

    >>> number(1 - 0.99), number(0.0010000000474974513), number(2.0), number(float("nan"))
    ('0.01', '0.001', '2.0', 'float("nan")')
    """
    return repr(float(f"{value:.8g}")) if math.isfinite(value) else f'float("{value}")'


def pads_text(pairs: Sequence[tuple[int, int]]) -> str:
    """Return what `F.pad` takes for paddings of the last axes, of which it wants the last first.

    >>> pads_text([(1, 2), (0, 1)])
    '(0, 1, 1, 2)'
    """
    return tuple_text([size for pair in reversed(pairs) for size in pair])


def cut_text(text: str, axes: Sequence[int], bounds: Sequence[tuple[int, int]]) -> str:
    """Return an expression for a tensor from whose axes so many elements are cut at the beginning and end.

    >>> cut_text("x", (2, 3), [(1, 0), (2, 1)]), cut_text("x", (1,), [(0, 0)])
    ('x[:, :, 1:, 2:-1]', 'x')
    """
    cuts = {axis: bound for axis, bound in zip(axes, bounds, strict=True) if bound != (0, 0)}
    if not cuts:
        return text
    slices = [_slice(*cuts.get(axis, (0, 0))) for axis in range(max(cuts) + 1)]
    return f"{text}[{', '.join(slices)}]"


def _slice(before: int, after: int) -> str:
    return f"{before or ''}:{-after if after else ''}"
