"""The .npy file format: strict parser of its header, and writer of headers.

numpy.load may warn on a malformed header or raise an exception of Python's parser. Here every header is
accepted or refused with a FileFormatError of one sentence. Source of the format: numpy.lib.format.
"""

import ast
import re
import warnings
from typing import Any

import numpy as np
import torch

from batchdot.errors import FileFormatError
from batchdot.io.layout import NUMPY_DTYPES, Layout, check_length, check_shape
from batchdot.io.regular_file import RegularFile, abbreviated, printable

MAGIC = b"\x93NUMPY"

MAX_HEADER = 10_000
"""Limit of the header's length in bytes, the same as that of numpy.load."""

_DTYPES = {
    dtype.str[1:]: torch_dtype for torch_dtype, dtype in NUMPY_DTYPES.items() if torch_dtype != torch.bfloat16
}

_REFUSED = {
    "b": "bools",
    "?": "bools",
    "O": "Python objects",
    "U": "text",
    "S": "bytes",
    "a": "bytes",
    "V": "raw bytes",
    "M": "dates",
    "m": "time spans",
    "f16": "long doubles",
    "f12": "long doubles",
    "c32": "complex long doubles",
    "c24": "complex long doubles",
}


def read_layout(file: RegularFile) -> Layout:
    """Parse the header of a .npy file and check it against the size of the file.

    Raises:
        FileFormatError: the header is malformed, the dtype is not numeric, or the size is wrong.
    """
    name = printable(file.path)
    prefix = file.read(0, min(file.size, 12))
    if prefix[:6] != MAGIC[: len(prefix[:6])] or not prefix:
        raise FileFormatError(f"{name} is not a .npy file: it does not start with \\x93NUMPY")
    if len(prefix) < 8:
        raise FileFormatError(f"{name} is truncated: it ends within its header")
    major, minor = prefix[6], prefix[7]
    if major not in (1, 2, 3) or minor != 0:
        raise FileFormatError(
            f"{name} is of .npy version {major}.{minor}; versions 1.0, 2.0 and 3.0 are read"
        )
    start = 10 if major == 1 else 12
    if len(prefix) < start:
        raise FileFormatError(f"{name} is truncated: it ends within its header")
    length = int.from_bytes(prefix[8:start], "little")
    if length > MAX_HEADER:
        raise FileFormatError(f"{name} has a malformed header: {length:,} bytes long, above {MAX_HEADER:,}")
    if start + length > file.size:
        raise FileFormatError(f"{name} is truncated: it ends within its header")
    fields = _parse_dict(file.read(start, length), name)
    layout = _parse_fields(fields, file.path, start + length)
    check_length(file, layout.offset, layout.nbytes)
    return layout


def header(shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
    """Return the bytes that precede the data of a .npy file: magic string, version, header.

    Raises:
        FileFormatError: the format has no such dtype.

    >>> header((2, 3), torch.float32)[10:69]
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    """
    if dtype == torch.bfloat16:
        raise FileFormatError(
            "a .npy file cannot hold bfloat16; write a .safetensors file, or ask for --dtype float32"
        )
    text = f"{{'descr': '{NUMPY_DTYPES[dtype].str}', 'fortran_order': False, 'shape': {shape}, }}"
    length = 10 + len(text) + 1
    text += " " * (-length % 64) + "\n"
    return MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")


def _parse_dict(text: bytes, name: str) -> dict[str, Any]:
    """Parse the header's dictionary, a Python literal; any failure of the parser is a malformed header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fields = ast.literal_eval(text.decode("ascii").rstrip(" \n"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, Warning):
        raise FileFormatError(f"{name} has a malformed header: it is not a Python dictionary") from None
    if not isinstance(fields, dict):
        raise FileFormatError(f"{name} has a malformed header: it is not a Python dictionary")
    if any(not isinstance(key, str) for key in fields) or sorted(fields) != [
        "descr",
        "fortran_order",
        "shape",
    ]:
        raise FileFormatError(
            f"{name} has a malformed header: its keys are {abbreviated(list(fields))}, "
            "not descr, fortran_order and shape"
        )
    return fields


def _parse_fields(fields: dict[str, Any], path: str, offset: int) -> Layout:
    name = printable(path)
    dtype, big_endian = _parse_dtype(fields["descr"], name)
    fortran = fields["fortran_order"]
    if not isinstance(fortran, bool):
        raise FileFormatError(
            f"{name} has a malformed header: fortran_order is {abbreviated(fortran)}, neither True nor False"
        )
    if not isinstance(fields["shape"], tuple):
        raise FileFormatError(
            f"{name} has a malformed header: its shape is {abbreviated(fields['shape'])}, "
            "which is not a tuple"
        )
    shape = check_shape(fields["shape"], path)
    # With at most one axis of size > 1, C order and Fortran order are the same bytes.
    fortran = fortran and sum(size != 1 for size in shape) > 1
    return Layout(shape, dtype, offset, big_endian, fortran)


def _parse_dtype(descr: Any, name: str) -> tuple[torch.dtype, bool]:
    if isinstance(descr, list):
        raise FileFormatError(f"{name} holds a structured array; save one of its fields by itself")
    match = re.fullmatch(r"([<>|])([A-Za-z?])(\d{0,9})(.{0,20})", descr) if isinstance(descr, str) else None
    if match is None:
        raise FileFormatError(f"{name} has a malformed header: its dtype is {abbreviated(descr)}")
    order, kind, size, rest = match.groups()
    dtype = None if rest else _DTYPES.get(kind + size)
    if dtype is None or (order == "|" and dtype.itemsize > 1):
        what = _REFUSED.get(kind + size) or _REFUSED.get(kind)
        if what is None:
            raise FileFormatError(f"{name} has a malformed header: its dtype is {abbreviated(descr)}")
        raise FileFormatError(
            f"{name} holds {what} ({descr}), not numbers that can be multiplied; convert it first: "
            "numpy.save(path, array.astype('float32'))"
        )
    return dtype, order == ">" and np.dtype(NUMPY_DTYPES[dtype]).itemsize > 1
