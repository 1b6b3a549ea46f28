"""Files of arrays as the command line names them: ``x.npy``, ``x.safetensors``, ``x.safetensors:name``."""

import os
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from batchdot.errors import FileFormatError
from batchdot.io import npy
from batchdot.io import safetensors as safetensors_format
from batchdot.io.regular_file import Layout, RegularFile, shown

Name: TypeAlias = "str | os.PathLike[str]"

NPY, SAFETENSORS = ".npy", ".safetensors"

DEFAULT_TENSOR = "out"
"""Name of the tensor in a new .safetensors file where none is given."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, its format by its suffix, and the tensor in it where one is named."""

    path: str
    suffix: str
    tensor: str | None = None

    @classmethod
    def read(cls, name: Name) -> "Place":
        """Take a name apart.

        Raises:
            FileFormatError: the suffix is of no format that is read and written.

        >>> Place.read("model.safetensors:query")
        Place(path='model.safetensors', suffix='.safetensors', tensor='query')
        """
        text = os.fsdecode(name)
        path, colon, tensor = text.partition(SAFETENSORS + ":")
        if colon:
            return cls(path + SAFETENSORS, SAFETENSORS, tensor)
        for suffix in (NPY, SAFETENSORS):
            if text.endswith(suffix):
                return cls(text, suffix)
        raise FileFormatError(
            f"cannot tell the format of {shown(text)!r} from its name: it should end with .npy or "
            ".safetensors, or be FILE.safetensors:TENSOR"
        )

    def header(self, shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
        """Return what stands before the numbers in a new file.

        Raises:
            FileFormatError: the format cannot hold the dtype, or the tensor cannot have this name.
        """
        if self.suffix == NPY:
            return npy.header(shape, dtype)
        tensor = DEFAULT_TENSOR if self.tensor is None else self.tensor
        return safetensors_format.header(shape, dtype, tensor)


class ArrayFile:
    """An array in a file, read block by block; a context manager.

    Attributes:
        layout: its shape and dtype, and where its numbers lie.

    Raises:
        OSError: the file cannot be opened; the error says which file and why.
        FileFormatError: its suffix is unknown, or it is malformed, truncated or too long, or it is no
            regular file.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.save(folder + "/x.npy", [[1, 2], [3, 4], [5, 6]])
    ...     with ArrayFile(folder + "/x.npy") as x:
    ...         print(x.layout.shape, x.read(1, 3, x.buffer(2)))
    (3, 2) tensor([[3, 4],
            [5, 6]])
    """

    def __init__(self, name: Name) -> None:
        place = Place.read(name)
        self.file = RegularFile(place.path)
        try:
            self.layout: Layout = (
                npy.read_layout(self.file)
                if place.suffix == NPY
                else safetensors_format.read_layout(self.file, place.tensor)
            )
        except BaseException:
            self.file.raw.close()
            raise

    def buffer(self, samples: int, lead: int = 1) -> memoryview:
        """Return room for so many samples, to read into again and again."""
        room = samples * prod(self.layout.shape[lead:]) * self.layout.dtype.itemsize
        return memoryview(np.empty(room, np.uint8))  # type: ignore[arg-type]

    def read(self, start: int, stop: int, buffer: memoryview, lead: int = 1) -> Tensor:
        """Read some samples, contiguous and in the machine's byte order.

        Args:
            start: the first sample.
            stop: the one behind the last.
            buffer: room for them; the tensor may share it.
            lead: how many leading axes, seen as one, count the samples.

        Returns:
            A tensor of shape ``(stop - start, *shape[lead:])``.

        Raises:
            FileFormatError: the file became shorter.
        """
        shape = self.layout.shape[lead:]
        buffer = buffer[: (stop - start) * prod(shape) * self.layout.dtype.itemsize]
        if self.layout.fortran:
            array = self._read_columns(start, stop, buffer)
        else:
            sample = prod(shape) * self.layout.dtype.itemsize
            self.file.read_into(buffer, self.layout.offset + start * sample)
            array = np.frombuffer(buffer, self.layout.stored).reshape(stop - start, *shape)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if self.layout.dtype == torch.bfloat16 else tensor

    def _read_columns(self, start: int, stop: int, buffer: memoryview) -> "np.ndarray[Any, np.dtype[Any]]":
        """Read samples of an array in Fortran order: a run of numbers for each index into a sample."""
        count, *shape = self.layout.shape
        size, offset = self.layout.dtype.itemsize, self.layout.offset
        run = (stop - start) * size
        if stop - start == count:
            self.file.read_into(buffer, offset)
        else:
            for column in range(prod(shape)):
                position = offset + (column * count + start) * size
                self.file.read_into(buffer[column * run : (column + 1) * run], position)
        columns = np.frombuffer(buffer, self.layout.stored).reshape(*reversed(shape), stop - start)
        samples: np.ndarray[Any, np.dtype[Any]] = columns.transpose()
        return samples

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.raw.close()
