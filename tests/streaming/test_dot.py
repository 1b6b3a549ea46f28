"""Streaming: nothing but the memory it takes shows that a result was computed block by block."""

import subprocess
import sys
import threading
import time
from math import prod

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiers import one_of

from batchdot import AxisError, batch_dot
from batchdot.errors import FileFormatError
from batchdot.io import atomic as output
from batchdot.io.regular_file import RegularFile
from batchdot.ops import dispatch
from batchdot.planning.contraction import Contraction
from batchdot.streaming import blocks as block_planning
from batchdot.streaming import dot as dot_module
from batchdot.streaming import progress, workers
from batchdot.streaming.dot import dot_files

ROWS = [
    ((300_000, 3), (300_000, 3), 1, 1),
    ((20_000, 128), (20_000, 128), 1, 1),
    ((60, 40_001), (60, 40_001), 1, 1),
    ((7, 700_000), (7, 700_000), 1, 1),
    ((20_001, 1, 120), (20_001, 120, 1), (2, 1), 1),
    ((20_001, 10, 12), (20_001, 12, 10), ((1, 2), (2, 1)), 1),
    ((3, 11_111, 130), (3, 11_111, 130), 2, 2),
    ((1, 3, 11_111, 130), (1, 3, 11_111, 130), 3, 3),
    ((1, 7, 700_000), (1, 7, 700_000), 2, 2),
]


def stored(folder, *shapes, kind="f4"):
    random = np.random.default_rng(0)
    names = []
    for name, shape in zip("xy", shapes, strict=False):
        names.append(folder / f"{name}.npy")
        np.save(names[-1], random.standard_normal(shape, "f4").astype(kind))
    return *names, folder / "out.npy"


@pytest.mark.parametrize("normalize", [False, True], ids=["dot", "cosine"])
@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "batch_dims"), ROWS)
def test_row_products_have_the_bits_of_one_call(x_shape, y_shape, axes, batch_dims, normalize, tmp_path):
    x, y, out = stored(tmp_path, x_shape, y_shape)
    what = {"batch_dims": batch_dims, "normalize": normalize}
    written = dot_files(x, y, out, axes, **what)
    expected = batch_dot(np.load(x), np.load(y), axes, **what)
    assert torch.equal(torch.from_numpy(np.load(out)), expected)
    assert (written.path, written.shape, written.dtype) == (str(out), expected.shape, expected.dtype)


SMALL = [
    ((5, 3), (5, 3), 1, 1),
    ((5, 3), (5, 3, 4), None, 1),
    ((5, 4, 3), (5, 3), None, 1),
    ((5, 4, 3), (5, 2, 3), -1, 1),
    ((5, 4, 3, 2), (5, 3, 4, 6), ((1, 2), (2, 1)), 1),
    ((5, 4, 3), (5, 4, 3), 2, 2),
    ((5, 4, 2, 3), (5, 4, 3, 2), (3, 2), 2),
    ((0, 3), (0, 3), 1, 1),
    ((5, 0), (5, 0), 1, 1),
    ((5, 0, 3), (5, 3, 2), (2, 1), 1),
    ((5, 2, 0), (5, 0, 3), (2, 1), 1),
    ((1, 1), (1, 1), 1, 1),
]


@pytest.mark.parametrize("kind", ["i8", "f4"])
@pytest.mark.parametrize("size", [1, 60, 200, 10_000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "batch_dims"), SMALL)
def test_blocks_of_any_size_give_the_result(
    x_shape, y_shape, axes, batch_dims, order, size, kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(block_planning, "BLOCK_BYTES", size)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    random = np.random.default_rng(0)
    x, y = (random.integers(-9, 9, shape).astype(kind) for shape in (x_shape, y_shape))
    np.save(tmp_path / "x.npy", np.asarray(x, order=order))
    np.save(tmp_path / "y.npy", y)
    dot_files(tmp_path / "x.npy", tmp_path / "y.npy", tmp_path / "out.npy", axes, batch_dims=batch_dims)
    expected = batch_dot(x, y, axes, batch_dims=batch_dims).numpy()
    result = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(result, expected, strict=True)
    assert list(tmp_path.glob(".*")) == []


sizes = st.integers(0, 6)


@settings(max_examples=300, deadline=None)
@given(
    shared=st.lists(sizes, min_size=1, max_size=3),
    free=st.tuples(sizes, sizes, sizes),
    itemsizes=st.tuples(*[st.sampled_from([1, 2, 4, 8, 16])] * 3),
    budget=st.integers(1, 3000),
    rows=st.none() | st.integers(1, 5),
    one_axis=st.booleans(),
    workers=st.integers(1, 4),
)
def test_blocks_cover_every_sample_once_in_bounded_memory(
    shared, free, itemsizes, budget, rows, one_axis, workers
):
    i, j, k = free
    c = Contraction.batch_dot((*shared, i, k), (*shared, j, k), -1, len(shared))
    before, block_planning.BLOCK_BYTES = block_planning.BLOCK_BYTES, budget
    try:
        blocks = block_planning.plan_blocks(c, itemsizes, rows, one_axis, workers)
    finally:
        block_planning.BLOCK_BYTES = before
    intervals = list(blocks)
    assert [n for start, stop in intervals for n in range(start, stop)] == list(
        range(prod(shared[: blocks.leading_axes]))
    )
    assert all(stop - start <= blocks.largest for start, stop in intervals)
    assert blocks.leading_axes == 1 or not one_axis
    if blocks.leading_axes > 1:
        assert blocks.count < 2 or all(stop - start >= 2 for start, stop in intervals)
    elif rows is not None:
        assert blocks.block_size % rows == 0
    shapes = (c.x_shape, c.y_shape, c.output_shape)
    sample = sum(
        prod(shape[blocks.leading_axes :]) * size for shape, size in zip(shapes, itemsizes, strict=True)
    )
    least = max(1 if blocks.leading_axes == 1 else 2, rows or 1)
    assert blocks.workers * blocks.largest * sample <= 2 * max(budget, blocks.workers * least * sample)
    assert blocks.workers == (workers if max(1, sample) * workers <= budget else 1)


@pytest.mark.parametrize(
    ("options", "workers"),
    [({}, 3), ({"normalize": True}, 3), ({"dtype": "float64"}, 1)],
    ids=["dot", "cosine", "converted, which torch's threads share"],
)
def test_blocks_are_worked_on_at_the_same_time(options, workers, native_kernel, tmp_path, monkeypatch):
    together, threads = threading.Barrier(workers, timeout=30), set()

    def wait(*arguments):
        together.wait()
        threads.add(threading.get_ident())
        return dispatch.run(*arguments)

    x, y, out = stored(tmp_path, (30, 3), (30, 3))
    monkeypatch.setattr(block_planning, "BLOCK_BYTES", 3 * 2 * 28)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(dot_module, "run", wait)
    dot_files(x, y, out, 1, **options)
    assert len(threads) == workers


def test_dtypes(tmp_path):
    x, y, out = stored(tmp_path, (5, 3), (5, 3), kind="u1")
    assert dot_files(x, y, out, 1).dtype == torch.uint8
    assert dot_files(x, y, out, 1, normalize=True).dtype == torch.float32
    for dtype in ("float32", torch.float32):
        assert dot_files(x, y, out, 1, dtype=dtype).dtype == torch.float32
        np.testing.assert_array_equal(np.load(out)[:, 0], (np.load(x).astype("f4") * np.load(y)).sum(1))
    safe = tmp_path / "out.safetensors"
    assert dot_files(x, y, safe, 1, dtype="bfloat16", normalize=True, epsilon=1e-3).dtype == torch.bfloat16
    expected = batch_dot(
        *(torch.from_numpy(np.load(name)).bfloat16() for name in (x, y)), 1, normalize=True, epsilon=1e-3
    )
    assert torch.equal(safetensors.torch.load_file(safe)["out"], expected)


def test_formats_and_byte_orders_mix(tmp_path):
    x = np.arange(12).reshape(3, 4)
    np.save(tmp_path / "x.npy", np.asarray(x.astype(">f8"), order="F"))
    both = {"a": torch.ones(3, 4), "b": torch.from_numpy(x).bfloat16()}
    safetensors.torch.save_file(both, tmp_path / "y.safetensors")
    written = dot_files(tmp_path / "x.npy", f"{tmp_path}/y.safetensors:b", f"{tmp_path}/o.safetensors:c", 1)
    assert written.dtype == torch.float64
    result = safetensors.torch.load_file(tmp_path / "o.safetensors")["c"]
    np.testing.assert_array_equal(result.numpy(), (x * x).sum(1, keepdims=True))


def test_a_file_may_be_both_inputs(tmp_path):
    x, _, out = stored(tmp_path, (5, 3), (5, 3))
    dot_files(x, x, out, 1, normalize=True)
    np.testing.assert_array_equal(np.load(out), np.ones((5, 1)))


REFUSED = {
    "batch sizes": ((5, 3), (6, 3), {"axes": 1}, ValueError, "different batch sizes.*5 != 6.*axes=1"),
    "sum sizes": ((5, 3), (5, 4), {"axes": 1}, ValueError, "axes of different sizes.*3 != 4"),
    "axis": ((5, 3), (5, 3), {"axes": 2}, AxisError, "Axis 2 is out of range for x, whose rank is 2"),
    "shared axis": ((5, 3), (5, 3), {"axes": 0}, ValueError, "over axis 0: the first axis is shared"),
    "rank": ((5,), (5, 3), {}, ValueError, "rank < 2"),
    "batch_dims": ((5, 3), (5, 3), {"batch_dims": 2}, ValueError, "batch_dims=2 leaves no axis"),
    "epsilon": ((5, 3), (5, 3), {"normalize": True, "epsilon": 0}, ValueError, "epsilon is a floor"),
    "dtype": ((5, 3), (5, 3), {"dtype": "float"}, ValueError, "dtype should be one of float64, .*'float'"),
    "dtype bool": ((5, 3), (5, 3), {"dtype": torch.bool}, ValueError, "dtype should be one of"),
    "narrowing": (
        (5, 3),
        (5, 3),
        {"dtype": "int64"},
        TypeError,
        "x is float32: a cast to int64 would lose the fraction",
    ),
}


@pytest.mark.parametrize(("x_shape", "y_shape", "what", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_batch_dot_refuses_is_refused_before_anything_is_written(
    x_shape, y_shape, what, kind, text, tmp_path, monkeypatch
):
    monkeypatch.setattr(output.AtomicFile, "__init__", None)
    x, y, out = stored(tmp_path, x_shape, y_shape)
    with pytest.raises(kind, match=text):
        dot_files(x, y, out, **what)


def test_dtypes_without_a_common_one_are_refused(tmp_path):
    x, y, out = stored(tmp_path, (5, 3), (5, 3))
    np.save(x, np.ones((5, 3), "i4"))
    np.save(y, np.ones((5, 3), "u4"))
    with pytest.raises(TypeError, match=r"batch_dot finds no common dtype for x of torch\.int32 and y of"):
        dot_files(x, y, out, 1)
    assert dot_files(x, y, out, 1, dtype="float32").dtype == torch.float32


def test_a_result_that_no_disk_holds_is_refused(tmp_path):
    x, y, out = (tmp_path / f"{name}.npy" for name in ("x", "y", "out"))
    for size, kind, text in (
        (10**15, OSError, "takes 4,000,000,000,000,000,000,000,000,000,128 bytes"),
        (10**8, OSError, "takes 40,000,000,000,000,128 bytes and the disk has"),
    ):
        np.save(x, np.zeros((1, size, 0), "f4"))
        np.save(y, np.zeros((1, 0, size), "f4"))
        with pytest.raises((kind, FileFormatError), match=f"{text}|no file holds a result of shape"):
            dot_files(x, y, out)
    assert not out.exists()


def test_a_file_that_shrinks_or_is_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(block_planning, "BLOCK_BYTES", 100)
    read_into = RegularFile.read_into

    def refused(change):
        x, y, out = stored(tmp_path, (50, 3), (50, 3))
        out.write_bytes(b"older")

        def then_change(file, buffer, offset):
            read_into(file, buffer, offset)
            if file.path == str(x) and offset > 200:
                change(x)

        monkeypatch.setattr(RegularFile, "read_into", then_change)
        with pytest.raises(FileFormatError) as caught:
            dot_files(x, y, out, 1)
        assert out.read_bytes() == b"older"
        assert list(tmp_path.glob(".*")) == []
        return str(caught.value).removeprefix(str(x))

    def truncate(x):
        with open(x, "r+b") as file:
            file.truncate(300)

    def append(x):
        with open(x, "ab") as file:
            file.write(b"more")

    assert refused(truncate) == " became shorter while it was read: it ends at byte 300 of 728"
    assert refused(append) == " was written to while it was read"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError, GeneratorExit])
@pytest.mark.parametrize("older", [None, b"older"])
def test_whatever_happens_nothing_half_made_stays(error, older, tmp_path, monkeypatch):
    x, y, out = stored(tmp_path, (50, 3), (50, 3))
    if older is not None:
        out.write_bytes(older)
    names, threads = sorted(tmp_path.iterdir()), threading.active_count()
    monkeypatch.setattr(block_planning, "BLOCK_BYTES", 3 * 28)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    calls = []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise error("now")
        return dispatch.run(*arguments)

    monkeypatch.setattr(dot_module, "run", fail)
    with pytest.raises(error):
        dot_files(x, y, out, 1)
    assert sorted(tmp_path.iterdir()) == names
    assert threading.active_count() == threads
    assert len(calls) < 25  # of 50
    assert older is None or out.read_bytes() == older


def test_a_lack_of_memory_is_said_in_a_sentence(tmp_path, monkeypatch):
    x, y, out = stored(tmp_path, (5, 3), (5, 3))

    def fail(*arguments):
        torch.empty(2**60)

    monkeypatch.setattr(dot_module, "run", fail)
    with pytest.raises(MemoryError, match=r"^there is not enough memory for 5 samples, the least"):
        dot_files(x, y, out, 1)


def test_the_output_keeps_permissions_and_follows_a_link(tmp_path):
    x, y, _ = stored(tmp_path, (5, 3), (5, 3))
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.npy", tmp_path / "link.npy"
    real.write_bytes(b"older")
    real.chmod(0o640)
    link.symlink_to(real)
    dot_files(x, y, link, 1)
    assert link.is_symlink()
    assert np.load(real).shape == (5, 1)
    assert real.stat().st_mode & 0o777 == 0o640


def test_the_bar_appears_on_long_work_only(tmp_path, monkeypatch, capsys):
    x, y, out = stored(tmp_path, (50, 3), (50, 3))
    monkeypatch.setattr(block_planning, "BLOCK_BYTES", 100)
    dot_files(x, y, out, 1, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    dot_files(x, y, out, 1)
    assert capsys.readouterr().err == ""
    contract = dot_module._Job.contract

    def slowly(*args):
        time.sleep(5 * workers.BAR_SECONDS / 50)
        return contract(*args)

    monkeypatch.setattr(dot_module._Job, "contract", slowly)  # or all is done before the first look
    dot_files(x, y, out, 1, progress=True)
    assert "50.0/50.0" in capsys.readouterr().err


MEMORY = """
import resource, sys
import torch
from batchdot.streaming.dot import dot_files
dot_files(sys.argv[1], sys.argv[1], sys.argv[3], 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dot_files(sys.argv[2], sys.argv[2], sys.argv[4], 1, normalize=sys.argv[5] == "cosine")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts kibibytes as Linux does")
@pytest.mark.parametrize(
    "file", one_of(3, [(600_000, False, "dot"), (300_000, True, "dot"), (200_000, False, "cosine")]), ids=str
)
def test_memory_does_not_grow_with_the_file(file, tmp_path):
    """Twice 300 MB of zeros that take no room on the disk; where it is slower, twice 150 and twice 100."""
    samples, fortran, what = file
    small, large = tmp_path / "small.npy", tmp_path / "large.npy"
    np.save(small, np.zeros((10, 3), "f4"))
    with open(large, "wb") as file:
        header = {"descr": "<f4", "fortran_order": fortran, "shape": (samples, 128)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + samples * 128 * 4)
    outputs = [str(tmp_path / name) for name in ("o1.npy", "o2.npy")]
    command = [sys.executable, "-c", MEMORY, str(small), str(large), *outputs, what]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 120
    assert block_planning.BLOCK_BYTES <= 32 << 20
