"""The layout of an array in a file: shape, dtype and position, checked against the size of the file."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchdot.errors import FileFormatError
from batchdot.io.regular_file import RegularFile, abbreviated, printable

NUMPY_DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float64: np.dtype("<f8"),
    torch.float32: np.dtype("<f4"),
    torch.float16: np.dtype("<f2"),
    torch.bfloat16: np.dtype("<i2"),  # its bits: numpy has no bfloat16
    torch.complex64: np.dtype("<c8"),
    torch.complex128: np.dtype("<c16"),
    torch.int8: np.dtype("i1"),
    torch.int16: np.dtype("<i2"),
    torch.int32: np.dtype("<i4"),
    torch.int64: np.dtype("<i8"),
    torch.uint8: np.dtype("u1"),
    torch.uint16: np.dtype("<u2"),
    torch.uint32: np.dtype("<u4"),
    torch.uint64: np.dtype("<u8"),
}
"""The dtypes of arrays in files, and the numpy dtypes of their little-endian bytes."""

MAX_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape, dtype and position of the data of one array in a file.

    Attributes:
        shape: shape of the array.
        dtype: dtype of the elements.
        offset: byte offset of the data.
        big_endian: whether elements are big-endian.
        fortran: whether elements are in Fortran order (the first axis varies fastest).
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    big_endian: bool = False
    fortran: bool = False

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The numpy dtype of an element, byte order included."""
        return NUMPY_DTYPES[self.dtype].newbyteorder(">") if self.big_endian else NUMPY_DTYPES[self.dtype]

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return prod(self.shape) * self.dtype.itemsize


def check_length(file: RegularFile, start: int, nbytes: int) -> None:
    """Check that the data end where the file ends.

    Raises:
        FileFormatError: the file is truncated, or has bytes after its data.
    """
    expected = start + nbytes
    if file.size < expected:
        raise FileFormatError(
            f"{printable(file.path)} is truncated: its header promises {expected:,} bytes "
            f"and it has {file.size:,}"
        )
    if (extra := file.size - expected) > 0:
        raise FileFormatError(
            f"{printable(file.path)} has {extra:,} byte{'s' * (extra != 1)} after its data: its header "
            f"promises {expected:,} bytes and it has {file.size:,}"
        )


def check_shape(shape: object, path: str) -> tuple[int, ...]:
    """Return the shape given by a header, or refuse it if no array can have it.

    Raises:
        FileFormatError: it is not a sequence of non-negative integers, has more than 64 of them, or
            would take more bytes than a file can have.
    """
    sizes = shape if isinstance(shape, (list, tuple)) else (None,)
    if len(sizes) > 64:
        raise FileFormatError(f"{printable(path)} has {len(sizes)} axes; at most 64 are read")
    count = 1
    for size in sizes:  # of each of hundreds of thousands of tensors
        if type(size) is not int or size < 0:
            raise FileFormatError(
                f"{printable(path)} has a malformed header: its shape is {abbreviated(shape)}, "
                "which is not a sequence of sizes"
            )
        count *= size or 1
    if count * 16 > MAX_BYTES:
        raise FileFormatError(
            f"{printable(path)} has a malformed header: no file holds the shape {abbreviated(shape)}"
        )
    return tuple(sizes)


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the data of a tensor as files hold them: little-endian and in C order."""
    tensor = tensor.detach().contiguous()
    numpy_dtype = NUMPY_DTYPES[tensor.dtype]
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return memoryview(tensor.numpy().astype(numpy_dtype, copy=False).reshape(-1).view("u1"))  # type: ignore[arg-type]
