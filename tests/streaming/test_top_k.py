"""top_k from file to file: the result of top_k, whatever the blocks and the format."""

import numpy as np
import pytest
import safetensors.torch
import torch

from batchdot import top_k
from batchdot.cli.main import main
from batchdot.errors import FileFormatError
from batchdot.io.array_file import BlockReader
from batchdot.io.regular_file import RegularFile
from batchdot.retrieval import native_selection, selection
from batchdot.streaming import top_k as retrieval_files
from batchdot.streaming.top_k import top_k_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """queries.npy (7, 4), items.npy (90, 4), both of few values, and all in all.safetensors, as bfloat16."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    queries, items = (random.integers(-2, 3, (n, 4)).astype("f4") for n in (7, 90))
    np.save("queries.npy", queries)
    np.save("items.npy", items)
    np.save("wide.npy", random.standard_normal((5, 9)))
    np.save("cube.npy", random.standard_normal((5, 9, 2)))
    np.save("columns.npy", np.asfortranarray(items))
    np.save("big.npy", items.astype(">f4"))
    both = {"q": torch.from_numpy(queries).bfloat16(), "i": torch.from_numpy(items).bfloat16()}
    safetensors.torch.save_file(both, "all.safetensors")
    return tmp_path


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request, monkeypatch):
    if request.param == "many blocks":
        for module in (selection, native_selection):
            monkeypatch.setattr(module, "QUERY_BLOCK", 2)
            monkeypatch.setattr(module, "BLOCK_SCORES", 2 * 5)
        monkeypatch.setattr(retrieval_files, "ITEM_BYTES", 13 * 4 * 8)
        monkeypatch.setattr(retrieval_files, "QUERY_BYTES", 3 * 3 * 4 * 8 + 6 * 8 * 3 * 18)


@pytest.mark.parametrize("items", ["items.npy", "columns.npy", "big.npy"])
@pytest.mark.parametrize("k", [0, 1, 10, 90])
@pytest.mark.parametrize("normalize", [False, True])
def test_files_have_what_top_k_returns(items, k, normalize, blocks, folder):
    written = top_k_files("queries.npy", items, k, scores="s.npy", indices="i.npy", normalize=normalize)
    expected = top_k(np.load("queries.npy"), np.load("items.npy"), k, normalize)
    np.testing.assert_array_equal(np.load("s.npy"), expected.scores.numpy())
    np.testing.assert_array_equal(np.load("i.npy"), expected.indices.numpy())
    assert [w.path for w in written] == ["s.npy", "i.npy"]
    assert [(w.shape, w.dtype) for w in written] == [(t.shape, t.dtype) for t in expected]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("k", [1, 10, 85, 90])
@pytest.mark.parametrize("repeat", [1, 5])
def test_items_are_searched_in_threads(workers, order, k, repeat, monkeypatch, folder):
    """Of which some have fewer items than k."""
    monkeypatch.setattr(retrieval_files, "count_workers", lambda: workers)
    monkeypatch.setattr(retrieval_files, "ITEM_BYTES", 13 * 4 * 8)
    np.save("queries.npy", np.load("queries.npy").repeat(repeat, 0))
    items = np.load("items.npy")
    items[[3, 40]], items[[20, 77]], items[50] = 3e38, -3e38, np.nan
    items[[33, 34], 1] = np.inf
    np.save("items.npy", np.asarray(items, order=order))
    top_k_files("queries.npy", "items.npy", k, scores="s.npy", indices="i.npy")
    expected = top_k(np.load("queries.npy"), items, k)
    np.testing.assert_array_equal(np.load("s.npy"), expected.scores.numpy())
    np.testing.assert_array_equal(np.load("i.npy"), expected.indices.numpy())


@pytest.mark.parametrize("items", ["items.npy", "columns.npy"])
def test_items_are_read_once(items, monkeypatch, folder):
    """To read a row in Fortran order again would be to read each of its numbers by itself."""
    counts, header, read_into = [], 128, RegularFile.read_into

    def count(self, buffer, offset):
        if self.path == items and offset >= header:
            counts.append(len(buffer))
        return read_into(self, buffer, offset)

    monkeypatch.setattr(retrieval_files, "ITEM_BYTES", 13 * 4 * 8)
    monkeypatch.setattr(RegularFile, "read_into", count)
    top_k_files("queries.npy", items, 3, indices="i.npy")
    assert sum(counts) == np.load(items).nbytes


def test_formats_dtypes_and_one_output(folder):
    places = {"scores": "s.safetensors:top", "indices": "i.safetensors"}
    top_k_files("all.safetensors:q", "all.safetensors:i", 5, **places)
    tensors = safetensors.torch.load_file("all.safetensors")
    expected = top_k(tensors["q"], tensors["i"], 5)
    assert torch.equal(safetensors.torch.load_file("s.safetensors")["top"], expected.scores)
    assert torch.equal(safetensors.torch.load_file("i.safetensors")["out"], expected.indices)
    for name in ("queries", "items"):
        np.save(f"int-{name}.npy", np.load(f"{name}.npy").astype("i1"))
    (written,) = top_k_files("int-queries.npy", "int-items.npy", 5, scores="s.npy", dtype="int16")
    assert written.dtype == torch.int64
    assert np.load("s.npy").dtype == np.int64
    np.testing.assert_array_equal(np.load("s.npy"), expected.scores.long().numpy())


def test_no_queries(folder):
    np.save("none.npy", np.zeros((0, 4)))
    top_k_files("none.npy", "items.npy", 3, indices="i.npy")
    assert np.load("i.npy").shape == (0, 3)


def run(capsys, *argv):
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command(folder, capsys):
    argv = ["top-k", "queries.npy", "items.npy", "-k", "3", "--normalize", "--epsilon", "1e-3", "--dtype"]
    argv += ["float64", "--scores", "s.npy", "--indices", "i.npy", "--no-progress"]
    assert run(capsys, *argv) == (0, "s.npy: (7, 3) float64\ni.npy: (7, 3) int64\n", "")
    queries, items = (torch.from_numpy(np.load(f"{name}.npy")).double() for name in ("queries", "items"))
    expected = top_k(queries, items, 3, True, epsilon=1e-3)
    np.testing.assert_array_equal(np.load("i.npy"), expected.indices.numpy())
    np.testing.assert_array_equal(np.load("s.npy"), expected.scores.numpy())


def test_the_bar_counts_to_the_end(folder, capsys, monkeypatch, blocks):
    from batchdot.streaming import progress

    monkeypatch.setattr(progress, "DELAY", 0.0)
    bars = []
    monkeypatch.setattr(
        retrieval_files, "Progress", lambda *a: bars.append(progress.Progress(*a)) or bars[-1]
    )
    run(capsys, "top-k", "queries.npy", "items.npy", "-k", "3", "--indices", "i.npy", "--progress")
    assert bars[0].done == bars[0].total > 0


WRONG = {
    "queries.npy items.npy -k 91 --indices o.npy": "k should be from 0 to the number of items, 90.",
    "queries.npy items.npy -k -1 --indices o.npy": "k should be from 0 to the number of items, 90.",
    "queries.npy items.npy -k ten --indices o.npy": "argument -k: invalid int value: 'ten'",
    "queries.npy items.npy --indices o.npy": "the following arguments are required: -k",
    "queries.npy items.npy -k 3": "nothing would be written: name a file for the scores, for the indices,",
    "queries.npy items.npy -k 3 --scores o.npy --indices ./o.npy": "scores and indices need a file each, and",
    "queries.npy items.npy -k 3 --scores o.txt": "cannot tell the format of 'o.txt' from its name",
    "queries.npy items.npy -k 3 --scores items.npy": "cannot write items.npy: it is the same file as the",
    "queries.npy items.npy -k 3 --scores no/o.npy": "cannot write no/o.npy: there is no folder {folder}/no",
    "queries.npy items.npy -k 3 --scores o.npy --indices no/o.npy": "cannot write no/o.npy: there is no",
    "queries.npy wide.npy -k 3 --scores o.npy": "queries and items have different sizes of a row: 4 != 9.",
    "cube.npy wide.npy -k 3 --scores o.npy": "top_k takes queries of shape (Q, d) and items of shape (N, d).",
    "queries.npy no.npy -k 3 --scores o.npy": "cannot read no.npy: no such file or directory",
    "all.safetensors items.npy -k 3 --scores o.npy": "all.safetensors holds 2 tensors; say which with",
    "all.safetensors:q all.safetensors:i -k 3 --scores o.npy": "cannot write o.npy: a .npy file cannot hold",
    "queries.npy items.npy -k 3 --scores o.npy --dtype float3": "dtype should be one of float64, float32",
    "queries.npy items.npy -k 3 --scores o.npy --normalize --epsilon 0": "epsilon is a floor on the squared",
    "queries.npy items.npy -k 3 --scores o.npy --dtype complex64": "top_k compares scores, and queries are",
}


@pytest.mark.parametrize(("command", "line"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(command, line, folder, capsys):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    status, out, err = run(capsys, "top-k", *command.split(" "))
    assert (status, out) == (2, "")
    assert err.startswith("batchdot: " + line.format(folder=folder))
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("queries", ["queries.npy", "items.npy"])
def test_a_file_that_is_written_to_meanwhile_is_refused(queries, folder, monkeypatch):
    """At a few queries, and at many, whose items are read ahead."""
    read = BlockReader.read

    def read_and_touch(self, start, stop):
        with open("columns.npy", "ab") as file:
            file.write(b"more")
        return read(self, start, stop)

    monkeypatch.setattr(BlockReader, "read", read_and_touch)
    (folder / "i.npy").write_bytes(b"older")
    with pytest.raises(FileFormatError, match=r"columns\.npy was written to while it was read"):
        top_k_files(queries, "columns.npy", 3, indices="i.npy")
    assert (folder / "i.npy").read_bytes() == b"older"
    assert not list(folder.glob(".batchdot-*"))
