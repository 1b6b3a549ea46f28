"""The .safetensors file format: strict parser of its header, and writer of headers.

A file is the length of the header in 8 bytes, the header in JSON, and the data of all tensors, contiguous.
Source of the format: the README of the safetensors project.
"""

import json
from collections.abc import Mapping
from math import prod
from typing import Any, NoReturn

import torch

from batchdot.convert import dtype_name
from batchdot.errors import FileFormatError
from batchdot.io.regular_file import Layout, RegularFile, abbreviated, check_length, check_shape, printable

MAX_HEADER = 100_000_000
"""Limit of the header's length in bytes, the same as that of the safetensors library."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "C64": torch.complex64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
}
"""The supported dtypes, by the names that the format gives them."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}

METADATA = "__metadata__"


def read_layout(file: RegularFile, tensor: str | None) -> Layout:
    """Parse and check the header of a .safetensors file; return the layout of one tensor.

    Args:
        file: the open file.
        tensor: name of the tensor; None if the file holds exactly one.

    Raises:
        FileFormatError: the header is malformed, the size of the file is wrong, there is no such tensor,
            or its dtype is not one of `DTYPES`.
    """
    entries, start = _read_header(file)
    name = _choose(list(entries), tensor, printable(file.path))
    entry = entries[name]
    if entry["dtype"] not in DTYPES:
        raise FileFormatError(
            f"tensor {abbreviated(name)} of {printable(file.path)} has dtype {abbreviated(entry['dtype'])}, "
            f"which is not supported; convert it first, to one of {', '.join(DTYPES)}"
        )
    return Layout(tuple(entry["shape"]), DTYPES[entry["dtype"]], start + entry["data_offsets"][0])


def header(shape: tuple[int, ...], dtype: torch.dtype, tensor: str) -> bytes:
    """Return the bytes that precede the data of a .safetensors file of one tensor.

    Raises:
        FileFormatError: the format has no such dtype, or does not allow this name.

    >>> header((2,), torch.int8, "out")[8:].rstrip()
    b'{"out":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}'
    """
    return header_of({tensor: (shape, dtype)})


def header_of(tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> bytes:
    """Return the bytes that precede the data of a .safetensors file, whose tensors follow in order.

    Args:
        tensors: shape and dtype by name.

    Raises:
        FileFormatError: the format has no such dtype, or does not allow such a name.
    """
    entries: dict[str, object] = {}
    end = 0
    for name, (shape, dtype) in tensors.items():
        if dtype not in _NAMES:
            raise FileFormatError(f"a .safetensors file cannot hold {dtype_name(dtype)}; write a .npy file")
        if name in ("", METADATA) or not _is_unicode(name):
            raise FileFormatError(
                f"{abbreviated(name)} cannot be the name of a tensor in a .safetensors file"
            )
        start, end = end, end + prod(shape) * dtype.itemsize
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _read_header(file: RegularFile) -> tuple[dict[str, Any], int]:
    """Return the checked entries by name, and the byte offset of the data."""
    name = printable(file.path)
    if file.size < 8:
        raise FileFormatError(f"{name} is truncated: a .safetensors file has at least 8 bytes")
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER:
        raise FileFormatError(f"{name} is not a .safetensors file: a header of {length:,} bytes is too long")
    if 8 + length > file.size:
        raise FileFormatError(f"{name} is truncated: it ends within its header")
    text = file.read(8, length)
    if not text.startswith(b"{"):
        raise FileFormatError(f"{name} is not a .safetensors file: its header does not start with {{")
    try:
        entries = json.loads(
            text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError, MemoryError) as error:
        what = f"the key {error} occurs twice" if isinstance(error, _DuplicateError) else "it is not JSON"
        raise FileFormatError(f"{name} has a malformed header: {what}") from None
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FileFormatError(f"{name} has a malformed header: {METADATA} is not a table of text")
    for tensor, entry in entries.items():
        _check_entry(entry, f"tensor {abbreviated(tensor)}", file.path)
    _check_coverage(file, entries, 8 + length)
    return entries, 8 + length


def _check_entry(entry: Any, tensor: str, path: str) -> None:
    malformed = f"{printable(path)} has a malformed header: {tensor}"
    if not isinstance(entry, dict) or sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise FileFormatError(f"{malformed} does not have exactly dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str):
        raise FileFormatError(f"{malformed} has the dtype {abbreviated(entry['dtype'])}")
    shape = check_shape(entry["shape"], path)
    offsets = entry["data_offsets"]
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or any(type(offset) is not int for offset in offsets)
        or not 0 <= offsets[0] <= offsets[1]
    ):
        raise FileFormatError(f"{malformed} has the data_offsets {abbreviated(offsets)}")
    dtype = DTYPES.get(entry["dtype"])
    if dtype is not None and offsets[1] - offsets[0] != prod(shape) * dtype.itemsize:
        raise FileFormatError(
            f"{malformed} of shape {abbreviated(shape)} and dtype {entry['dtype']} takes "
            f"{prod(shape) * dtype.itemsize:,} bytes, and its data_offsets span {offsets[1] - offsets[0]:,}"
        )


def _check_coverage(file: RegularFile, entries: dict[str, Any], start: int) -> None:
    """Check that the tensors neither overlap nor leave gaps, and that the file ends with the last one."""
    end = 0
    for begin, stop in sorted(entry["data_offsets"] for entry in entries.values()):
        if begin != end:
            what = "overlap" if begin < end else "leave a gap"
            at = min(begin, end)
            raise FileFormatError(
                f"{printable(file.path)} has a malformed header: its tensors {what} at byte {at:,}"
            )
        end = stop
    check_length(file, start, end)


def _choose(names: list[str], tensor: str | None, path: str) -> str:
    if not names:
        raise FileFormatError(f"{path} holds no tensor")
    listed = ", ".join(abbreviated(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    if tensor is None:
        if len(names) > 1:
            raise FileFormatError(
                f"{path} holds {len(names)} tensors; say which with {path}:NAME. It has {listed}"
            )
        return names[0]
    if tensor not in names:
        raise FileFormatError(f"{path} holds no tensor {abbreviated(tensor)}. It has {listed}")
    return tensor


class _DuplicateError(ValueError):
    """A key that occurs twice in a JSON object."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise _DuplicateError(abbreviated(key))
        keys.add(key)
    return dict(pairs)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
