"""Convert weights from the layouts of older versions of Keras to today's.

Tables 5.2 (Keras 1), 5.3 (CuDNN layers) and 1.2 (kernels that Theano flipped) of what the corpus showed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive import Array
from batchdot.porting.errors import ModelFileError
from batchdot.porting.record.values import LayerRecord

Shape: TypeAlias = tuple[int, ...]
Numbers: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """Arrays of a file and what makes one weight of them.

    Attributes:
        parts: the arrays.
        shape: of the weight.
        make: from the arrays' numbers to the weight's.
    """

    parts: tuple[Array, ...]
    shape: Shape
    make: Callable[[Sequence[Numbers]], Numbers]

    @property
    def dtype(self) -> str:
        """The dtype of the numbers, as NumPy names it, or "bfloat16"."""
        return self.parts[0].dtype

    def read(self) -> Numbers:
        """Return the weight's numbers."""
        numbers = self.make([part.read() for part in self.parts])
        return numbers if numbers.flags.c_contiguous else numbers.copy()  # as an array of rank 0 too


def plain(array: Array) -> Source:
    """Return an array as it is."""
    return Source((array,), array.shape, lambda parts: parts[0])


def transposed(source: Source, axes: Sequence[int]) -> Source:
    """Return a weight with its axes in another order."""
    shape = tuple(source.shape[axis] for axis in axes)
    return Source(source.parts, shape, lambda parts: source.make(parts).transpose(axes))


def reshaped(source: Source, shape: Shape) -> Source:
    """Return a weight with the same numbers under another shape."""
    return Source(source.parts, shape, lambda parts: source.make(parts).reshape(shape))


def flipped(source: Source, axes: Sequence[int]) -> Source:
    """Return a weight with its spatial axes reversed, as Theano's convolutions mean them."""
    return Source(source.parts, source.shape, lambda parts: np.flip(source.make(parts), tuple(axes)))


def joined(arrays: Sequence[Array]) -> Source:
    """Return arrays of gates side by side along their last axis."""
    shape = (*arrays[0].shape[:-1], sum(array.shape[-1] for array in arrays))
    return Source(tuple(arrays), shape, lambda parts: np.concatenate(list(parts), axis=-1))


LSTM_GATES = "icfo"
"""The order of Keras 1's files; today's is i, f, c, o."""

GRU_GATES = "zrh"


def keras1_gates(arrays: Sequence[Array], order: str) -> tuple[Source, Source, Source]:
    """Return kernel, recurrent kernel and bias of the W, U and b that Keras 1 stored for each gate.

    Raises:
        ModelFileError: the gates have different shapes.
    """
    for at in range(3):
        for array in arrays[at::3]:
            if array.shape != arrays[at].shape or not array.shape:
                raise ModelFileError(
                    f"a gate of shape {array.shape}", "gates of one shape, with axes", place=array.place
                )
    wanted = "ifco" if order == LSTM_GATES else order
    by_gate = {gate: arrays[3 * at : 3 * at + 3] for at, gate in enumerate(order)}
    kernel, recurrent, bias = (joined([by_gate[gate][at] for gate in wanted]) for at in range(3))
    return kernel, recurrent, bias


def keras1_kernel(layer: LayerRecord, role: str, source: Source) -> Source:
    """Return a kernel of a Keras 1 convolution in today's layout."""
    first = layer.config.get("data_format") == "channels_first"
    filters = layer.config.get("filters")
    shape = source.shape
    if layer.is_a("Conv1D") and role == "kernel" and len(shape) == 4:
        size = layer.config["kernel_size"]
        assert isinstance(size, tuple)
        if shape[:2] == (size[0], 1) and shape[3] == filters:
            return reshaped(source, (shape[0], shape[2], shape[3]))
        if shape[3] == 1:
            return reshaped(transposed(source, (2, 3, 1, 0)), (shape[2], shape[1], shape[0]))
    if layer.is_a("Conv2DTranspose") and role == "kernel" and len(shape) == 4:
        return transposed(source, (2, 3, 0, 1) if first else (0, 1, 3, 2))
    if layer.is_a("Conv2D", "SeparableConv2D", "ConvLSTM2D") and first and len(shape) == 4:
        return transposed(source, (2, 3, 1, 0))
    if layer.is_a("Conv3D") and first and len(shape) == 5:
        return transposed(source, (2, 3, 4, 1, 0))
    return source


FLIPPED = {
    "Conv1D": ("kernel",),
    "Conv2D": ("kernel",),
    "Conv3D": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "ConvLSTM2D": ("kernel", "recurrent_kernel"),
}


def theano_kernel(layer: LayerRecord, role: str, source: Source) -> Source:
    """Return a kernel that Keras 2 on Theano stored with its spatial axes reversed."""
    if role in FLIPPED.get(layer.class_name, ()):
        return flipped(source, range(len(source.shape) - 2))
    return source


def cudnn(layer: LayerRecord, role: str, source: Source) -> Source:
    """Return a weight of a CuDNN layer as the plain layer has it."""
    count = 4 if layer.is_a("CuDNNLSTM") else 3
    units = layer.config["units"]
    assert isinstance(units, int)
    if role == "bias":
        if count == 4:
            return Source(source.parts, (4 * units,), lambda parts: source.make(parts).reshape(2, -1).sum(0))
        return reshaped(source, (2, 3 * units))

    def gates(parts: Sequence[Numbers]) -> Numbers:
        blocks = np.split(source.make(parts), count, axis=1)
        if role == "kernel":
            return np.concatenate([block.T.reshape(block.shape, order="F") for block in blocks], axis=1)
        return np.concatenate([block.T for block in blocks], axis=1)

    return Source(source.parts, source.shape, gates)


def with_lora(kernel: Source, a: Source, b: Source, scale: float) -> Source:
    """Return the kernel that a layer with a low-rank adapter computes with: kernel + scale A B.

    Raises:
        ModelFileError: the product of the factors has another shape than the kernel.
    """
    if a.shape[-1:] != b.shape[:1] or (*a.shape[:-1], *b.shape[1:]) != kernel.shape:
        raise ModelFileError(
            f"a kernel of shape {kernel.shape} with factors of shapes {a.shape} and {b.shape}",
            "factors whose product has the shape of the kernel",
            place=a.parts[0].place,
        )

    def merged(parts: Sequence[Numbers]) -> Numbers:
        base, left, right = parts
        result: Numbers = base + np.asarray(scale, base.dtype) * (left @ right)
        return result

    return Source((*kernel.parts, *a.parts, *b.parts), kernel.shape, merged)
