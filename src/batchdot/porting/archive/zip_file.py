"""Strict zip: read the members of a ``.keras`` archive (format: PKWARE APPNOTE).

Stricter than Python's ``zipfile``, which never compares the two headers of a member, lets members
overlap and trusts the sizes in them. Nothing is extracted.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from batchdot.porting.archive.limits import MAX_NAME, MAX_ZIP_MEMBERS, MIB, most_inflated
from batchdot.porting.archive.source import LazySource, PartSource, Source
from batchdot.porting.errors import ModelFileError, quote

LOCAL, CENTRAL, END, END64, LOCATOR64 = (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7")
STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIPTOR = 0x2041, 0x8
"""Bits of the flags: encrypted (plainly, strongly, or its headers); sizes follow the data."""

ZIP64 = 1
FULL32, FULL16 = 0xFFFFFFFF, 0xFFFF


@dataclass(frozen=True)
class Member:
    """One member of an archive, as both of its headers describe it."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    descriptor: bool


def members(
    source: Source, is_expected: Callable[[str], bool], most: int = MAX_ZIP_MEMBERS
) -> dict[str, Source]:
    """Return what is in an archive, by name; a member is inflated when its first byte is read.

    Args:
        source: the archive.
        is_expected: says of a name whether an archive of this kind may hold it.
        most: how many members there may be.

    Raises:
        ModelFileError: it is no archive, damaged, encrypted, ambiguous, or beyond the limits.
    """
    start, size, count = _directory(source)
    if count > most:
        raise ModelFileError(f"a zip of {count:,} members", f"{most:,}")
    if size > 16 * MIB:
        raise ModelFileError(f"a zip directory of {size:,} bytes", f"{16 * MIB:,}")
    directory = source.read(start, size)
    found: dict[str, Member] = {}
    position = 0
    for _ in range(count):
        member, position = _central(directory, position)
        _check_name(member.name, is_expected)
        if member.name in found:
            raise ModelFileError("the member twice", place=quote(member.name))
        found[member.name] = member
    deflated = [member for member in found.values() if member.method == DEFLATED]
    packed = sum(member.packed for member in deflated)
    _check_inflation("members that inflate", packed, sum(member.size for member in deflated))
    if position != size:
        raise ModelFileError(f"{size - position:,} bytes behind the last entry of the zip's directory")
    ends = start
    result: dict[str, Source] = {}
    for member in sorted(found.values(), key=lambda member: member.offset, reverse=True):
        data = _local(source, member)
        if data + member.packed > ends:
            raise ModelFileError("a member that overlaps with what follows it", place=quote(member.name))
        ends = member.offset
        result[member.name] = _open(source, member, data)
    if ends != 0 and found:
        raise ModelFileError(f"{ends:,} bytes in front of the first member", "none")
    return result


def _directory(source: Source) -> tuple[int, int, int]:
    """Return start, size and count of the central directory, which ends where the end record begins."""
    tail_size = min(source.size, 22 + FULL16)
    tail = source.read(source.size - tail_size, tail_size)
    at = tail.rfind(END)
    while at >= 0 and (at + 22 > len(tail) or at + 22 + _u16(tail, at + 20) != len(tail)):
        at = tail.rfind(END, 0, at)
    if at < 0:
        raise ModelFileError("a zip without its end record", "the whole file: this one is truncated")
    disk, first_disk, here, count, size, start = struct.unpack_from("<HHHHII", tail, at + 4)
    end = source.size - tail_size + at
    if FULL16 in (here, count) or FULL32 in (size, start):
        disk, first_disk, here, count, size, start, end = _directory64(source, end)
    if disk or first_disk or here != count:
        raise ModelFileError("a zip in several parts", "one file")
    if start + size != end:
        raise ModelFileError("a zip whose directory is not where its end record says")
    return start, size, count


def _directory64(source: Source, end: int) -> tuple[int, int, int, int, int, int, int]:
    if end < 76:
        raise ModelFileError("a zip64 without its end record")
    signature, _, at, disks = struct.unpack("<4sIQI", source.read(end - 20, 20))
    if signature != LOCATOR64 or disks > 1 or at + 56 != end - 20:
        raise ModelFileError("a zip64 without its end record")
    record = struct.unpack("<4sQHHIIQQQQ", source.read(at, 56))
    if record[0] != END64:
        raise ModelFileError("a zip64 without its end record")
    _, _, _, _, disk, first_disk, here, count, size, start = record
    return disk, first_disk, here, count, size, start, at


def _central(directory: bytes, at: int) -> tuple[Member, int]:
    if len(directory) < at + 46 or directory[at : at + 4] != CENTRAL:
        raise ModelFileError("a zip whose directory is damaged")
    fields = struct.unpack_from("<HHHHHHIIIHHHHHII", directory, at + 4)
    made_by, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, attributes, offset = fields
    name_length, extra_length, comment_length = lengths
    name_bytes = directory[at + 46 : at + 46 + name_length]
    name = _decode(name_bytes)
    extra = directory[at + 46 + name_length : at + 46 + name_length + extra_length]
    end = at + 46 + name_length + extra_length + comment_length
    if end > len(directory):
        raise ModelFileError("a zip whose directory is damaged")
    size, packed, offset = _zip64(extra, [size, packed, offset])
    place = quote(name)
    if flags & ENCRYPTED:
        raise ModelFileError("an encrypted member", "a zip without a password", place=place)
    if method not in (STORED, DEFLATED):
        raise ModelFileError(f"compression method {method}", "stored or deflated", place=place)
    if made_by >> 8 == 3 and (attributes >> 28) not in (0, 4, 8):
        raise ModelFileError("a link or a device", "regular members", place=place)
    if disk:
        raise ModelFileError("a zip in several parts", "one file", place=place)
    if method == STORED and packed != size:
        raise ModelFileError("a stored member with two sizes", place=place)
    _check_inflation("a member that inflates", packed, size, place)
    return Member(name, method, crc, packed, size, offset, bool(flags & DESCRIPTOR)), end


def _check_inflation(what: str, packed: int, size: int, place: str = "") -> None:
    if size > most_inflated(packed):
        raise ModelFileError(
            f"{what} from {packed:,} to {size:,} bytes", f"{most_inflated(packed):,}", place=place
        )


def _local(source: Source, member: Member) -> int:
    """Return where a member's data begin, once its own header agrees with the directory's."""
    place = quote(member.name)
    header = source.read(member.offset, 30)
    if header[:4] != LOCAL:
        raise ModelFileError("no member where the zip's directory says", place=place)
    _, flags, method, _, _, crc, packed, size, name_length, extra_length = struct.unpack_from(
        "<HHHHHIIIHH", header, 4
    )
    rest = source.read(member.offset + 30, name_length + extra_length)
    if _decode(rest[:name_length]) != member.name:
        raise ModelFileError("another name in the member's own header", place=place)
    size, packed = _zip64(rest[name_length:], [size, packed])
    start = member.offset + 30 + len(rest)
    local = (method, bool(flags & DESCRIPTOR), bool(flags & ENCRYPTED))
    if local != (member.method, member.descriptor, False):
        raise ModelFileError("headers of the member that disagree", place=place)
    exact = (crc, packed, size) == (member.crc, member.packed, member.size)
    if not exact and not (member.descriptor and (crc, packed, size) == (0, 0, 0)):
        raise ModelFileError("headers of the member that disagree", place=place)
    return start


def _zip64(extra: bytes, values: list[int]) -> list[int]:
    """Return sizes and offset, with those too large for 32 bits taken from the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind != ZIP64:
            continue
        result = list(values)
        for index, value in enumerate(values):
            if value == FULL32:
                if len(body) < 8:
                    raise ModelFileError("a zip64 field that is too short")
                result[index] = int.from_bytes(body[:8], "little")
                body = body[8:]
        return result
    return values


def _open(source: Source, member: Member, start: int) -> Source:
    if member.method == STORED:
        return PartSource(source, start, member.size, member.crc)
    packed = PartSource(source, start, member.packed)
    return LazySource(member.size, member.packed, lambda: _inflate(packed, member))


def _inflate(packed: Source, member: Member) -> bytes:
    place = quote(member.name)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = engine.decompress(packed.read(0, packed.size), member.size + 1)
    except zlib.error:
        raise ModelFileError("deflated data that are damaged", place=place) from None
    if len(data) != member.size or not engine.eof or engine.unused_data:
        raise ModelFileError(f"a member that does not inflate to its {member.size:,} bytes", place=place)
    if zlib.crc32(data) != member.crc:
        raise ModelFileError("bytes that do not match their checksum: the file is damaged", place=place)
    return data


def _check_name(name: str, is_expected: Callable[[str], bool]) -> None:
    place = quote(name)
    parts = name.removesuffix("/").split("/")
    if len(name) > MAX_NAME or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
        raise ModelFileError("a member with an unsafe name", "a plain relative name", place=place)
    if not is_expected(name):
        raise ModelFileError("a member that a saved Keras model does not have", place=place)


def _decode(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError(f"a member with an unsafe name, {quote(name)}", "UTF-8") from None


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")
