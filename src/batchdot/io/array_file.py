"""Arrays in files, read block by block, by path: ``x.npy``, ``x.safetensors``, ``x.safetensors:name``."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from batchdot.errors import FileFormatError
from batchdot.io import npy
from batchdot.io import safetensors as safetensors_format
from batchdot.io.layout import Layout
from batchdot.io.regular_file import RegularFile, printable

PathLike: TypeAlias = str | os.PathLike[str]

DEFAULT_TENSOR = "out"
"""Default name of the tensor in a new file of a format that names tensors."""


class FileFormat(NamedTuple):
    """The functions of one file format.

    Attributes:
        read_layout: ``read_layout(file, tensor)`` checks the header and returns the layout of one tensor.
        header: ``header(shape, dtype, tensor)`` returns the bytes that precede the data in a new file.
        names_tensors: whether tensors have names, as in ``FILE.safetensors:TENSOR``.
    """

    read_layout: Callable[[RegularFile, str | None], Layout]
    header: Callable[[tuple[int, ...], torch.dtype, str], bytes]
    names_tensors: bool


FORMATS = {
    ".npy": FileFormat(
        lambda file, tensor: npy.read_layout(file),
        lambda shape, dtype, tensor: npy.header(shape, dtype),
        names_tensors=False,
    ),
    ".safetensors": FileFormat(safetensors_format.read_layout, safetensors_format.header, names_tensors=True),
}
"""All file formats, by the suffix of the path."""


@dataclass(frozen=True, slots=True)
class TensorPath:
    """The path of a file, its format by its suffix, and optionally the name of a tensor in it."""

    path: str
    suffix: str
    tensor: str | None = None

    @classmethod
    def parse(cls, name: PathLike) -> "TensorPath":
        """Parse a path such as ``FILE.npy`` or ``FILE.safetensors:TENSOR``; suffixes also in capitals.

        Raises:
            FileFormatError: the suffix is of no known format.

        >>> TensorPath.parse("model.safetensors:query")
        TensorPath(path='model.safetensors', suffix='.safetensors', tensor='query')
        """
        text = os.fsdecode(name)
        named = [suffix for suffix, file_format in FORMATS.items() if file_format.names_tensors]
        for suffix in named:
            if match := re.search(re.escape(suffix) + "(:)", text, re.IGNORECASE | re.ASCII):
                return cls(text[: match.start(1)], suffix, text[match.end(1) :])
        for suffix in FORMATS:
            if text.lower().endswith(suffix):
                return cls(text, suffix)
        raise FileFormatError(
            f"cannot tell the format of {printable(text)!r} from its name: it should end with "
            f"{' or '.join(FORMATS)}, or be {' or '.join(f'FILE{suffix}:TENSOR' for suffix in named)}"
        )

    def header(self, shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
        """Return the bytes that precede the data in a new file.

        Raises:
            FileFormatError: the format has no such dtype, or does not allow the name of the tensor.
        """
        tensor = DEFAULT_TENSOR if self.tensor is None else self.tensor
        try:
            return FORMATS[self.suffix].header(shape, dtype, tensor)
        except FileFormatError as error:
            raise FileFormatError(f"cannot write {printable(self.path)}: {error}") from None


@dataclass(frozen=True, slots=True)
class WrittenArray:
    """Path, shape and dtype of an array that was written to a file."""

    path: str
    shape: tuple[int, ...]
    dtype: torch.dtype


class ArrayFile:
    """An open file that holds an array; a context manager that reads blocks of it.

    Attributes:
        layout: shape and dtype of the array, and the position of its data.

    Raises:
        OSError: the file cannot be opened; the message names the file and the reason.
        FileFormatError: the suffix is unknown, the file is malformed, truncated or too long, or it is not
            a regular file.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.save(folder + "/x.npy", [[1, 2], [3, 4], [5, 6]])
    ...     with ArrayFile(folder + "/x.npy") as x:
    ...         print(x.layout.shape, x.reader(2).read(1, 3))
    (3, 2) tensor([[3, 4],
            [5, 6]])
    """

    def __init__(self, name: PathLike) -> None:
        place = TensorPath.parse(name)
        self.file = RegularFile(place.path)
        try:
            self.layout = FORMATS[place.suffix].read_layout(self.file, place.tensor)
        except BaseException:
            self.file.raw.close()
            raise

    def reader(self, samples: int, leading_axes: int = 1) -> "BlockReader":
        """Allocate a buffer for a number of samples, and return what reads blocks into it.

        Args:
            samples: the most samples of a block.
            leading_axes: number of leading axes that are flattened into the sample axis.
        """
        return BlockReader(self.file, self.layout, samples, leading_axes)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.raw.close()


class BlockReader:
    """Reads blocks of samples of an array in a file into one buffer; of one thread at a time.

    Args:
        file: the open file.
        layout: the layout of the array.
        samples: the most samples of a block.
        leading_axes: number of leading axes that are flattened into the sample axis.
    """

    def __init__(self, file: RegularFile, layout: Layout, samples: int, leading_axes: int) -> None:
        self.file, self.layout, self.shape = file, layout, layout.shape[leading_axes:]
        self.sample_bytes = prod(self.shape) * layout.dtype.itemsize
        self.bytes = np.empty(samples * self.sample_bytes, np.uint8)
        self.buffer = memoryview(self.bytes)  # type: ignore[arg-type]
        # What lies in the file as in memory is one tensor for all blocks: each costs one call of the system.
        self.tensor = None if layout.fortran or layout.big_endian else self._tensor(samples)

    def read(self, start: int, stop: int) -> Tensor:
        """Read samples ``start`` to ``stop``, contiguous and in native byte order.

        Returns:
            A tensor of shape ``(stop - start, *shape[leading_axes:])``, which the next call may overwrite.

        Raises:
            FileFormatError: the file was truncated meanwhile.
        """
        count = stop - start
        if self.layout.fortran:
            self._read_columns(start, stop)
        else:
            self.file.read_into(
                self.buffer[: count * self.sample_bytes], self.layout.offset + start * self.sample_bytes
            )
        return self._tensor(count) if self.tensor is None else self.tensor[:count]

    def _tensor(self, count: int) -> Tensor:
        """Return the first samples in the buffer."""
        array = self.bytes[: count * self.sample_bytes].view(self.layout.numpy_dtype)
        if self.layout.fortran:
            array = array.reshape(*reversed(self.shape), count).transpose()
        else:
            array = array.reshape(count, *self.shape)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = torch.from_numpy(array).contiguous()  # transposes in half of numpy's time
        return tensor.view(torch.bfloat16) if self.layout.dtype == torch.bfloat16 else tensor

    def _read_columns(self, start: int, stop: int) -> None:
        """Read samples of an array in Fortran order: one contiguous run for each index into a sample."""
        count, size, offset = self.layout.shape[0], self.layout.dtype.itemsize, self.layout.offset
        run = (stop - start) * size
        if stop - start == count:
            self.file.read_into(self.buffer[: count * self.sample_bytes], offset)
            return
        for column in range(prod(self.shape)):
            position = offset + (column * count + start) * size
            self.file.read_into(self.buffer[column * run : (column + 1) * run], position)
