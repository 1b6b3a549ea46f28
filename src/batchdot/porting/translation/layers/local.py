"""Weights of Keras's LocallyConnected1D and 2D, stored in one of three layouts, as PyTorch tensors."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Convert = Callable[[NDArray[np.generic]], NDArray[np.generic]]

Sizes = tuple[int, ...]


def local_bias(keras_first: bool) -> "Convert":
    """Return the function from Keras's bias (space, out) to (out, space).

    Of channels first Keras reshapes it and does not transpose it.
    """

    def convert(bias: "NDArray[np.generic]") -> "NDArray[np.generic]":
        return bias.reshape(bias.shape[-1], *bias.shape[:-1]) if keras_first else np.moveaxis(bias, -1, 0)

    return convert


@dataclass(frozen=True)
class LocalKernel:
    """How Keras stores a kernel, and for which images.

    Keras stores one matrix a position (implementation 1), one full matrix between input and output (2), or
    the numbers in it that are not always zero, by output and then input (3). A window that reaches over the
    image's edge has no numbers there, which become zeros.
    """

    implementation: int
    sizes: Sizes
    channels: int
    filters: int
    kernel: Sizes
    stride: Sizes
    outputs: Sizes
    same: bool
    keras_first: bool

    @property
    def count(self) -> int:
        """How many numbers are stored."""
        if self.implementation == 1:
            return math.prod((*self.outputs, *self.kernel, self.channels, self.filters))
        if self.implementation == 2:
            return math.prod((*self.sizes, self.channels, *self.outputs, self.filters))
        return len(self._entries)

    def convert(self, stored: "NDArray[np.generic]") -> "NDArray[np.generic]":
        """Return a stored kernel as (outputs, filters, channels, kernel)."""
        if self.implementation == 1:
            return self._by_position(stored)
        weight = np.zeros((*self.outputs, self.filters, self.channels, *self.kernel), stored.dtype)
        entries = sorted(self._entries) if self.implementation == 3 else self._entries
        numbers = stored.reshape(-1)
        columns = math.prod(self.outputs) * self.filters
        for count, (output, source, place) in enumerate(entries):
            weight[place] = numbers[count if self.implementation == 3 else source * columns + output]
        return weight

    def _by_position(self, stored: "NDArray[np.generic]") -> "NDArray[np.generic]":
        rank = len(self.kernel)
        if self.keras_first:
            parts = stored.reshape(*self.outputs, self.channels, *self.kernel, self.filters)
            return np.moveaxis(parts, -1, rank)
        parts = stored.reshape(*self.outputs, *self.kernel, self.channels, self.filters)
        return np.moveaxis(parts, (-1, -2), (rank, rank + 1))

    @cached_property
    def _entries(self) -> "list[tuple[int, int, tuple[int, ...]]]":
        windows = _windows(self.sizes, self.kernel, self.stride, self.outputs, self.same)
        return _entries(windows, self.sizes, self.channels, self.filters, self.outputs, self.keras_first)


def _windows(
    sizes: Sizes, kernel: Sizes, stride: Sizes, outputs: Sizes, same: bool
) -> list[tuple[Sizes, Sizes, Sizes]]:
    """Return position of the output, place in the kernel and position in the image, where that is inside."""
    found = []
    for output in itertools.product(*map(range, outputs)):
        for tap in itertools.product(*map(range, kernel)):
            begin = (reach // 2 if same else 0 for reach in kernel)
            source = tuple(
                at * step + offset - left
                for at, step, offset, left in zip(output, stride, tap, begin, strict=True)
            )
            if all(0 <= at < size for at, size in zip(source, sizes, strict=True)):
                found.append((output, tap, source))
    return found


def _entries(
    windows: list[tuple[Sizes, Sizes, Sizes]],
    sizes: Sizes,
    channels: int,
    filters: int,
    outputs: Sizes,
    keras_first: bool,
) -> "list[tuple[int, int, tuple[int, ...]]]":
    """Return the row of the output, the row of the input, and the index into the weight, of each number."""
    found = []
    for output, tap, source in windows:
        at_output, at_source = (
            int(np.ravel_multi_index(place, size)) for place, size in ((output, outputs), (source, sizes))
        )
        for channel, out in itertools.product(range(channels), range(filters)):
            if keras_first:
                rows = out * int(np.prod(outputs)) + at_output, channel * int(np.prod(sizes)) + at_source
            else:
                rows = at_output * filters + out, at_source * channels + channel
            found.append((*rows, (*output, out, channel, *tap)))
    return found
