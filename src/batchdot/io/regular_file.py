"""Safe reads of regular files, and how paths and values of files are written in messages.

Files are read into buffers and never memory-mapped: accessing a mapped file that was truncated kills the
process (SIGBUS). Sockets, pipes and devices are refused before they are opened: opening a pipe without a
writer would block. Nothing here imports torch or numpy.
"""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from batchdot.errors import FileFormatError


class IrregularFileError(FileFormatError):
    """What is at a path is no regular file.

    Attributes:
        kind: what it is, in words.
    """

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(f"{printable(path)} is {kind}, not a regular file")
        self.kind = kind


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; return its descriptor and its status.

    Raises:
        OSError: it cannot be opened.
        IrregularFileError: it is a folder, pipe, socket or device.
    """
    _refuse_irregular(path, os.stat(path))
    # Without blocking, because the file may have been replaced by a pipe since os.stat (a race).
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(path, status)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def _refuse_irregular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError(path, file_type(status.st_mode))


_SEEKING = threading.Lock()


def fill(buffer: memoryview, descriptor: int, offset: int) -> int:
    """Fill a buffer with the bytes of a file from an offset on; any number of threads may do so at a time.

    Returns:
        How many bytes there were: fewer than the buffer takes where the file ended.
    """
    done = 0
    while done < len(buffer):
        count = _read_some(buffer[done:], descriptor, offset + done)
        if not count:
            break
        done += count
    return done


def _read_some(buffer: memoryview, descriptor: int, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    with _SEEKING:
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, min(len(buffer), 1 << 24))
    buffer[: len(data)] = data
    return len(data)


class RegularFile:
    """A regular file opened for reading: not a folder, pipe, socket or device.

    Raises:
        OSError: it cannot be opened; the message names the file and the reason.
        FileFormatError: it is not a regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with with_path_in_errors("read", path):
            descriptor, self.stat = open_regular(path)
            self.raw = os.fdopen(descriptor, "rb", buffering=0)

    @property
    def size(self) -> int:
        """Size in bytes at the time of opening."""
        return self.stat.st_size

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer with the bytes from an offset on. Thread-safe.

        Raises:
            FileFormatError: the file ends before the buffer is full.
        """
        with with_path_in_errors("read", self.path):
            done = fill(buffer, self.raw.fileno(), offset)
        if done < len(buffer):
            raise FileFormatError(
                f"{printable(self.path)} became shorter while it was read: it ends at byte "
                f"{offset + done:,} of {self.size:,}"
            )

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
    """Return a value for a message: on one line, shortened to ``limit`` characters.

    >>> len(abbreviated("x" * 99))
    60
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = "a huge number"
    return printable(text if len(text) <= limit else text[: limit - 3] + "...")
