"""Read the heaps of an HDF5 file: names, strings, and the links and attributes that exceed a header.

Sections III.D (local heap), III.E (global heap), III.G (fractal heap) of the specification, version 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from batchdot.porting.archive.hdf5.bytes_reader import UNDEFINED, Fields, Reader, encoded_size
from batchdot.porting.archive.limits import MAX_ATTRIBUTE_BYTES
from batchdot.porting.errors import ModelFileError


def read_local_heap(reader: Reader, address: int) -> bytes:
    """Return the data segment of a local heap: names, each ended by a zero byte."""
    fields = reader.fields(address, 32, b"HEAP")
    fields.take(4)
    size = fields.unsigned(8)
    fields.take(8)
    return reader.read(fields.unsigned(8), size)


class GlobalHeap:
    """Strings of variable length, by collection and index; a collection is read once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._collections: dict[int, dict[int, bytes]] = {}

    def get(self, address: int, index: int) -> bytes:
        """Return one object of a collection.

        Raises:
            ModelFileError: it is not there.
        """
        if address not in self._collections:
            self._collections[address] = self._read(address)
        try:
            return self._collections[address][index]
        except KeyError:
            raise ModelFileError(f"a string that the HDF5 heap at byte {address:,} does not hold") from None

    def _read(self, address: int) -> dict[int, bytes]:
        head = self._reader.fields(address, 16, b"GCOL")
        head.take(4)
        fields = Fields(self._reader.read(address, head.unsigned(8)), 16)
        objects: dict[int, bytes] = {}
        while fields.left >= 16:
            index = fields.unsigned(2)
            fields.take(6)
            size = fields.unsigned(8)
            if index == 0:
                break
            objects[index] = fields.take(size)
            fields.align(0)
        return objects


@dataclass(frozen=True)
class FractalHeap:
    """A heap whose objects lie in blocks that double in size from row to row.

    Attributes:
        width: blocks in a row.
        first: bytes of a block of the first two rows.
        largest: bytes of the largest block that holds objects; longer rows hold tables of blocks.
        root: address of the only block, or of the table of blocks.
        rows: rows of the table, 0 where there is only one block.
    """

    reader: Reader
    id_size: int
    offset_size: int
    length_size: int
    width: int
    first: int
    largest: int
    root: int
    rows: int
    huge: int

    @classmethod
    def open(cls, reader: Reader, address: int) -> "FractalHeap":
        """Read the header of a heap.

        Raises:
            ModelFileError: it is compressed, or its sizes make no sense.
        """
        fields = reader.fields(address, 146, b"FRHP")
        fields.take(1)
        id_size, filter_size = fields.unsigned(2), fields.unsigned(2)
        fields.take(1)
        largest_object = fields.unsigned(4)
        fields.take(8)
        huge = fields.unsigned(8)
        fields.take(80)
        width, first, largest = fields.unsigned(2), fields.unsigned(8), fields.unsigned(8)
        bits = fields.unsigned(2)
        fields.take(2)
        root, rows = fields.unsigned(8), fields.unsigned(2)
        powers = all(size and not size & (size - 1) for size in (width, first, largest))
        if (
            filter_size
            or not powers
            or first > largest
            or largest > 2**32
            or not 1 <= bits <= 64
            or rows > 64
        ):
            raise ModelFileError("an HDF5 fractal heap that is compressed or damaged")
        length_size = encoded_size(min(largest, largest_object))
        return cls(reader, id_size, -(-bits // 8), length_size, width, first, largest, root, rows, huge)

    def get(self, heap_id: bytes, find_huge: Callable[[int, int], tuple[int, int]]) -> bytes:
        """Return one object.

        Args:
            heap_id: what names it.
            find_huge: from the address of the index of huge objects and a key, their address and size.

        Raises:
            ModelFileError: it is not there.
        """
        fields = Fields(heap_id)
        kind = fields.unsigned(1) >> 4 & 3
        if kind == 2:
            return fields.take((heap_id[0] & 15) + 1)
        if kind == 1:
            if self.id_size >= 17:
                address, size = fields.unsigned(8), fields.unsigned(8)
            else:
                address, size = find_huge(self.huge, fields.unsigned(min(8, self.id_size - 1)))
            return self._read(address, size)
        if kind != 0:
            raise ModelFileError("an object of an unknown kind in an HDF5 heap")
        offset, size = fields.unsigned(self.offset_size), fields.unsigned(self.length_size)
        address, end = self._find(offset)
        if size > end:
            raise ModelFileError("an object that overruns its block in an HDF5 heap")
        return self._read(address, size)

    def _read(self, address: int, size: int) -> bytes:
        if size > MAX_ATTRIBUTE_BYTES:
            raise ModelFileError(f"an HDF5 attribute of {size:,} bytes", f"{MAX_ATTRIBUTE_BYTES:,}")
        return self.reader.read(address, size)

    def _find(self, offset: int) -> tuple[int, int]:
        """Return the address of an offset of the heap, and how many bytes of its block follow."""
        block, rows = self.root, self.rows
        size = self.first
        while rows:  # each table is smaller than the one that holds it
            row, start = 0, 0
            while offset >= start + self.width * self._row(row):
                start += self.width * self._row(row)
                row += 1
                if row >= rows:
                    raise ModelFileError("an object outside of its HDF5 heap")
            size = self._row(row)
            column = (offset - start) // size
            block = self._child(block, row * self.width + column)
            offset -= start + column * size
            if size <= self.largest:
                break
            below = size.bit_length() - (self.first * self.width).bit_length() + 1
            if not 0 < below < rows:
                raise ModelFileError("an HDF5 fractal heap that is damaged")
            rows = below
        if offset >= size or block == UNDEFINED:
            raise ModelFileError("an object outside of its HDF5 heap")
        return block + offset, size - offset

    def _row(self, row: int) -> int:
        return self.first << max(row - 1, 0)

    def _child(self, table: int, index: int) -> int:
        self.reader.fields(table, 4, b"FHIB")
        at = table + 5 + 8 + self.offset_size + 8 * index
        return Fields(self.reader.read(at, 8)).unsigned(8)
