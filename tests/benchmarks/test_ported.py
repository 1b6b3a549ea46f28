"""The sections `ported` and `reading` of the benchmarks. No test asserts a time."""

import json

import h5py
import pytest
import torch
from benchmarks.keras_peers import KerasPeers, start_keras_peers
from benchmarks.measure import Settings
from benchmarks.ported import handwritten, start
from benchmarks.ported import measure as ported
from benchmarks.ported.keras_models import MODELS
from benchmarks.ported.tables import ported_table
from benchmarks.ported.works import WORKS
from torch import nn

from batchdot import porting
from benchmarks import __main__ as command
from benchmarks import reading, tables, targets, timing

QUICK = Settings(rounds=2, budget=0, compile=False)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0)


@pytest.mark.parametrize("name", WORKS)
def test_handwritten_and_ported_agree(name):
    work = WORKS[name]
    module = porting.load(work.path)
    inputs = [torch.from_numpy(array) for array in work.arrays(5)]
    with torch.no_grad():
        torch.testing.assert_close(handwritten.with_weights(work.build, module)(*inputs), module(*inputs))
        assert not torch.allclose(module(*inputs)[0], module(*inputs)[1], rtol=1e-3)  # the inputs matter


def test_other_weights_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        handwritten.with_weights(handwritten.PointNet, nn.Linear(3, 3))
    with pytest.raises(RuntimeError, match="size mismatch"):
        handwritten.with_weights(lambda: nn.Linear(4, 3), nn.Linear(3, 3))


def test_every_model_has_a_file():
    assert list(MODELS) == list(WORKS)
    paths = {path for work in WORKS.values() for path in (work.path, work.keras_3_path)}
    assert paths == set(WORKS["PointNet"].path.parent.iterdir())


def test_a_wrong_handwritten_module_is_not_timed(monkeypatch):
    class Wrong(handwritten.Factorization):
        def forward(self, user, movie):
            return super().forward(user, movie) + 1

    work = WORKS["factorization"]
    wrong = type(work)(work.file, Wrong, work.inputs)
    record = ported.measure_batch(wrong, 4, KerasPeers(wanted=False), QUICK)
    assert set(record["microseconds"]) == {"ported"}
    assert record["absent"]["hand-written"].startswith("gives other numbers")
    assert record["absent"]["tf_keras"] == "left out as asked"
    results = {"ported": {"batches": {"factorization": {"4": record}}}}
    assert command._any_wrong(results)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(ported, "WORKS", {"factorization": WORKS["factorization"]})
    monkeypatch.setattr(ported, "BATCHES", (1, 3))


@pytest.mark.slow
def test_a_run_without_keras(small, tmp_path, capsys):
    path = tmp_path / "results.json"
    assert command.main(["--quick", "--no-keras", "--only", "ported", "--output", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))
    batches = results["ported"]["batches"]["factorization"]
    assert {batch: set(row["microseconds"]) for batch, row in batches.items()} == {
        batch: {"ported", "hand-written"} for batch in ("1", "3")
    }
    started = results["ported"]["start"]["factorization"]
    assert set(started["microseconds"]) == {"porting.load", "saved source"}
    assert set(started["absent"]) == {"tf_keras", "Keras 3 torch"}
    pages = results["ported"]["pages"]["factorization"]
    assert set(pages) == {"pages of 4 KiB", "huge pages"}
    assert min(pages.values()) > 0
    out = capsys.readouterr().out
    assert "factorization          3 " in out
    assert "\n  tf_keras: left out as asked\n" in out
    assert "ported factorization, the worst batch: time over the hand-written module" in out
    assert ported_table(results).count("\n") == 3


@pytest.mark.slow
@pytest.mark.keras
def test_keras_is_timed_beside(small):
    with start_keras_peers() as started:
        record = ported.measure_ported(started, QUICK)
        absent = set(started.absent)
    for row in record["batches"]["factorization"].values():
        assert set(row["microseconds"]) == {
            "ported",
            "hand-written",
            *({"tf_keras graph", "Keras 3 torch", "Keras 3 JAX"} - absent),
        }
        assert set(row["absent"]) == absent
    assert set(record["start"]["factorization"]["microseconds"]) >= {"tf_keras", "Keras 3 torch"}


@pytest.fixture(scope="module")
def kerases():
    with start_keras_peers() as started:
        yield started


@pytest.mark.keras
@pytest.mark.parametrize("name", WORKS)
def test_both_kerases_read_the_files(name, kerases):
    record = ported.measure_batch(WORKS[name], 2, kerases, QUICK)
    assert {"tf_keras graph", "Keras 3 torch"} <= set(record["microseconds"]), record["absent"]


def test_a_program_that_fails_is_an_error(monkeypatch):
    monkeypatch.setitem(start.PROGRAMS, start.OURS, "raise OSError('no such model')")
    with pytest.raises(RuntimeError, match=r"porting\.load: OSError: no such model"):
        start.measure_start(WORKS["factorization"], KerasPeers(wanted=False), QUICK)


MADE_UP = {
    "ported": {
        "batches": {
            "PointNet": {
                "1": {"our time over theirs": {"hand-written": 1.0, "tf_keras graph": 0.1}},
                "32": {"our time over theirs": {"hand-written": 1.1, "tf_keras graph": 0.5}},
            }
        },
        "start": {"PointNet": {"our time over theirs": {"tf_keras": 0.6, "Keras 3 torch": 0.5}}},
    },
    "reading": {
        "large": {"our time over reading": 2.5, "memory over the weights": 1.0},
        "inspect": {"a": [0.3, 0.4, 9], "b": [0.2, 0.2, 0.2]},
    },
}


@pytest.mark.parametrize(
    ("start", "measured", "verdict"),
    [
        ("ported PointNet, the worst batch: time over the hand-written", 1.1, "missed"),
        ("ported PointNet, the worst batch: times faster than tf_keras graph", 2, "met"),
        ("ported PointNet, the worst batch: times faster than Keras 3 torch", None, "not measured"),
        ("ported two towers, the worst batch: time over the hand-written", None, "not measured"),
        ("PointNet, from start to first prediction: times faster than tf_keras", 1 / 0.6, "missed"),
        ("PointNet, from start to first prediction: times faster than Keras 3", 2, "met"),
        ("a Keras file of 1 GB: time over", 2.5, "missed"),
        ("a Keras file of 1 GB: memory over", 1, "met"),
        ("batchdot inspect", 0.4, "met"),
    ],
)
def test_verdicts(start, measured, verdict):
    (row,) = [row for row in targets.evaluate(MADE_UP) if row["text"].startswith(start)]
    assert row["verdict"] == verdict
    assert row["measured"] == (None if measured is None else pytest.approx(measured))


def test_reading_is_measured_against_bytes(monkeypatch):
    monkeypatch.setattr(reading, "WORKS", {"PointNet": WORKS["PointNet"]})
    record = reading.measure_reading(64, rounds=1)
    assert record["large"]["bytes"] > 4 * 64 * 64 * 4
    assert len(record["inspect"]["PointNet"]) == 1
    assert len(tables.reading_lines(record)) == 2


def test_the_large_file_is_a_model(tmp_path):
    path = tmp_path / "large.h5"
    reading._write(path, 8)
    module = porting.load(path)
    with h5py.File(path) as file:
        kernel = torch.from_numpy(file["model_weights/dense_3/dense_3/kernel:0"][:])
    assert torch.equal(module.state_dict()["dense_3.weight"], kernel.T)


def test_reading_without_h5py_says_so(monkeypatch):
    monkeypatch.setattr(reading, "WORKS", {})
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    record = reading.measure_reading(8, rounds=1)
    assert record["large"] == {"absent": "h5py not installed"}
    assert tables.reading_lines(record)[0] == "a large HDF5 file: h5py not installed"
