"""Walk the B-trees of an HDF5 file, which index group members, attributes and chunks.

Sections III.A.1 (version 1) and III.A.2 (version 2) of the specification, version 3. A node's level is
one less than its parent's, so a walk ends; the reader's budget bounds its length.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from batchdot.porting.archive.hdf5.bytes_reader import UNDEFINED, Fields, Reader, encoded_size
from batchdot.porting.archive.hdf5.messages import decode_name
from batchdot.porting.archive.limits import MAX_OBJECTS
from batchdot.porting.errors import ModelFileError, quote


def _tree1(
    reader: Reader, address: int, kind: int, key: int, level: int | None = None
) -> Iterator[tuple[Fields, int]]:
    """Yield key and address of the leaves of a version 1 tree, in order."""
    head = reader.fields(address, 24, b"TREE")
    found_kind, found_level, count = head.unsigned(1), head.unsigned(1), head.unsigned(2)
    if found_kind != kind or (level is not None and found_level != level) or found_level > 8:
        raise ModelFileError("an HDF5 B-tree that is damaged")
    node = Fields(reader.read(address + 24, count * (key + 8)))
    for _ in range(count):
        keys, child = Fields(node.take(key)), node.unsigned(8)
        if found_level:
            yield from _tree1(reader, child, kind, key, found_level - 1)
        else:
            yield keys, child


_ENTRY = struct.Struct("<QQI20x")
"""Of a symbol table: where the name is, where the object is, and what else is told of it."""


def symbol_table(reader: Reader, tree: int, names: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and header address of the members of a group that is a symbol table."""
    for _, leaf in _tree1(reader, tree, kind=0, key=8):
        head = reader.fields(leaf, 8, b"SNOD")
        head.take(2)
        for name_at, address, cached in _ENTRY.iter_unpack(reader.read(leaf + 8, 40 * head.unsigned(2))):
            end = names.find(b"\0", name_at) if name_at < len(names) else -1
            if end < 0:
                raise ModelFileError("a member without a name in an HDF5 group")
            name = decode_name(names[name_at:end])
            if cached == 2 or address == UNDEFINED:
                raise ModelFileError(f"a soft link, {quote(name)}", "hard links")
            yield name, address


@dataclass(frozen=True)
class Chunk:
    """A stretch of the file that holds one chunk of a dataset."""

    start: tuple[int, ...]
    address: int
    size: int
    skipped: int


def chunks(reader: Reader, address: int, rank: int, most: int) -> list[Chunk]:
    """Return the chunks of a dataset; ``skipped`` is the bit mask of filters that one did without.

    Raises:
        ModelFileError: there are more than ``most``.
    """
    found = []
    for key, child in _tree1(reader, address, kind=1, key=8 + 8 * (rank + 1)):
        size, skipped = key.unsigned(4), key.unsigned(4)
        found.append(Chunk(tuple(key.unsigned(8) for _ in range(rank)), child, size, skipped))
        if len(found) > most:
            raise ModelFileError("more chunks than an HDF5 dataset has", f"{most:,}")
    return found


@dataclass(frozen=True)
class Tree2:
    """A version 2 tree: records of one size, in every node."""

    reader: Reader
    kind: int
    node_size: int
    record_size: int
    depth: int
    root: int
    count: int

    @classmethod
    def open(cls, reader: Reader, address: int) -> "Tree2":
        """Read the header of a tree."""
        head = reader.fields(address, 38, b"BTHD")
        head.take(1)
        kind, node_size, record_size, depth = (head.unsigned(size) for size in (1, 4, 2, 2))
        head.take(2)
        root, count = head.unsigned(8), head.unsigned(2)
        if not 0 < record_size <= node_size or node_size > 2**24 or depth > 8:
            raise ModelFileError("an HDF5 B-tree that is damaged")
        return cls(reader, kind, node_size, record_size, depth, root, count)

    def records(self) -> Iterator[Fields]:
        """Yield a cursor over each record.

        Raises:
            ModelFileError: there are more than an HDF5 file of a model may have.
        """
        if self.root == UNDEFINED:
            return
        for seen, record in enumerate(self._node(self.root, self.count, self.depth)):
            if seen >= MAX_OBJECTS:
                raise ModelFileError("more records in an HDF5 B-tree", f"{MAX_OBJECTS:,}")
            yield record

    def _node(self, address: int, count: int, depth: int) -> Iterator[Fields]:
        fields = self.reader.fields(address, self.node_size, b"BTIN" if depth else b"BTLF")
        fields.take(1)
        if fields.unsigned(1) != self.kind:
            raise ModelFileError("an HDF5 B-tree that is damaged")
        records = [Fields(fields.take(self.record_size)) for _ in range(count)]
        if not depth:
            yield from records
            return
        count_size, total_size = self._pointer(depth)
        for index in range(count + 1):
            child, below = fields.unsigned(8), fields.unsigned(count_size)
            fields.take(total_size)
            yield from self._node(child, below, depth - 1)
            if index < count:
                yield records[index]

    def _pointer(self, depth: int) -> tuple[int, int]:
        """Return how many bytes a child's number of records takes, and that of its subtree."""
        most = total = (self.node_size - 10) // self.record_size
        count_size, total_size = encoded_size(most), 0
        for _ in range(depth - 1):
            pointer = 8 + count_size + total_size
            most = (self.node_size - 10 - pointer) // (self.record_size + pointer)
            total = (most + 1) * total + most
            total_size = encoded_size(total)
        return count_size, total_size
