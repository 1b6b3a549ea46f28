"""Weights of Keras's LocallyConnected1D and 2D, stored in one of three layouts, as PyTorch tensors."""

import itertools
import math
from collections.abc import Callable
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


def local_kernel(
    implementation: int,
    sizes: Sizes,
    channels: int,
    filters: int,
    kernel: Sizes,
    stride: Sizes,
    outputs: Sizes,
    same: bool,
    keras_first: bool,
) -> "Convert":
    """Return the function from a stored kernel to (outputs, filters, channels, kernel).

    Keras stores one matrix a position (implementation 1), one full matrix between input and output (2), or
    the numbers in it that are not always zero, by output and then input (3). A window that reaches over the
    image's edge has no numbers there, which become zeros.
    """
    windows = _windows(sizes, kernel, stride, outputs, same)

    def convert(stored: "NDArray[np.generic]") -> "NDArray[np.generic]":
        if implementation == 1:
            return _by_position(stored, channels, filters, kernel, outputs, keras_first)
        weight = np.zeros((*outputs, filters, channels, *kernel), stored.dtype)
        order = sorted if implementation == 3 else list
        entries = order(_entries(windows, sizes, channels, filters, outputs, keras_first))
        numbers = stored.reshape(-1)
        columns = int(np.prod(outputs)) * filters
        for count, (output, source, place) in enumerate(entries):
            weight[place] = numbers[count if implementation == 3 else source * columns + output]
        return weight

    return convert


def numbers_in_kernel(
    implementation: int,
    sizes: Sizes,
    channels: int,
    filters: int,
    kernel: Sizes,
    stride: Sizes,
    outputs: Sizes,
    same: bool,
    keras_first: bool,
) -> int:
    """Return how many numbers the kernel has that `local_kernel` converts."""
    if implementation == 1:
        return math.prod(outputs) * math.prod(kernel) * channels * filters
    if implementation == 2:
        return math.prod(sizes) * channels * math.prod(outputs) * filters
    windows = _windows(sizes, kernel, stride, outputs, same)
    return sum(1 for _ in _entries(windows, sizes, channels, filters, outputs, keras_first))


def _by_position(
    stored: "NDArray[np.generic]",
    channels: int,
    filters: int,
    kernel: Sizes,
    outputs: Sizes,
    keras_first: bool,
) -> "NDArray[np.generic]":
    rank = len(kernel)
    if keras_first:
        parts = stored.reshape(*outputs, channels, *kernel, filters)
        return np.moveaxis(parts, -1, rank)
    parts = stored.reshape(*outputs, *kernel, channels, filters)
    return np.moveaxis(parts, (-1, -2), (rank, rank + 1))


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
