"""Storage: where the numbers of one array lie in a file, and how a file is read without surprises.

Files are read with seek and read into a buffer, never mapped: a mapped file that shrinks kills the
process. Sockets, pipes and devices are refused before they are opened: a pipe without a writer hangs.
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

NUMPY: dict[torch.dtype, np.dtype[Any]] = {
    torch.float64: np.dtype("<f8"),
    torch.float32: np.dtype("<f4"),
    torch.float16: np.dtype("<f2"),
    torch.bfloat16: np.dtype("<i2"),  # its bits; numpy has no such number
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
"""The dtypes that files hold, and what numpy calls their bytes."""

MAX_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the numbers of one array lie in a file, and what they are.

    Attributes:
        shape: sizes of the array.
        dtype: dtype of the numbers.
        offset: byte of the file at which they start.
        big_endian: whether the bytes of a number are in reverse.
        fortran: whether the first axis varies fastest, rather than the last.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    big_endian: bool = False
    fortran: bool = False

    @property
    def stored(self) -> np.dtype[Any]:
        """How numpy reads one number."""
        return NUMPY[self.dtype].newbyteorder(">") if self.big_endian else NUMPY[self.dtype]

    @property
    def nbytes(self) -> int:
        """How many bytes the numbers take."""
        return prod(self.shape) * self.dtype.itemsize


class RegularFile:
    """A regular file that is open to be read: not a folder, pipe, socket or device.

    Raises:
        OSError: it cannot be opened; the error says which file and why.
        FileFormatError: it is not a regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with naming("read", path):
            self._refuse_irregular(os.stat(path))
            # Without blocking, in case it became a pipe since.
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
            raise FileFormatError(f"{shown(self.path)} is {kind_of(status.st_mode)}, not a regular file")

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""
        return self.stat.st_size

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer from a position of the file. Several threads may, where the system reads at one.

        Raises:
            FileFormatError: the file ends before.
        """
        done = 0
        with naming("read", self.path):
            while done < len(buffer):
                count = self._read_at(offset + done, buffer[done:])
                if not count:
                    raise FileFormatError(
                        f"{shown(self.path)} became shorter while it was read: it ends at byte "
                        f"{offset + done:,} of {self.size:,}"
                    )
                done += count

    def _read_at(self, offset: int, buffer: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.raw.fileno(), [buffer], offset)
        self.raw.seek(offset)
        return self.raw.readinto(buffer)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position of the file."""
        buffer = bytearray(count)
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises:
            FileFormatError: its size or its time of modification is another.
        """
        now = os.fstat(self.raw.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
            raise FileFormatError(f"{shown(self.path)} was written to while it was read")

    def __enter__(self) -> "RegularFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raw.close()


def check_length(file: RegularFile, start: int, nbytes: int) -> None:
    """Refuse a file whose numbers do not end where the file does.

    Raises:
        FileFormatError: the file is truncated, or has bytes behind its numbers.
    """
    expected = start + nbytes
    if file.size < expected:
        raise FileFormatError(
            f"{shown(file.path)} is truncated: its header promises {expected:,} bytes "
            f"and it has {file.size:,}"
        )
    if (extra := file.size - expected) > 0:
        raise FileFormatError(
            f"{shown(file.path)} has {extra:,} byte{'s' * (extra != 1)} behind its numbers: its header "
            f"promises {expected:,} bytes and it has {file.size:,}"
        )


def check_shape(shape: Any, path: str) -> tuple[int, ...]:
    """Return the shape that a header gives, refused if no array has it.

    Raises:
        FileFormatError: it is not a sequence of non-negative integers, or too many, or too large.
    """
    if not isinstance(shape, list | tuple) or any(type(size) is not int or size < 0 for size in shape):
        raise FileFormatError(
            f"{shown(path)} has a malformed header: its shape is {short(shape)}, "
            "which is not a sequence of sizes"
        )
    if len(shape) > 64:
        raise FileFormatError(f"{shown(path)} has {len(shape)} axes; at most 64 are read")
    if prod(max(size, 1) for size in shape) * 16 > MAX_BYTES:
        raise FileFormatError(f"{shown(path)} has a malformed header: no file holds the shape {short(shape)}")
    return tuple(shape)


@contextmanager
def naming(verb: str, path: str) -> Iterator[None]:
    """Turn the system's errors into a sentence: cannot read a.npy: no such file or directory."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        reason = reason[:1].lower() + reason[1:]
        raise type(error)(error.errno, f"cannot {verb} {shown(path)}: {reason}") from None
    except ValueError as error:
        if isinstance(error, FileFormatError):
            raise
        # A name that no file system takes, with a null byte in it.
        raise FileFormatError(f"cannot {verb} {shown(path)}: {error}") from None


def kind_of(mode: int) -> str:
    """Say what a file is that is not regular."""
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for test, name in kinds.items() if test(mode)), "something else")


def shown(path: str) -> str:
    """Return a name as a message shows it: on one line, whatever bytes it has."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path
    )


def short(value: object, limit: int = 60) -> str:
    """Return a value of a header as a message shows it: on one line, and not long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = "a huge number"
    return shown(text if len(text) <= limit else text[: limit - 3] + "...")
