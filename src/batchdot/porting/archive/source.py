"""Sources: read bytes at a position of a file, of a member of an archive, or of memory.

Files are read at a position and never mapped: a mapped file that shrinks kills the process. Pipes,
sockets and devices are refused before they are opened: a pipe without a writer would wait for ever.
"""

import os
import stat
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from batchdot.porting.archive.limits import MIB
from batchdot.porting.errors import ModelFileError


class Source(Protocol):
    """Bytes that can be read at any position, any number of times, from any thread."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position.

        Raises:
            ModelFileError: they are not all there.
        """

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position.

        Raises:
            ModelFileError: the bytes are not all there.
        """


class FileSource:
    """A regular file, opened once and closed when nothing refers to it any more.

    Raises:
        OSError: it cannot be opened.
        ModelFileError: it is a folder, pipe, socket or device.
    """

    def __init__(self, path: str) -> None:
        _refuse_irregular(os.stat(path))
        # Without blocking, in case it became a pipe since.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        self._descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
        self._close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        _refuse_irregular(status)
        self.size = status.st_size
        self._stamp = (status.st_size, status.st_mtime_ns)
        self._lock = threading.Lock()

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises:
            ModelFileError: its size or its time of modification is another.
        """
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            raise ModelFileError("a file that was written to since it was opened", "read it again")

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        _check_range(offset, count, self.size)
        buffer = bytearray(count)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        _check_range(offset, len(buffer), self.size)
        done = 0
        while done < len(buffer):
            count = self._read_at(offset + done, buffer[done:])
            if not count:
                raise ModelFileError(
                    f"a file that became shorter while it was read, at byte {offset + done:,}"
                )
            done += count
        self.check_unchanged()

    def _read_at(self, offset: int, buffer: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [buffer], offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            data = os.read(self._descriptor, min(len(buffer), 16 * MIB))
        buffer[: len(data)] = data
        return len(data)


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        _check_range(offset, count, self.size)
        return self._data[offset : offset + count]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        buffer[:] = self.read(offset, len(buffer))


class PartSource:
    """A stretch of another source, which is checked once against its CRC-32 where one is known."""

    def __init__(self, whole: Source, start: int, size: int, crc: int | None = None) -> None:
        _check_range(start, size, whole.size)
        self._whole = whole
        self._start = start
        self._crc = crc
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        _check_range(offset, count, self.size)
        return self._whole.read(self._start + offset, count)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        _check_range(offset, len(buffer), self.size)
        self._whole.read_into(self._start + offset, buffer)

    def verify(self) -> None:
        """Compare all bytes with the checksum, the first time that it is asked for.

        Raises:
            ModelFileError: they are damaged.
        """
        if self._crc is None:
            return
        crc = 0
        for block in blocks(self):
            crc = zlib.crc32(block, crc)
        if crc != self._crc:
            raise ModelFileError("bytes that do not match their checksum: the file is damaged")
        self._crc = None


class LazySource:
    """Bytes that a function produces when the first of them is asked for."""

    def __init__(self, size: int, produce: Callable[[], bytes]) -> None:
        self.size = size
        self._produce = produce
        self._data: BytesSource | None = None

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        return self._bytes().read(offset, count)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        self._bytes().read_into(offset, buffer)

    def _bytes(self) -> BytesSource:
        if self._data is None:
            self._data = BytesSource(self._produce())
        return self._data


def blocks(source: Source, count: int = MIB) -> Iterator[bytes]:
    """Yield all bytes of a source in order, ``count`` at a time."""
    for offset in range(0, source.size, count):
        yield source.read(offset, min(count, source.size - offset))


def _check_range(offset: int, count: int, size: int) -> None:
    if offset < 0 or count < 0 or offset + count > size:
        raise ModelFileError(
            f"a reference to bytes {offset:,} to {offset + count:,} of {size:,}",
            "a file that is whole: this one is truncated or damaged",
        )


def _refuse_irregular(status: os.stat_result) -> None:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(kinds.get(stat.S_IFMT(status.st_mode), "no regular file"), "a regular file")
