"""Rows of two tensors as kernels see them: at most two axes of rows, their strides, and their tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK = 4096
"""The columns of one program: longer rows are cut into chunks."""

SHORT = 512
"""Rows of up to so many columns are stepped through 32 at a time, longer ones 256 or more."""

_DIGITS = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


@dataclass(frozen=True, slots=True)
class Rows:
    """Pairs of rows, the i-th of x with the i-th of y, in the order of the axes before the last.

    Attributes:
        count: how many pairs there are.
        inner: the size of the second of two axes of rows; 1 where one axis has all of them.
        size: the elements of a row, K.
        x: strides of x: of the outer axis, the inner one, and the elements of a row.
        y: those of y: 0 along an axis whose rows share one row of y.
        dtype: of both tensors.
    """

    count: int
    inner: int
    size: int
    x: tuple[int, int, int]
    y: tuple[int, int, int]
    dtype: torch.dtype

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "Rows | None":
        """Describe x (..., K) and y (..., K), or (..., I, K) and (..., 1, K); None if they need more axes."""
        axes: list[tuple[int, int, int]] = []  # size, stride of x, stride of y
        x_strides, y_strides, count = x.stride(), y.stride(), 1
        for axis, size in enumerate(x.shape[:-1]):
            if size == 1:
                continue
            count *= size
            stride = 0 if y.shape[axis] == 1 else y_strides[axis]
            last = axes[-1] if axes else None
            if last and last[1:] == (x_strides[axis] * size, stride * size):
                axes[-1] = (last[0] * size, x_strides[axis], stride)
            else:
                axes.append((size, x_strides[axis], stride))
        if len(axes) > 2:
            return None
        outer, inner = [*axes, (1, 0, 0), (1, 0, 0)][:2]
        return cls(
            count=count,
            inner=inner[0],
            size=x.shape[-1],
            x=(outer[1], inner[1], x_strides[-1]),
            y=(outer[2], inner[2], y_strides[-1]),
            dtype=x.dtype,
        )

    @property
    def wide(self) -> bool:
        """Whether float64 does not hold products exactly."""
        return self.dtype == torch.float64

    def strides(self) -> tuple[int, ...]:
        """Return count, inner and strides as kernels take them: those of rows divided by their alignment."""
        x_align, y_align = (alignment(s) for s in (self.x, self.y))
        x, y = self.x, self.y
        return (
            *(self.count, self.inner),
            *(x[0] // x_align, x[1] // x_align, x[2]),
            *(y[0] // y_align, y[1] // y_align, y[2]),
        )

    def constants(self) -> dict[str, Any]:
        """Return what is compiled into a kernel of the layout."""
        return {
            "K": self.size,
            "X_ALIGN": alignment(self.x),
            "Y_ALIGN": alignment(self.y),
            "X_UNIT": self.x[2] == 1 or self.size == 1,
            "Y_UNIT": self.y[2] == 1 or self.size == 1,
            "FLAT": self.inner == 1,
            "SMALL": self.count < 1 << 31,
            "WIDE": self.wide,
        }

    @property
    def chunks(self) -> int:
        """How many programs a row is cut for."""
        return -(-self.size // CHUNK)

    def accuracy(self, steps: int) -> dict[str, Any]:
        """Return when a sum is accurate, by the most roundings that a term goes through in it.

        These are one for each step, at most 24 to join columns of a tile, and for long rows one for
        each step over the chunks and 24 to join those. An error of depth·2^-53·bound is 1/128 ulp of
        a sum that is THRESHOLD times the bound or more: docs/numerics.md has the same for the CPU.
        """
        depth = steps + 24 + (self.chunks // 32 + 1 + 24 if self.chunks > 1 else 0)
        return {
            "THRESHOLD": depth * 128 * 2.0 ** (_DIGITS[self.dtype] - 53),
            "TERMS_BITS": max(self.size - 1, 1).bit_length() + self.wide,
        }


def alignment(strides: tuple[int, int, int]) -> int:
    """Return the largest power of two, up to 16, that divides the strides of rows: loads are as wide."""
    both = strides[0] | strides[1] | 16
    return both & -both


def power_of_two_from(size: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << max(size - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class Tile:
    """The rows and columns that a program computes at a time, and its warps."""

    rows: int
    columns: int
    warps: int = 4


ELEMENTS = 1024
"""Elements of a tile of four warps, eight for each thread, half as many of float64 or if loads are narrow."""


def choose_tile(rows: Rows, multiprocessors: int, sharing: int = 1) -> Tile:
    """Return the tile of rows of up to `CHUNK` columns.

    Each thread reads 16 bytes or more of a row at once. A tile as wide as the rows would have all lanes
    of a warp join every sum: 32 columns have eight lanes do so, and instructions take a third of the time
    (compiled for sm_90).

    Args:
        rows: the rows.
        multiprocessors: of the device: where there are few rows, a tile has fewer.
        sharing: how many rows share a row of y whose gradient is wanted: a tile should have many of them.
    """
    narrow = min(map(alignment, (rows.x, rows.y))) * rows.dtype.itemsize < 16 and rows.size > 8
    elements = ELEMENTS // 2 if rows.wide or narrow else ELEMENTS
    warps = 4
    if rows.size <= SHORT:
        columns = min(32, power_of_two_from(rows.size))
    elif sharing > 1:
        columns, elements, warps = 128, 2 * elements, 16
    else:
        columns = 256
    count = max(1, elements // columns)
    if sharing > 1:
        return Tile(min(count, power_of_two_from(sharing)), columns, warps)
    if rows.count < 2 * multiprocessors * count and rows.size > columns:
        wider = min(4, power_of_two_from(rows.size) // columns)
        count, columns = max(1, count // wider), columns * wider
    return Tile(min(count, power_of_two_from(rows.count)), columns, warps)


def choose_long_tile(rows: Rows) -> Tile:
    """Return the tile in which the chunks of rows longer than `CHUNK` are read."""
    return Tile(1, 512 if rows.wide else 1024)


def shape_of_rows(shape: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    """Return the shape of one number for each row."""
    return (*shape[:-1], 1) if keepdim else tuple(shape[:-1])
