"""Malformed files, and the line that refuses each: in it, x stands for the path of the file."""

import json

GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


def npy(header=GOOD, data=24, version=(1, 0), magic=b"\x93NUMPY", length=None) -> bytes:
    text = header if isinstance(header, bytes) else header.encode("latin1")
    size = len(text) if length is None else length
    prefix = magic + bytes(version) + size.to_bytes(2 if version[0] == 1 else 4, "little")
    return prefix + text + bytes(data)


def fields(**changes) -> str:
    values = {"descr": "'<f4'", "fortran_order": "False", "shape": "(2, 3)"} | changes
    return "{" + ", ".join(f"'{key}': {value}" for key, value in values.items()) + "}"


def tensors(header, data=24, length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data)


def tensor(dtype="F32", shape=(2, 3), data_offsets=(0, 24), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(data_offsets)} | more


READ = "F64, F32, F16, BF16, C64, I8, I16, I32, I64, U8, U16, U32, U64"
MALFORMED = "x has a malformed header: "

BAD_NPY = {
    "empty": (b"", "x is not a .npy file: it does not start with \\x93NUMPY"),
    "text": (b"hello, world", "x is not a .npy file: it does not start with \\x93NUMPY"),
    "pickle": (b"\x80\x04K\x01.", "x is not a .npy file: it does not start with \\x93NUMPY"),
    "zip": (b"PK\x03\x04" + bytes(40), "x is not a .npy file: it does not start with \\x93NUMPY"),
    "magic only": (b"\x93NUMPY", "x is truncated: it ends within its header"),
    "no length": (b"\x93NUMPY\x01\x00", "x is truncated: it ends within its header"),
    "half a length": (b"\x93NUMPY\x02\x00\x00\x00", "x is truncated: it ends within its header"),
    "version 4": (npy(version=(4, 0)), "x is of .npy version 4.0; versions 1.0, 2.0 and 3.0 are read"),
    "version 1.1": (npy(version=(1, 1)), "x is of .npy version 1.1; versions 1.0, 2.0 and 3.0 are read"),
    "short header": (npy(length=5000, data=9), "x is truncated: it ends within its header"),
    "long header": (npy(" " * 20000 + GOOD), MALFORMED + "20,059 bytes long, above 10,000"),
    "huge header": (
        npy(version=(2, 0), length=2**32 - 1),
        MALFORMED + "4,294,967,295 bytes long, above 10,000",
    ),
    "no header": (npy(""), MALFORMED + "it is not a Python dictionary"),
    "a list": (npy("[1, 2]"), MALFORMED + "it is not a Python dictionary"),
    "code": (npy("__import__('os').abort()"), MALFORMED + "it is not a Python dictionary"),
    "cut dictionary": (npy(GOOD[:30]), MALFORMED + "it is not a Python dictionary"),
    "deep": (npy("(" * 5000), MALFORMED + "it is not a Python dictionary"),
    "many signs": (npy("-" * 9000 + "1"), MALFORMED + "it is not a Python dictionary"),
    "many sums": (npy("1" + "+1" * 4000), MALFORMED + "it is not a Python dictionary"),
    "warns": (npy("{'shape': 1if 0else 2}"), MALFORMED + "it is not a Python dictionary"),
    "escape that warns": (npy(GOOD.replace("<f4", "\\d")), MALFORMED + "it is not a Python dictionary"),
    "null bytes": (npy(bytes(60)), MALFORMED + "it is not a Python dictionary"),
    "not ascii": (npy(b"{'\xff': 1}"), MALFORMED + "it is not a Python dictionary"),
    "unhashable key": (npy("{[]: 1}"), MALFORMED + "it is not a Python dictionary"),
    "number as key": (npy("{1: 2}"), MALFORMED + "its keys are [1], not descr, fortran_order and shape"),
    "missing key": (
        npy("{'descr': '<f4', 'shape': (2, 3)}"),
        MALFORMED + "its keys are ['descr', 'shape'], not descr, fortran_order and shape",
    ),
    "further key": (
        npy(fields(more="1")),
        MALFORMED
        + "its keys are ['descr', 'fortran_order', 'shape', 'more'], not descr, fortran_order and shape",
    ),
    "order 0": (npy(fields(fortran_order="0")), MALFORMED + "fortran_order is 0, neither True nor False"),
    "order text": (
        npy(fields(fortran_order="'no'")),
        MALFORMED + "fortran_order is 'no', neither True nor False",
    ),
    "shape list": (npy(fields(shape="[2, 3]")), MALFORMED + "its shape is [2, 3], which is not a tuple"),
    "shape int": (npy(fields(shape="6")), MALFORMED + "its shape is 6, which is not a tuple"),
    "negative": (
        npy(fields(shape="(-2, -3)")),
        MALFORMED + "its shape is (-2, -3), which is not a sequence of sizes",
    ),
    "float size": (
        npy(fields(shape="(2.0, 3)")),
        MALFORMED + "its shape is (2.0, 3), which is not a sequence of sizes",
    ),
    "bool size": (
        npy(fields(shape="(True, 6)")),
        MALFORMED + "its shape is (True, 6), which is not a sequence of sizes",
    ),
    "overflow": (
        npy(fields(shape="(4294967296, 4294967296)")),
        MALFORMED + "no file holds the shape (4294967296, 4294967296)",
    ),
    "overflow beside zero": (
        npy(fields(shape="(0, 9223372036854775808)"), data=0),
        MALFORMED + "no file holds the shape (0, 9223372036854775808)",
    ),
    "huge number": (npy(fields(shape="(" + "9" * 5000 + ",)")), MALFORMED + "it is not a Python dictionary"),
    "65 axes": (npy(fields(shape="(" + "1," * 65 + ")")), "x has 65 axes; at most 64 are read"),
    "dtype number": (npy(fields(descr="4")), MALFORMED + "its dtype is 4"),
    "dtype without order": (npy(fields(descr="'f4'")), MALFORMED + "its dtype is 'f4'"),
    "dtype by name": (npy(fields(descr="'float32'")), MALFORMED + "its dtype is 'float32'"),
    "dtype of three bytes": (npy(fields(descr="'<f3'")), MALFORMED + "its dtype is '<f3'"),
    "dtype of no order": (npy(fields(descr="'|f4'")), MALFORMED + "its dtype is '|f4'"),
    "dtype with more": (npy(fields(descr="'<f4[ns]'")), MALFORMED + "its dtype is '<f4[ns]'"),
    "truncated": (npy(data=23), "x is truncated: its header promises 93 bytes and it has 92"),
    "no numbers": (npy(data=0), "x is truncated: its header promises 93 bytes and it has 69"),
    "too long": (
        npy(data=25),
        "x has 1 byte after its data: its header promises 93 bytes and it has 94",
    ),
}

BAD_SAFETENSORS = {
    "empty": (b"", "x is truncated: a .safetensors file has at least 8 bytes"),
    "text": (
        b"hello, world",
        "x is not a .safetensors file: a header of 8,583,909,746,840,200,552 bytes is too long",
    ),
    "short header": (tensors({}, 0, length=99), "x is truncated: it ends within its header"),
    "no header": (tensors(b"", 0), "x is not a .safetensors file: its header does not start with {"),
    "a list": (tensors(b"[1]"), "x is not a .safetensors file: its header does not start with {"),
    "cut": (tensors(b'{"a":'), MALFORMED + "it is not JSON"),
    "not UTF-8": (tensors(b'{"\xff":1}'), MALFORMED + "it is not JSON"),
    "deep": (tensors(b'{"a":' + b"[" * 100_000), MALFORMED + "it is not JSON"),
    "huge number": (tensors(b'{"a":' + b"9" * 5000 + b"}"), MALFORMED + "it is not JSON"),
    "not a number": (tensors(b'{"a":NaN}'), MALFORMED + "it is not JSON"),
    "twice": (tensors(b'{"b":0,"a":1,"a":2}'), MALFORMED + "the key 'a' occurs twice"),
    "nothing": (tensors({}, 0), "x holds no tensor"),
    "no entry": (
        tensors({"a": 1}),
        MALFORMED + "tensor 'a' does not have exactly dtype, shape and data_offsets",
    ),
    "missing key": (
        tensors({"a": {"dtype": "F32", "shape": [6]}}),
        MALFORMED + "tensor 'a' does not have exactly dtype, shape and data_offsets",
    ),
    "further key": (
        tensors({"a": tensor(more=1)}),
        MALFORMED + "tensor 'a' does not have exactly dtype, shape and data_offsets",
    ),
    "dtype number": (tensors({"a": tensor(4)}), MALFORMED + "tensor 'a' has the dtype 4"),
    "negative": (
        tensors({"a": tensor(shape=[-2, -3])}),
        MALFORMED + "its shape is [-2, -3], which is not a sequence of sizes",
    ),
    "one offset": (
        tensors({"a": tensor(data_offsets=[24])}),
        MALFORMED + "tensor 'a' has the data_offsets [24]",
    ),
    "backwards": (
        tensors({"a": tensor(data_offsets=[24, 0])}),
        MALFORMED + "tensor 'a' has the data_offsets [24, 0]",
    ),
    "float offset": (
        tensors({"a": tensor(data_offsets=[0, 24.0])}),
        MALFORMED + "tensor 'a' has the data_offsets [0, 24.0]",
    ),
    "negative offset": (
        tensors({"a": tensor(data_offsets=[-24, 0])}),
        MALFORMED + "tensor 'a' has the data_offsets [-24, 0]",
    ),
    "wrong span": (
        tensors({"a": tensor(data_offsets=[0, 20])}, 20),
        MALFORMED + "tensor 'a' of shape (2, 3) and dtype F32 takes 24 bytes, and its data_offsets span 20",
    ),
    "hole": (
        tensors({"a": tensor(data_offsets=[8, 32])}, 32),
        MALFORMED + "its tensors leave a gap at byte 0",
    ),
    "overlap": (
        tensors({"a": tensor(), "b": tensor(data_offsets=[12, 36])}, 36),
        MALFORMED + "its tensors overlap at byte 12",
    ),
    "truncated": (tensors({"a": tensor()}, 23), "x is truncated: its header promises 97 bytes and it has 96"),
    "too long": (
        tensors({"a": tensor()}, 25),
        "x has 1 byte after its data: its header promises 97 bytes and it has 98",
    ),
    "bool": (
        tensors({"a": tensor("BOOL", data_offsets=[0, 6])}, 6),
        f"tensor 'a' of x has dtype 'BOOL', which is not supported; convert it first, to one of {READ}",
    ),
    "metadata": (
        tensors({"__metadata__": {"a": 1}, "a": tensor()}),
        MALFORMED + "__metadata__ is not a table of text",
    ),
    "several": (
        tensors({"a": tensor(), "b": tensor(data_offsets=[24, 48])}, 48),
        "x holds 2 tensors; say which with x:NAME. It has 'a', 'b'",
    ),
}
