"""Sources: read bytes at a position of a file, of a member of an archive, or of memory."""

import os
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from batchdot.io.regular_file import IrregularFileError, fill, open_regular
from batchdot.porting.archive.limits import MIB
from batchdot.porting.errors import ModelFileError, quote


class Source(Protocol):
    """Bytes that can be read at any position, any number of times, from any thread."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    @property
    def stored(self) -> int:
        """How many bytes of the file they take: fewer where they are deflated."""

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

    def verify(self) -> None:
        """Compare all bytes with their checksum where there is one, the first time that it is asked for.

        Raises:
            ModelFileError: they are damaged.
        """


class FileSource:
    """A regular file, opened once and closed when nothing refers to it any more.

    Raises:
        OSError: it cannot be opened.
        ModelFileError: it is a folder, pipe, socket or device.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor, status = open_regular(path)
        except IrregularFileError as error:
            raise ModelFileError(error.kind, "a regular file") from None
        except ValueError:
            raise ModelFileError(f"the path {quote(path)}", "a path without null bytes") from None
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self.size = self.stored = status.st_size
        self._stamp = (status.st_size, status.st_mtime_ns)

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
        done = fill(buffer, self._descriptor, offset)
        if done < len(buffer):
            raise ModelFileError(f"a file that became shorter while it was read, at byte {offset + done:,}")
        self.check_unchanged()

    def verify(self) -> None:
        """A file has no checksum."""


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = self.stored = len(data)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        _check_range(offset, count, self.size)
        return self._data[offset : offset + count]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        buffer[:] = self.read(offset, len(buffer))

    def verify(self) -> None:
        """Bytes in memory have no checksum."""


class PartSource:
    """A stretch of another source, which is checked once against its CRC-32 where one is known."""

    def __init__(self, whole: Source, start: int, size: int, crc: int | None = None) -> None:
        _check_range(start, size, whole.size)
        self._whole = whole
        self._start = start
        self._crc = crc
        self.size = self.stored = size

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        _check_range(offset, count, self.size)
        return self._whole.read(self._start + offset, count)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        _check_range(offset, len(buffer), self.size)
        self._whole.read_into(self._start + offset, buffer)

    def verify(self) -> None:
        """Compare all bytes with the checksum.

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

    def __init__(self, size: int, stored: int, produce: Callable[[], bytes]) -> None:
        self.size = size
        self.stored = stored
        self._produce = produce
        self._data: BytesSource | None = None

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from a position."""
        return self._bytes().read(offset, count)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from a position."""
        self._bytes().read_into(offset, buffer)

    def verify(self) -> None:
        """What produces the bytes has compared them."""
        self._bytes()

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
