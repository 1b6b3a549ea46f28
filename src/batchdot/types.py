"""Types of shapes and axes, and the default of `epsilon`. Imports no torch."""

from typing import Any, Protocol, TypeAlias

Size: TypeAlias = int | None
"""The size of an axis, None where it is unknown."""

Shape: TypeAlias = tuple[Size, ...]
"""The sizes of all axes."""

Axes: TypeAlias = int | tuple[int | tuple[int, ...], int | tuple[int, ...]] | None
"""What `batchdot.planning.axes.check_axes` returns: checked and hashable, negative axes not yet resolved."""

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs (axis of x, axis of y), none of them negative."""

EPSILON = 1e-12
"""TensorFlow's floor on the squared norm, in every version (``tf.math.l2_normalize``)."""


class SymbolicTensor(Protocol):
    """A tensor with a shape and a dtype but no values: the interface of `KerasTensor` that `ops` uses."""

    @property
    def shape(self) -> Shape:
        """The sizes of all axes, None where unknown."""
        ...

    @property
    def _keras_history(self) -> Any:
        """The layer call that made it. The name is Keras's; no other kind of tensor has it."""
        ...
