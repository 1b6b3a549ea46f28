"""The `axes` argument of a dot product: validated, then resolved to pairs of non-negative axes.

Negative axes of a dot product are resolved only here, from the ranks of the inputs.
"""

import operator
from collections.abc import Sequence
from typing import TypeGuard

from batchdot.errors import AxisError
from batchdot.types import Axes, Pairs


def check_axes(axes: object) -> Axes:
    """Validate the form of ``axes`` and convert it to hashable integers.

    Args:
        axes: None; an integer, which is anything that supports ``operator.index`` except bools; a sequence
            of two integers; or a sequence of two sequences of integers.

    Returns:
        None, an int, a pair of ints or a pair of tuples of ints, as `resolve_axes` takes it.

    Raises:
        TypeError: ``axes`` is neither an integer nor a sequence, or a bool stands for an integer.
        ValueError: the sequence is not a pair, or holds something other than integers.

    >>> check_axes([1, 2]), check_axes(-1), check_axes(([1, 2], range(1, 3)))
    ((1, 2), -1, ((1, 2), (1, 2)))
    """
    if axes is None or axes.__class__ is int:
        return axes
    if (axes.__class__ is tuple or axes.__class__ is list) and len(axes) == 2:
        x_axis, y_axis = axes
        if x_axis.__class__ is int and y_axis.__class__ is int:
            return (x_axis, y_axis)
    if is_bool(axes):
        raise TypeError(f"Invalid type for argument `axes`: a bool is not an axis. Received: axes={axes!r}")
    if (single := _as_integer(axes)) is not None:
        return single
    if not _is_sequence(axes):
        raise TypeError(
            f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes!r}"
        )
    if len(axes) != 2:
        raise ValueError(
            f"Invalid format for argument `axes`: it should contain two elements. Received: axes={axes!r}"
        )
    x_group, y_group = (_check_group(group, axes) for group in axes)
    if isinstance(x_group, tuple) != isinstance(y_group, tuple):
        raise ValueError(
            "Invalid format for argument `axes`: both elements should be integers, or both sequences "
            f"of integers. Received: axes={axes!r}"
        )
    if isinstance(x_group, tuple) and isinstance(y_group, tuple) and len(x_group) != len(y_group):
        raise ValueError(
            "Invalid format for argument `axes`: axes are contracted in pairs, and the two sequences "
            f"have {len(x_group)} and {len(y_group)} elements. Received: axes={axes!r}"
        )
    return (x_group, y_group)


def resolve_axes(axes: Axes, x_rank: int, y_rank: int, batch_dims: int) -> Pairs:
    """Resolve axes to pairs (axis of x, axis of y) of non-negative axes.

    Args:
        axes: what `check_axes` returned. An int is the same axis of both inputs; a negative one counts
            from the end of each. None is the last axis of x and the second-to-last of y, or the last of
            y where it has one axis in addition to the shared ones.
        x_rank: number of axes of x.
        y_rank: number of axes of y.
        batch_dims: number of leading axes that are shared.

    Raises:
        AxisError: an axis is outside ``[-rank, rank)``.
        ValueError: a shared axis is contracted, or an axis is contracted twice.

    >>> resolve_axes(None, 3, 3, 1), resolve_axes(-1, 2, 4, 1)
    (((2, 1),), ((1, 3),))
    """
    if axes is None:
        return ((x_rank - 1, y_rank - 1 if y_rank == batch_dims + 1 else y_rank - 2),)
    x_group, y_group = axes if isinstance(axes, tuple) else (axes, axes)
    x_axes = _resolve_group(x_group, "x", x_rank, batch_dims)
    y_axes = _resolve_group(y_group, "y", y_rank, batch_dims)
    return tuple(zip(x_axes, y_axes, strict=True))


def refuse_shared_axes(axes: Axes, batch_dims: int) -> None:
    """Raise ValueError if a non-negative axis is a shared one, which needs no ranks.

    `resolve_axes` checks negative axes, when the ranks are known.
    """
    for group in axes if isinstance(axes, tuple) else (axes,):
        for axis in group if isinstance(group, tuple) else (group,):
            if axis is not None and 0 <= axis < batch_dims:
                raise ValueError(f"{_shared_axis(str(axis), batch_dims)} Received: axes={axes!r}")


def _resolve_group(group: int | tuple[int, ...], operand: str, rank: int, batch_dims: int) -> tuple[int, ...]:
    resolved: list[int] = []
    for axis in group if isinstance(group, tuple) else (group,):
        if not -rank <= axis < rank:
            raise AxisError(f"Axis {axis} is out of range for {operand}, whose rank is {rank}.")
        positive = axis + rank if axis < 0 else axis
        if positive < batch_dims:
            raise ValueError(_shared_axis(f"{axis} of {operand}", batch_dims))
        if positive in resolved:
            raise ValueError(f"Axis {axis} of {operand} is contracted twice.")
        resolved.append(positive)
    return tuple(resolved)


def _check_group(group: object, axes: object) -> int | tuple[int, ...]:
    if not _is_sequence(group):
        return _check_integer(group, axes)
    return tuple(_check_integer(axis, axes) for axis in group)


def _check_integer(value: object, axes: object) -> int:
    if is_bool(value):
        raise TypeError(f"Invalid type for argument `axes`: a bool is not an axis. Received: axes={axes!r}")
    integer = _as_integer(value)
    if integer is None:
        raise ValueError(
            f"Invalid format for argument `axes`: list elements should be integers. Received: axes={axes!r}"
        )
    return integer


def _as_integer(value: object) -> int | None:
    if isinstance(value, int):  # also torch.SymInt under Dynamo, which fails on getattr
        return operator.index(value)
    if isinstance(value, tuple | list):
        return None  # first, because Dynamo of torch 2.10 fails on getattr of a tuple or list
    if getattr(value, "ndim", 0) != 0:
        return None  # torch takes a one-element vector as an index; here it is a sequence of one axis
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def is_bool(value: object) -> bool:
    """Whether a value is a bool of Python, numpy or torch."""
    if isinstance(value, int):
        return isinstance(value, bool)
    return getattr(value, "ndim", None) == 0 and str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return not isinstance(value, int) and (
        hasattr(value, "__len__")
        and hasattr(value, "__getitem__")
        and not isinstance(value, str | bytes | bytearray | dict)
        and getattr(value, "ndim", 1) != 0
    )


def _shared_axis(axis: str, batch_dims: int) -> str:
    if batch_dims == 1:
        shared = (
            "axis is shared between the samples. If your inputs are not batched, add a batch axis of size 1"
        )
        return f"Cannot perform batch_dot over axis {axis}: the first {shared}: x.unsqueeze(0)."
    return (
        f"Cannot perform batch_dot over axis {axis}: the first {batch_dims} axes are shared between the "
        f"samples. Sum over a later one, or share fewer than batch_dims={batch_dims}."
    )
