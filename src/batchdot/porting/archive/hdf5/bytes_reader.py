"""Read the little-endian structures of an HDF5 file at their addresses, within a budget for the file."""

import struct

from batchdot.porting.archive.limits import MAX_HDF5_METADATA, MAX_OBJECTS
from batchdot.porting.archive.source import Source
from batchdot.porting.errors import ModelFileError, quote

UNDEFINED = 2**64 - 1
"""The address of what was never written."""

PAGE, MOST_PAGES = 4096, 64
"""Bytes that are read of a file at a time, and how many such pieces are kept."""


class Fields:
    """A cursor over bytes; every read is checked against their end."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes follow the cursor."""
        return len(self.data) - self.at

    def unsigned(self, size: int) -> int:
        """Return an unsigned integer of ``size`` bytes and step over it."""
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        """Return ``size`` bytes and step over them."""
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise ModelFileError(f"an HDF5 structure that ends {end - len(self.data):,} bytes early")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Return the fields of a little-endian layout and step over them."""
        try:
            values = layout.unpack_from(self.data, self.at)
        except struct.error:
            raise ModelFileError("an HDF5 structure that ends early") from None
        self.at += layout.size
        return values

    def align(self, start: int, multiple: int = 8) -> None:
        """Step to the next multiple of ``multiple`` bytes, counted from ``start``."""
        self.at = min(start + -(-(self.at - start) // multiple) * multiple, len(self.data))


class Reader:
    """The structures of one file; the sum of what is read is bounded, so that no cycle runs for long."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._bytes_left = MAX_HDF5_METADATA
        self._structures_left = 4 * MAX_OBJECTS
        self._pages: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        """Return ``size`` bytes of structure at an address."""
        self._bytes_left -= size
        self._structures_left -= 1
        if self._bytes_left < 0 or self._structures_left < 0:
            raise ModelFileError(f"more than {MAX_HDF5_METADATA:,} bytes of HDF5 structure, or a cycle")
        first, last = address // PAGE, (address + size - 1) // PAGE
        if last - first > 1 or address + size > self.source.size:
            return self.source.read(address, size)
        data = self._page(first) if first >= last else self._page(first) + self._page(last)
        start = address - first * PAGE
        return data[start : start + size]

    def _page(self, number: int) -> bytes:
        """Return a page of the file; structures are small, and lie side by side."""
        if number not in self._pages:
            if len(self._pages) >= MOST_PAGES:
                self._pages.clear()
            start = number * PAGE
            self._pages[number] = self.source.read(start, min(PAGE, self.source.size - start))
        return self._pages[number]

    def fields(self, address: int, size: int, signature: bytes = b"") -> Fields:
        """Return a cursor over a structure, behind its signature.

        Raises:
            ModelFileError: the structure is not there.
        """
        fields = Fields(self.read(address, size))
        if signature and (found := fields.take(len(signature))) != signature:
            raise ModelFileError(
                f"{quote(found)} at byte {address:,}", f"{quote(signature)}, as HDF5 has there"
            )
        return fields


def encoded_size(limit: int) -> int:
    """Return how many bytes HDF5 takes to write numbers up to a limit.

    >>> encoded_size(255), encoded_size(256)
    (1, 2)
    """
    return (max(limit, 1).bit_length() - 1) // 8 + 1
