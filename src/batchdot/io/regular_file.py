"""Safe reads of regular files, and the layout of one array in a file.

Files are read into buffers and never memory-mapped: accessing a mapped file that was truncated kills the
process (SIGBUS). Sockets, pipes and devices are refused before they are opened: opening a pipe without a
writer would block.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import Any

import numpy as np
import torch

from batchdot.errors import FileFormatError

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


class RegularFile:
    """A regular file opened for reading: not a folder, pipe, socket or device.

    Raises:
        OSError: it cannot be opened; the message names the file and the reason.
        FileFormatError: it is not a regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with with_path_in_errors("read", path):
            self._refuse_irregular(os.stat(path))
            # O_NONBLOCK, because the file may have been replaced by a pipe since os.stat (a race).
            descriptor = os.open(
                path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            )
            self.raw = os.fdopen(descriptor, "rb", buffering=0)
            self.stat = os.fstat(descriptor)
        try:
            self._refuse_irregular(self.stat)
        except FileFormatError:
            self.raw.close()
            raise

    def _refuse_irregular(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise FileFormatError(
                f"{printable(self.path)} is {file_type(status.st_mode)}, not a regular file"
            )

    @property
    def size(self) -> int:
        """Size in bytes at the time of opening."""
        return self.stat.st_size

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer with the bytes from an offset on. Thread-safe where os.preadv exists.

        Raises:
            FileFormatError: the file ends before the buffer is full.
        """
        done = 0
        with with_path_in_errors("read", self.path):
            while done < len(buffer):
                count = self._read_at(offset + done, buffer[done:])
                if not count:
                    raise FileFormatError(
                        f"{printable(self.path)} became shorter while it was read: it ends at byte "
                        f"{offset + done:,} of {self.size:,}"
                    )
                done += count

    def _read_at(self, offset: int, buffer: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.raw.fileno(), [buffer], offset)
        self.raw.seek(offset)
        return self.raw.readinto(buffer)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from an offset on."""
        buffer = bytearray(count)
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def check_unchanged(self) -> None:
        """Check that the file was not written to since it was opened.

        Raises:
            FileFormatError: its size or its modification time has changed.
        """
        now = os.fstat(self.raw.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
            raise FileFormatError(f"{printable(self.path)} was written to while it was read")

    def __enter__(self) -> "RegularFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raw.close()


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
    if not isinstance(shape, (list, tuple)) or any(type(size) is not int or size < 0 for size in shape):
        raise FileFormatError(
            f"{printable(path)} has a malformed header: its shape is {abbreviated(shape)}, "
            "which is not a sequence of sizes"
        )
    if len(shape) > 64:
        raise FileFormatError(f"{printable(path)} has {len(shape)} axes; at most 64 are read")
    if prod([size or 1 for size in shape]) * 16 > MAX_BYTES:
        raise FileFormatError(
            f"{printable(path)} has a malformed header: no file holds the shape {abbreviated(shape)}"
        )
    return tuple(shape)


@contextmanager
def with_path_in_errors(verb: str, path: str) -> Iterator[None]:
    """Re-raise system errors with the path: ``cannot read a.npy: no such file or directory``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        reason = reason[:1].lower() + reason[1:]
        raise type(error)(error.errno, f"cannot {verb} {printable(path)}: {reason}") from None
    except ValueError as error:
        if isinstance(error, FileFormatError):
            raise
        # A path with a null byte, which no file system allows.
        raise FileFormatError(f"cannot {verb} {printable(path)}: {error}") from None


def file_type(mode: int) -> str:
    """Return the type of a file that is not regular, in words."""
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for test, name in kinds.items() if test(mode)), "something else")


def printable(path: str) -> str:
    """Return a path for a message: on one line, with unprintable characters escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path
    )


def abbreviated(value: object, limit: int = 60) -> str:
    """Return a value for a message: on one line, shortened to ``limit`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = "a huge number"
    return printable(text if len(text) <= limit else text[: limit - 3] + "...")
