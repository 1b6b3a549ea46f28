"""The .safetensors file format: strict parser of its header, and writer of headers.

A file is the length of the header in 8 bytes, the header in JSON, and the data of all tensors, contiguous.
Source of the format: the README of the safetensors project.
"""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from math import prod
from typing import Any, NoReturn, TypeAlias

import torch

from batchdot.convert import dtype_name
from batchdot.errors import FileFormatError
from batchdot.io.garbage import without_collection
from batchdot.io.layout import Layout, check_length, check_shape
from batchdot.io.regular_file import RegularFile, abbreviated, printable

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

_ITEMSIZES = {name: dtype.itemsize for name, dtype in DTYPES.items()}

METADATA = "__metadata__"

Entry: TypeAlias = tuple[str, list[int], list[int]]
"""The dtype, shape and data_offsets of a tensor in a header."""


def read_layout(file: RegularFile, tensor: str | None) -> Layout:
    """Parse and check the header of a .safetensors file; return the layout of one tensor.

    Args:
        file: the open file.
        tensor: name of the tensor; None if the file holds exactly one.

    Raises:
        FileFormatError: the header is malformed, the size of the file is wrong, there is no such tensor,
            or its dtype is not one of `DTYPES`.
    """
    with without_collection():
        return _find(file, tensor)


def _find(file: RegularFile, tensor: str | None) -> Layout:
    entries, start = _read_header(file)
    name = _choose(entries, tensor, printable(file.path))
    dtype, shape, (offset, _) = entries[name]
    if dtype not in DTYPES:
        raise FileFormatError(
            f"tensor {abbreviated(name)} of {printable(file.path)} has dtype {abbreviated(dtype)}, "
            f"which is not supported; convert it first, to one of {', '.join(DTYPES)}"
        )
    return Layout(tuple(shape), DTYPES[dtype], start + offset)


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


def _read_header(file: RegularFile) -> tuple[dict[str, Entry], int]:
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
        # Objects as tuples of pairs: a dict would hide a key that occurs twice, and no Python code runs.
        pairs = json.loads(text.decode("utf-8"), object_pairs_hook=tuple, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, MemoryError):
        raise FileFormatError(f"{name} has a malformed header: it is not JSON") from None
    objects = _as_dict(pairs, name)
    _check_metadata(objects.pop(METADATA, ()), name)
    entries = {tensor: _read_entry(value, tensor, file.path) for tensor, value in objects.items()}
    _check_coverage(file, entries, 8 + length)
    return entries, 8 + length


def _as_dict(pairs: tuple[tuple[str, Any], ...], path: str) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = next(key for key, count in counts.items() if count > 1)
        raise FileFormatError(f"{path} has a malformed header: the key {abbreviated(key)} occurs twice")
    return keys


def _check_metadata(metadata: Any, path: str) -> None:
    if not isinstance(metadata, tuple) or not all(
        isinstance(value, str) for value in _as_dict(metadata, path).values()
    ):
        raise FileFormatError(f"{path} has a malformed header: {METADATA} is not a table of text")


def _read_entry(value: Any, tensor: str, path: str) -> Entry:
    """Return the checked entry of a tensor."""
    if type(value) is tuple and len(value) == 3:
        (a, dtype), (b, shape), (c, offsets) = value
        if a == "dtype" and b == "shape" and c == "data_offsets":  # the order in which the library writes
            return _checked_entry(dtype, shape, offsets, tensor, path)
    fields = _as_dict(value, printable(path)) if isinstance(value, tuple) else {}
    if sorted(fields) != ["data_offsets", "dtype", "shape"]:
        raise FileFormatError(
            f"{_malformed(tensor, path)} does not have exactly dtype, shape and data_offsets"
        )
    return _checked_entry(fields["dtype"], fields["shape"], fields["data_offsets"], tensor, path)


def _checked_entry(dtype: Any, shape: Any, offsets: Any, tensor: str, path: str) -> Entry:
    if type(dtype) is not str:
        raise FileFormatError(f"{_malformed(tensor, path)} has the dtype {abbreviated(dtype)}")
    check_shape(shape, path)
    if (
        type(offsets) is not list
        or len(offsets) != 2
        or type(offsets[0]) is not int
        or type(offsets[1]) is not int
        or not 0 <= offsets[0] <= offsets[1]
    ):
        raise FileFormatError(f"{_malformed(tensor, path)} has the data_offsets {abbreviated(offsets)}")
    size = _ITEMSIZES.get(dtype)
    if size is not None and offsets[1] - offsets[0] != prod(shape) * size:
        raise FileFormatError(
            f"{_malformed(tensor, path)} of shape {abbreviated(tuple(shape))} and dtype {dtype} takes "
            f"{prod(shape) * size:,} bytes, and its data_offsets span {offsets[1] - offsets[0]:,}"
        )
    return dtype, shape, offsets


def _malformed(tensor: str, path: str) -> str:
    return f"{printable(path)} has a malformed header: tensor {abbreviated(tensor)}"


def _check_coverage(file: RegularFile, entries: dict[str, Entry], start: int) -> None:
    """Check that the tensors neither overlap nor leave gaps, and that the file ends with the last one."""
    end = 0
    for begin, stop in sorted([offsets for _, _, offsets in entries.values()]):
        if begin != end:
            what = "overlap" if begin < end else "leave a gap"
            at = min(begin, end)
            raise FileFormatError(
                f"{printable(file.path)} has a malformed header: its tensors {what} at byte {at:,}"
            )
        end = stop
    check_length(file, start, end)


def _choose(entries: dict[str, Entry], tensor: str | None, path: str) -> str:
    if not entries:
        raise FileFormatError(f"{path} holds no tensor")
    listed = ", ".join(abbreviated(name) for name in islice(entries, 10)) + (
        ", ..." if len(entries) > 10 else ""
    )
    if tensor is None:
        if len(entries) > 1:
            raise FileFormatError(
                f"{path} holds {len(entries)} tensors; say which with {path}:NAME. It has {listed}"
            )
        return next(iter(entries))
    if tensor not in entries:
        raise FileFormatError(f"{path} holds no tensor {abbreviated(tensor)}. It has {listed}")
    return tensor


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
