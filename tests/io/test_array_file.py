"""Files: what is read is what numpy and safetensors read; what is malformed is refused in one line."""

import io
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bad_files import BAD_NPY, BAD_SAFETENSORS, fields, npy, tensors

from batchdot.cli.main import main
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, TensorPath
from batchdot.io.atomic import AtomicFile
from batchdot.io.layout import bytes_of
from batchdot.io.safetensors import DTYPES

CONVERT = ", not numbers that can be multiplied; convert it first: numpy.save(path, array.astype('float32'))"
BAD_DTYPES = {
    "bool": (np.ones((2, 3), bool), "x holds bools (|b1)"),
    "object": (np.array([[None]]), "x holds Python objects (|O)"),
    "text": (np.array([["abc"]]), "x holds text (<U3)"),
    "bytes": (np.array([[b"abc"]]), "x holds bytes (|S3)"),
    "raw": (np.zeros((2, 3), "V2"), "x holds raw bytes (|V2)"),
    "date": (np.zeros((2, 3), "M8[ns]"), "x holds dates (<M8[ns])"),
    "span": (np.zeros((2, 3), "m8[s]"), "x holds time spans (<m8[s])"),
}


def complaint(capsys, *argv) -> str:
    """Run a command that fails, and return its one line."""
    assert main([str(argument) for argument in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("batchdot: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("batchdot: ").removesuffix("\n")


@pytest.mark.parametrize("as_y", [False, True], ids=["x", "y"])
@pytest.mark.parametrize(
    ("suffix", "content", "line"),
    [pytest.param(".npy", *row, id=f"npy {name}") for name, row in BAD_NPY.items()]
    + [pytest.param(".safetensors", *row, id=f"safetensors {name}") for name, row in BAD_SAFETENSORS.items()],
)
def test_malformed_files_are_refused_in_a_line(suffix, content, line, as_y, tmp_path, capsys):
    bad, good, out = tmp_path / f"bad{suffix}", tmp_path / "good.npy", tmp_path / "out.npy"
    bad.write_bytes(content)
    good.write_bytes(npy())
    pair = (good, bad) if as_y else (bad, good)
    expected = re.sub(r"\bx\b", lambda _: str(bad), line)
    assert complaint(capsys, "dot", *pair, "--axes", "1", "-o", out) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([bad.name, good.name])


@pytest.mark.parametrize(("array", "line"), BAD_DTYPES.values(), ids=BAD_DTYPES)
def test_what_is_no_number_is_refused(array, line, tmp_path, capsys):
    bad = tmp_path / "bad.npy"
    np.save(bad, array, allow_pickle=True)
    expected = line.replace("x", str(bad), 1) + CONVERT
    assert complaint(capsys, "dot", bad, bad, "--axes", "1", "-o", tmp_path / "out.npy") == expected


def test_structured_and_long_double_arrays_are_refused(tmp_path, capsys):
    bad = tmp_path / "bad.npy"
    np.save(bad, np.zeros(3, [("a", "f4")]))
    line = complaint(capsys, "dot", bad, bad, "-o", tmp_path / "out.npy")
    assert line == f"{bad} holds a structured array; save one of its fields by itself"
    for descr, what in (("<f16", "long doubles"), ("<c32", "complex long doubles")):
        bad.write_bytes(npy(fields(descr=repr(descr)), 16 * 6))
        line = complaint(capsys, "dot", bad, bad, "-o", tmp_path / "out.npy")
        assert line == f"{bad} holds {what} ({descr}){CONVERT}"


def test_what_is_no_regular_file_is_refused(tmp_path, capsys):
    good = tmp_path / "good.npy"
    good.write_bytes(npy())
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    os.symlink("/dev/zero", tmp_path / "device.npy")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket.npy")  # the name of a socket has at most 107 bytes
        os.close(folder)
        for name, kind in (
            ("folder", "a folder"),
            ("pipe", "a pipe"),
            ("device", "a device"),
            ("socket", "a socket"),
        ):
            bad = tmp_path / f"{name}.npy"
            line = complaint(capsys, "dot", bad, good, "--axes", 1, "-o", tmp_path / "out.npy")
            assert line == f"{bad} is {kind}, not a regular file"
            line = complaint(capsys, "dot", good, good, "--axes", 1, "-o", bad)
            assert line == f"cannot write {bad}: it is {kind}, not a regular file"


def test_what_cannot_be_opened_is_named(tmp_path, capsys):
    missing = tmp_path / "missing.npy"
    line = complaint(capsys, "dot", missing, missing, "-o", tmp_path / "out.npy")
    assert line == f"cannot read {missing}: no such file or directory"
    loop = tmp_path / "loop.npy"
    loop.symlink_to(loop)
    assert "too many levels of symbolic links" in complaint(
        capsys, "dot", loop, loop, "-o", tmp_path / "out.npy"
    )
    line = complaint(capsys, "dot", "a\0b.npy", missing, "-o", tmp_path / "out.npy")
    assert line == "cannot read a\\x00b.npy: embedded null byte"
    line = complaint(capsys, "dot", tmp_path / "two\nlines.npy", missing, "-o", tmp_path / "out.npy")
    assert line == f"cannot read {tmp_path}/two\\nlines.npy: no such file or directory"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_named(tmp_path, capsys):
    secret = tmp_path / "secret.npy"
    secret.write_bytes(npy())
    secret.chmod(0)
    line = complaint(capsys, "dot", secret, secret, "-o", tmp_path / "out.npy")
    assert line == f"cannot read {secret}: permission denied"


def test_a_missing_tensor_lists_those_there_are(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({f"t{n:02}": np.ones((2, 3)) for n in range(12)}, path)
    line = complaint(capsys, "dot", f"{path}:other", path, "-o", tmp_path / "out.npy")
    names = ", ".join(f"'t{n:02}'" for n in range(10))
    assert line == f"{path} holds no tensor 'other'. It has {names}, ..."


def read(name) -> torch.Tensor:
    with ArrayFile(name) as file:
        count = file.layout.shape[0]
        return file.reader(count).read(0, count)


NUMBERS = ["f8", "f4", "f2", "c8", "c16", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("kind", NUMBERS)
def test_npy_reads_as_numpy_reads(kind, endian, order, tmp_path):
    array = np.arange(60).reshape(5, 3, 4).astype(endian + kind, order=order)
    np.save(tmp_path / "x.npy", array)
    with ArrayFile(tmp_path / "x.npy") as file:
        reader = file.reader(5)
        for start, stop in ((0, 5), (0, 1), (1, 3), (4, 5), (2, 2)):
            block = reader.read(start, stop)
            assert block.is_contiguous()
            np.testing.assert_array_equal(block.numpy(), array[start:stop], strict=False)
            assert block.numpy().dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("shape", [(1,), (2, 3), (3, 0, 2), (0, 4), (1, 1, 7)])
def test_every_version_of_npy_is_read(version, shape, tmp_path):
    array = np.random.default_rng(0).standard_normal(shape)
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    np.testing.assert_array_equal(read(tmp_path / "x.npy").numpy(), array)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".safetensors:a name: with ∂"])
@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "bfloat16", "complex64", "complex128", "int8", "uint16", "int64"],
)
def test_what_is_written_reads_back_with_the_libraries(suffix, dtype, tmp_path):
    tensor = torch.arange(-6, 6).reshape(3, 4).to(getattr(torch, dtype))
    place = TensorPath.parse(f"{tmp_path}/out{suffix}")
    if dtype == ("bfloat16" if suffix == ".npy" else "complex128"):
        with pytest.raises(FileFormatError, match=f"cannot hold {dtype}; write a"):
            place.header((3, 4), tensor.dtype)
        return
    with AtomicFile(place.path, 100) as new:
        new.write(place.header((3, 4), tensor.dtype))
        new.write(bytes_of(tensor.mT.contiguous().mT))
    if suffix == ".npy":
        back = torch.from_numpy(np.load(place.path, allow_pickle=False))
    else:
        (name,) = safetensors.safe_open(place.path, "pt").keys()
        assert name == (place.tensor or "out")
        back = safetensors.torch.load_file(place.path)[name]
    assert torch.equal(back, tensor)
    assert back.dtype == tensor.dtype
    assert torch.equal(read(f"{tmp_path}/out{suffix}"), tensor)


def test_safetensors_of_the_library_are_read(tmp_path):
    path = tmp_path / "x.safetensors"
    dtypes = [str(dtype).removeprefix("torch.") for dtype in DTYPES.values()]
    stored = {name: torch.arange(12).reshape(3, 4).to(getattr(torch, name)) for name in dtypes}
    stored |= {
        "bool": torch.ones(3, dtype=torch.bool),
        "scalar": torch.tensor(1.0),
        "none": torch.zeros(0, 3),
    }
    safetensors.torch.save_file(stored, path, metadata={"made by": "the library"})
    for name in [*dtypes, "none"]:
        assert torch.equal(read(f"{path}:{name}"), stored[name])


def read_or_refuse(name: Path):
    try:
        return read(name)
    except FileFormatError:
        return None


FLIPS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(flips=FLIPS, version=st.sampled_from([(1, 0), (2, 0), (3, 0)]), cut=st.integers(0, 3))
def test_a_damaged_npy_file_is_refused_or_right(tmp_path_factory, flips, version, cut):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.arange(12, dtype="f4").reshape(3, 4), version=version)
    check_damaged(tmp_path_factory.getbasetemp() / "damaged.npy", stream.getvalue(), flips, cut)


@settings(max_examples=200, deadline=None)
@given(flips=FLIPS, cut=st.integers(0, 3))
def test_a_damaged_safetensors_file_is_refused_or_right(tmp_path_factory, flips, cut):
    content = safetensors.numpy.save({"a": np.arange(12, dtype="f4").reshape(3, 4)})
    check_damaged(tmp_path_factory.getbasetemp() / "damaged.safetensors", content, flips, cut)


def check_damaged(path, content, flips, cut):
    damaged = bytearray(content)
    for position, mask in flips:
        damaged[position % len(damaged)] ^= mask
    path.write_bytes(damaged[: len(damaged) - cut])
    ours = read_or_refuse(path)
    if ours is None:
        return
    if path.suffix == ".npy":
        theirs = np.load(path, allow_pickle=False)
    else:
        (theirs,) = safetensors.numpy.load_file(path).values()
    np.testing.assert_array_equal(ours.numpy(), theirs)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=80) | st.from_regex(r"\{'descr': .{0,20}, 'shape': \(.{0,9}\)\}", fullmatch=True)
)
def test_no_header_gives_anything_but_our_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "header.npy"
    path.write_bytes(npy(text.encode("utf-8")))
    assert read_or_refuse(path) is None
    path = path.with_suffix(".safetensors")
    path.write_bytes(tensors(b"{" + text.encode("utf-8")))
    assert read_or_refuse(path) is None


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_an_array_of_64_axes_is_read(suffix, tmp_path):
    path, entry = tmp_path / f"x{suffix}", {"dtype": "F32", "shape": [1] * 64, "data_offsets": [0, 4]}
    path.write_bytes(npy(fields(shape=str((1,) * 64)), 4) if suffix == ".npy" else tensors({"a": entry}, 4))
    with ArrayFile(path) as file:
        assert file.layout.shape == (1,) * 64
