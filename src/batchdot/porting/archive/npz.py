"""Read weights from ``.npz``, a zip archive of arrays that a ``.keras`` archive may hold instead of HDF5.

Arrays of numbers are read, under the same paths as in HDF5. Pickled objects are refused: Keras 3 itself
writes its variables that way and then declines to load them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive.limits import MAX_ARRAYS, MAX_AXIS, MAX_RANK, MAX_TENSOR
from batchdot.porting.archive.source import Source
from batchdot.porting.archive.zip_file import members
from batchdot.porting.errors import ModelFileError, quote

_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d{0,3})', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,19}, ?){0,32}(?:\d{1,19})?)\), \} *\n"
)
_NUMBERS = re.compile(r"[<>|=](?:[iu][1248]|f[248]|b1)")


@dataclass(frozen=True)
class NpyArray:
    """An array whose numbers are read when asked for.

    Attributes:
        path: where it is in the archive.
        shape: its sizes.
        dtype: numpy's name of its numbers.
    """

    _data: Source = field(repr=False)
    _start: int = field(repr=False)
    _code: np.dtype[Any] = field(repr=False)
    _fortran: bool = field(repr=False)
    path: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Numpy's name of the numbers."""
        return str(self._code.name)

    @property
    def place(self) -> str:
        """The path, as an error names it."""
        return quote(self.path)

    def read(self) -> NDArray[np.generic]:
        """Return the numbers in this machine's byte order.

        Raises:
            ModelFileError: they are not all there, or damaged.
        """
        self._data.verify()
        array = np.empty(self.shape[::-1] if self._fortran else self.shape, self._code)
        if array.size:
            self._data.read_into(self._start, array.reshape(-1).view(np.uint8).data)
        if not self._code.isnative:
            array = array.byteswap(inplace=True).view(self._code.newbyteorder("="))
        return array.T.copy() if self._fortran else array


def arrays(source: Source) -> Iterator[NpyArray]:
    """Yield the arrays of a ``.npz`` archive.

    Raises:
        ModelFileError: the archive is damaged, or holds anything but arrays of numbers.
    """
    for name, member in members(source, _is_array, MAX_ARRAYS).items():
        yield _array(member, name.removesuffix(".npy"))


def _is_array(name: str) -> bool:
    return name.endswith(".npy")


def _array(member: Source, path: str) -> NpyArray:
    place = quote(path)
    head = member.read(0, min(12, member.size))
    if head[:6] != b"\x93NUMPY" or len(head) < 12 or head[6] not in (1, 2, 3):
        raise ModelFileError("no NumPy array", place=place)
    width = 2 if head[6] == 1 else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if start > 2**16:
        raise ModelFileError("a NumPy header of its length", place=place)
    match = _HEADER.fullmatch(member.read(8 + width, start - 8 - width).decode("latin-1"))
    if match is None:
        raise ModelFileError("a NumPy header that NumPy does not write", place=place)
    descr, fortran, sizes = match.groups()
    shape = tuple(int(size) for size in sizes.replace(",", " ").split())
    if "O" in descr:
        raise ModelFileError(
            "a pickled object, which would run code",
            'arrays; or save the model with model.save("model.keras")',
            place=place,
        )
    if not _NUMBERS.fullmatch(descr):
        raise ModelFileError(f"NumPy elements {quote(descr)}", "numbers", place=place)
    if len(shape) > MAX_RANK or any(axis > MAX_AXIS for axis in shape) or prod(shape) > MAX_TENSOR:
        raise ModelFileError(f"an array of shape {quote(shape)}", place=place)
    dtype = np.dtype(descr)
    size = prod(shape) * dtype.itemsize
    if start + size != member.size:
        raise ModelFileError(f"{member.size - start:,} bytes of numbers", f"{size:,}", place=place)
    return NpyArray(member, start, dtype, fortran == "True", path, shape)
