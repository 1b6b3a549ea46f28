"""Read the header of an HDF5 object: its messages and its attributes."""

import struct
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive.hdf5 import messages
from batchdot.porting.archive.hdf5.bytes_reader import UNDEFINED, Fields, Reader
from batchdot.porting.archive.hdf5.heaps import FractalHeap, GlobalHeap
from batchdot.porting.archive.hdf5.trees import Tree2
from batchdot.porting.archive.limits import MAX_ATTRIBUTE_BYTES, MAX_OBJECTS
from batchdot.porting.errors import ModelFileError, quote

Attribute: TypeAlias = "str | tuple[str, ...] | NDArray[np.generic] | None"
"""A string, a list of strings, numbers, or None where the attribute is empty."""

_PREFIX1 = struct.Struct("<BBHII")
_MESSAGE1 = struct.Struct("<HHBBH")
_MESSAGE2 = struct.Struct("<BHB")
_SHARED = 2
_MAX_MESSAGES = 65_536


def read_messages(reader: Reader, address: int) -> dict[int, list[bytes]]:
    """Return the messages of an object by kind, in order.

    Raises:
        ModelFileError: there is no object, or one that shares a message with another.
    """
    if reader.read(address, 4) == b"OHDR":
        return _read2(reader, address)
    return _read1(reader, address)


def _read1(reader: Reader, address: int) -> dict[int, list[bytes]]:
    version, _, _, _, size = reader.fields(address, 12).unpack(_PREFIX1)
    if version != 1:
        raise ModelFileError(f"no HDF5 object at byte {address:,}")
    found: dict[int, list[bytes]] = {}
    blocks = [(address + 16, size)]
    seen = 0
    for start, length in blocks:
        fields = Fields(reader.read(start, length))
        while fields.left >= 8:
            kind, body_size, flags, _, _ = fields.unpack(_MESSAGE1)
            seen = _collect(found, blocks, kind, flags, fields.take(body_size), seen)
    return found


def _read2(reader: Reader, address: int) -> dict[int, list[bytes]]:
    head = Fields(reader.read(address, 34 if address + 34 <= reader.source.size else 8), 4)
    version, flags = head.unsigned(1), head.unsigned(1)
    if version != 2:
        raise ModelFileError(f"an HDF5 object header of version {version}", "1 or 2")
    head.take((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    size = head.unsigned(1 << (flags & 3))
    found: dict[int, list[bytes]] = {}
    blocks = [(address + head.at, size)]
    seen = 0
    for number, (start, length) in enumerate(blocks):
        fields = Fields(reader.read(start, length))
        if number:
            if fields.take(4) != b"OCHK":
                raise ModelFileError("an HDF5 object header that is damaged")
            fields = Fields(fields.take(fields.left - 4))
        while fields.left >= (6 if flags & 4 else 4):
            kind, body_size, message_flags = fields.unpack(_MESSAGE2)
            fields.take(2 if flags & 4 else 0)
            seen = _collect(found, blocks, kind, message_flags, fields.take(body_size), seen)
    return found


def _collect(
    found: dict[int, list[bytes]],
    blocks: list[tuple[int, int]],
    kind: int,
    flags: int,
    body: bytes,
    seen: int,
) -> int:
    if seen >= _MAX_MESSAGES:
        raise ModelFileError("an HDF5 object header that goes on", f"{_MAX_MESSAGES:,} messages")
    if kind == messages.CONTINUATION:
        fields = Fields(body)
        blocks.append((fields.unsigned(8), fields.unsigned(8)))
    elif flags & _SHARED and kind in (
        messages.DATATYPE,
        messages.DATASPACE,
        messages.FILTERS,
        messages.ATTRIBUTE,
    ):
        raise ModelFileError("an HDF5 object that shares its description with another")
    else:
        found.setdefault(kind, []).append(body)
    return seen + 1


class Attributes:
    """Reads attributes; strings of variable length come from the file's global heap."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._heap = GlobalHeap(reader)
        self._text_left = 2 * reader.source.size  # each string stands in the file once

    def read(self, found: dict[int, list[bytes]]) -> dict[str, Attribute]:
        """Return the attributes that an object's messages hold or point to.

        Raises:
            ModelFileError: one is damaged, of an unknown kind, or there twice.
        """
        result: dict[str, Attribute] = {}
        bodies = [*found.get(messages.ATTRIBUTE, ())]
        for info in found.get(messages.ATTRIBUTE_INFO, ()):
            bodies += self._dense(Fields(info))
        for body in bodies:
            name, value = self._parse(Fields(body))
            if name in result:
                raise ModelFileError(f"the HDF5 attribute {quote(name)} twice")
            result[name] = value
        return result

    def _dense(self, info: Fields) -> list[bytes]:
        heap, tree = _heap_and_tree(info, index_size=2)
        if heap == UNDEFINED:
            return []
        objects = FractalHeap.open(self._reader, heap)
        records = Tree2.open(self._reader, tree).records()
        return [objects.get(record.take(objects.id_size), self._huge) for record in records]

    def links(self, info: bytes) -> list[bytes]:
        """Return the link messages of a group that keeps them in a heap."""
        heap, tree = _heap_and_tree(Fields(info), index_size=8)
        if heap == UNDEFINED:
            return []
        objects = FractalHeap.open(self._reader, heap)
        index = Tree2.open(self._reader, tree)
        skip = {5: 4, 6: 8}.get(index.kind)
        if skip is None:
            raise ModelFileError("an HDF5 group with an index of an unknown kind")
        result = []
        for record in index.records():
            record.take(skip)
            result.append(objects.get(record.take(objects.id_size), self._huge))
        return result

    def _huge(self, tree: int, key: int) -> tuple[int, int]:
        index = Tree2.open(self._reader, tree)
        for record in index.records():
            address, size = record.unsigned(8), record.unsigned(8)
            if index.kind == 1 and record.unsigned(8) == key:
                return address, size
        raise ModelFileError("an HDF5 attribute that its heap does not hold")

    def _parse(self, fields: Fields) -> tuple[str, Attribute]:
        version, flags = fields.unsigned(1), fields.unsigned(1)
        if version not in (1, 2, 3) or (version > 1 and flags):
            raise ModelFileError(f"an HDF5 attribute of version {version} with flags {flags}")
        sizes = [fields.unsigned(2) for _ in range(3)]
        if version == 3:
            fields.take(1)
        parts = []
        for size in sizes:
            parts.append(fields.take(size))
            if version == 1:
                fields.align(fields.at - size)
        name = messages.decode_name(parts[0])
        datatype = messages.parse_datatype(Fields(parts[1]))
        shape = messages.parse_dataspace(Fields(parts[2]))
        if shape is None:
            return name, None
        count = prod(shape)
        if count > MAX_OBJECTS or count * datatype.size > MAX_ATTRIBUTE_BYTES:
            raise ModelFileError(
                f"the HDF5 attribute {quote(name)} of shape {quote(shape)}", f"{MAX_OBJECTS:,}"
            )
        data = fields.take(count * datatype.size)
        if datatype.kind == "text":
            return name, _as_shaped(shape, self._texts(data))
        if datatype.kind == "string":
            step = datatype.size
            texts = [_decode(data[at : at + step].rstrip(b"\0")) for at in range(0, len(data), step)]
            return name, _as_shaped(shape, texts)
        if datatype.kind == "opaque":
            return name, None
        return name, np.frombuffer(data, datatype.code).reshape(shape)

    def _texts(self, data: bytes) -> list[str]:
        texts = []
        fields = Fields(data)
        while fields.left:
            size, address, index = fields.unsigned(4), fields.unsigned(8), fields.unsigned(4)
            self._text_left -= size
            if self._text_left < 0:
                raise ModelFileError("more text in HDF5 attributes than in the file")
            text = self._heap.get(address, index)[:size] if size else b""
            if len(text) != size:
                raise ModelFileError("a string longer than its place in an HDF5 heap")
            texts.append(_decode(text))
        return texts


def _heap_and_tree(info: Fields, index_size: int) -> tuple[int, int]:
    info.take(1)
    if info.unsigned(1) & 1:
        info.take(index_size)
    return info.unsigned(8), info.unsigned(8)


def _as_shaped(shape: tuple[int, ...], texts: list[str]) -> str | tuple[str, ...]:
    return texts[0] if shape == () else tuple(texts)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError(f"HDF5 text that is not UTF-8, {quote(data)}") from None
