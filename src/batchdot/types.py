"""Types of shapes and axes. Imports no torch."""

from typing import TypeAlias

Size: TypeAlias = int | None
"""The size of an axis, None where it is unknown."""

Shape: TypeAlias = tuple[Size, ...]
"""The sizes of all axes."""

Axes: TypeAlias = int | tuple[int | tuple[int, ...], int | tuple[int, ...]] | None
"""What `batchdot.planning.axes.read_axes` returns: checked and hashable, negative axes not yet resolved."""

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs (axis of x, axis of y), none of them negative."""
