"""Parse header messages of an HDF5 object: datatypes, dataspaces, layouts, filters, links.

Section IV.A of the specification of the file format, version 3.
"""

import struct
from dataclasses import dataclass
from math import prod
from typing import Final

from batchdot.porting.archive.hdf5.bytes_reader import UNDEFINED, Fields
from batchdot.porting.archive.limits import MAX_AXIS, MAX_NAME, MAX_RANK, MAX_TENSOR
from batchdot.porting.errors import ModelFileError, quote

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT = 0x1, 0x2, 0x3, 0x6, 0x7, 0x8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0xB, 0xC, 0x10, 0x11, 0x15

DEFLATE, SHUFFLE = 1, 2

KINDS = {2: "times", 4: "bit fields", 6: "compounds", 7: "references", 10: "arrays of arrays"}

FLOATS: Final[dict[tuple[int, ...], str]] = {
    (16, 10, 5, 0, 10, 15): "f2",
    (32, 23, 8, 0, 23, 127): "f4",
    (64, 52, 11, 0, 52, 1023): "f8",
    (16, 7, 8, 0, 7, 127): "bfloat16",
}
"""Precision, exponent's place and size, mantissa's place and size, bias."""


@dataclass(frozen=True)
class Datatype:
    """What one element is.

    Attributes:
        kind: "number", "bool", "bfloat16", "opaque", "string", or "text" for one of variable length.
        size: bytes of one element.
        code: numpy's name for a number, byte order included.
    """

    kind: str
    size: int
    code: str = ""


def parse_datatype(fields: Fields) -> Datatype:
    """Return what a datatype message means.

    Raises:
        ModelFileError: it is of a kind that no Keras weight has.
    """
    head, bits0, bits1, _, size = fields.unpack(_DATATYPE)
    version, kind = head >> 4, head & 15
    if not 1 <= version <= 4:
        raise ModelFileError(f"an HDF5 datatype of version {version}")
    order = ">" if bits0 & 1 else "<"
    if kind == 0:
        return _integer(fields, order, signed=bool(bits0 & 8), size=size)
    if kind == 1:
        return _float(fields, order, size, vax=bool(bits0 & 0x40))
    if kind == 3:
        return Datatype("string", _at_least_one(size))
    if kind == 5 and size == 2:  # bfloat16 of Keras 3, which NumPy knows as two bytes
        return Datatype("bfloat16", size, "<u2")
    if kind == 5:
        return Datatype("opaque", _at_least_one(size))
    if kind == 8:
        return _enumeration(fields, version, bits0 | bits1 << 8)
    if kind == 9 and bits0 & 15 == 1 and size == 16:
        return Datatype("text", size)
    name = "sequences of variable length" if kind == 9 else KINDS.get(kind, f"class {kind}")
    raise ModelFileError(f"HDF5 {name}", "numbers and strings")


_DATATYPE = struct.Struct("<BBBBI")
_INTEGER = struct.Struct("<HH")
_FLOAT = struct.Struct("<HHBBBBI")


def _integer(fields: Fields, order: str, signed: bool, size: int) -> Datatype:
    offset, precision = fields.unpack(_INTEGER)
    if size not in (1, 2, 4, 8) or offset or precision != 8 * size:
        raise ModelFileError(f"HDF5 integers of {precision} bits in {size} bytes", "1, 2, 4 or 8 whole bytes")
    return Datatype("number", size, f"{order}{'i' if signed else 'u'}{size}")


def _float(fields: Fields, order: str, size: int, vax: bool) -> Datatype:
    offset, *layout = fields.unpack(_FLOAT)
    code = FLOATS.get(tuple(layout))
    if code is None or offset or vax or layout[0] != 8 * size:
        raise ModelFileError("HDF5 floats of an unknown layout", "IEEE half, single, double, or bfloat16")
    if code == "bfloat16":
        return Datatype(code, size, f"{order}u2")
    return Datatype("number", size, order + code)


def _enumeration(fields: Fields, version: int, count: int) -> Datatype:
    """Return booleans, which h5py writes as an enumeration of FALSE and TRUE; no other is a weight."""
    base = parse_datatype(fields)
    names = []
    for _ in range(count if count <= 2 else 0):
        start = fields.at
        end = fields.data.find(b"\0", start)
        names.append(fields.take(max(end, start) - start))
        fields.take(1)
        if version < 3:
            fields.align(start)
    values = [fields.unsigned(base.size) for _ in names]
    if base.size != 1 or base.kind != "number" or (names, values) != ([b"FALSE", b"TRUE"], [0, 1]):
        raise ModelFileError("HDF5 enumerations", "booleans, numbers and strings")
    return Datatype("bool", 1, "|b1")


def _at_least_one(size: int) -> int:
    if not size:
        raise ModelFileError("HDF5 elements of no size")
    return size


def parse_dataspace(fields: Fields) -> tuple[int, ...] | None:
    """Return a shape, () for a scalar, None for the empty dataspace.

    Raises:
        ModelFileError: an axis or the whole is beyond the limits.
    """
    version, rank, flags = fields.unpack(_DATASPACE)
    if version == 1:
        fields.take(5)
        kind = 1
    elif version == 2:
        kind = fields.unsigned(1)
    else:
        raise ModelFileError(f"an HDF5 dataspace of version {version}")
    if rank > MAX_RANK:
        raise ModelFileError(f"an array of {rank} axes", f"{MAX_RANK}")
    shape = tuple(fields.unsigned(8) for _ in range(rank))
    if flags & 1:
        fields.take(8 * rank)
    if kind == 2:
        return None
    if any(size > MAX_AXIS for size in shape) or prod(shape) > MAX_TENSOR:
        raise ModelFileError(
            f"an array of shape {quote(shape)}", f"axes up to {MAX_AXIS:,}, in all {MAX_TENSOR:,}"
        )
    return shape


_DATASPACE = struct.Struct("<BBB")


@dataclass(frozen=True)
class Layout:
    """Where the elements of a dataset lie.

    Attributes:
        kind: "compact", "contiguous" or "chunked".
        address: of the elements, or of the index of chunks.
        data: the elements themselves where compact.
        size: bytes of the elements where contiguous.
        chunk: shape of one chunk.
        single: bytes of the only chunk where there is one without an index, 0 where it is not filtered.
    """

    kind: str
    address: int = UNDEFINED
    data: bytes = b""
    size: int = 0
    chunk: tuple[int, ...] = ()
    single: int | None = None


def parse_layout(fields: Fields) -> Layout:
    """Return where a layout message says that elements are.

    Raises:
        ModelFileError: they are in other files, or indexed in a way that Keras does not write.
    """
    version, kind = fields.unsigned(1), fields.unsigned(1)
    if version not in (3, 4):
        raise ModelFileError(f"an HDF5 layout of version {version}", "3 or 4")
    if kind == 0:
        return Layout("compact", data=fields.take(fields.unsigned(2)))
    if kind == 1:
        return Layout("contiguous", fields.unsigned(8), size=fields.unsigned(8))
    if kind == 3:
        raise ModelFileError("an HDF5 virtual dataset, which lies in other files", "data in this file")
    if kind != 2:
        raise ModelFileError(f"an HDF5 layout of class {kind}")
    if version == 3:
        rank = fields.unsigned(1)
        address = fields.unsigned(8)
        return Layout("chunked", address, chunk=_chunk(tuple(fields.unsigned(4) for _ in range(rank))))
    return _chunked4(fields)


def _chunked4(fields: Fields) -> Layout:
    flags, rank, width = fields.unsigned(1), fields.unsigned(1), fields.unsigned(1)
    if not 1 <= width <= 8:
        raise ModelFileError(f"chunk sizes of {width} bytes")
    chunk = _chunk(tuple(fields.unsigned(width) for _ in range(rank)))
    index = fields.unsigned(1)
    if index != 1:
        raise ModelFileError(
            "an index of chunks that only HDF5 1.10 and later write", 'rewrite it: h5repack -l "CONTI"'
        )
    single = 0
    if flags & 2:
        single = fields.unsigned(8)
        fields.take(4)
    return Layout("chunked", fields.unsigned(8), chunk=chunk, single=single)


def _chunk(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk, without the size of an element that follows it."""
    chunk = sizes[:-1]
    if not 1 <= len(chunk) <= MAX_RANK or any(not 1 <= size <= MAX_AXIS for size in chunk):
        raise ModelFileError(f"HDF5 chunks of shape {quote(chunk)}")
    return chunk


def parse_filters(fields: Fields) -> tuple[int, ...]:
    """Return the filters that chunks went through when written, in that order.

    Raises:
        ModelFileError: one is neither gzip nor shuffle.
    """
    version, count = fields.unsigned(1), fields.unsigned(1)
    if version not in (1, 2):
        raise ModelFileError(f"HDF5 filters of version {version}")
    if version == 1:
        fields.take(6)
    filters = []
    for _ in range(count):
        number = fields.unsigned(2)
        name_size = fields.unsigned(2) if version == 1 or number >= 256 else 0
        fields.take(2)
        values = fields.unsigned(2)
        fields.take(-(-name_size // 8) * 8 if version == 1 else name_size)
        fields.take(4 * (values + (values % 2 if version == 1 else 0)))
        if number not in (DEFLATE, SHUFFLE):
            raise ModelFileError(
                f"the HDF5 filter {number}", "gzip and shuffle; rewrite it: h5repack -f NONE"
            )
        filters.append(number)
    if len(set(filters)) != len(filters):
        raise ModelFileError("an HDF5 filter twice")
    return tuple(filters)


def parse_link(fields: Fields) -> tuple[str, int]:
    """Return the name and the address that a link message gives.

    Raises:
        ModelFileError: the link names another place by a path.
    """
    version, flags = fields.unsigned(1), fields.unsigned(1)
    if version != 1:
        raise ModelFileError(f"an HDF5 link of version {version}")
    kind = fields.unsigned(1) if flags & 8 else 0
    if flags & 4:
        fields.take(8)
    if flags & 16:
        fields.take(1)
    name = decode_name(fields.take(fields.unsigned(1 << (flags & 3))))
    if kind:
        what = {1: "a soft link", 64: "an external link, to another file"}.get(kind, f"a link of kind {kind}")
        raise ModelFileError(f"{what}, {quote(name)}", "hard links")
    return name, fields.unsigned(8)


def decode_name(data: bytes) -> str:
    """Return a name of a link or of an attribute.

    Raises:
        ModelFileError: it is too long, empty, or no UTF-8.
    """
    try:
        name = data.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError(f"an HDF5 name that is not UTF-8, {quote(data)}") from None
    if not name or len(name) > MAX_NAME or "\0" in name:
        raise ModelFileError(f"the HDF5 name {quote(name)}", f"1 to {MAX_NAME} characters")
    return name
