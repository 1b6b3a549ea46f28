"""benchmarks/gpu: every line of a GPU run, rehearsed on the CPU; its budget, file, table and verdicts."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from time import perf_counter

import pytest
import torch
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import report, values, works
from benchmarks.gpu.clock import Rehearsal, sets_for, time_in_turns
from benchmarks.timing import Timing
from tests.support import ROOT

from benchmarks import published, timing


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A rehearsal in a process of its own: its exit status, what it printed and what it wrote."""
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src"}
    line = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--out", str(out)]
    result = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    return result, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_rehearsal_runs_every_line(rehearsed):
    result, found = rehearsed
    assert result.returncode == 0, result.stdout + result.stderr
    assert (found["failed"], found["not begun"]) == ({}, [])
    assert list(found["works"]) == [*(work.name for work in works.WORKS), *works.SEARCHES]
    assert {row["name"] for row in found["values"]} == {case.name for case in values.cases(True)}
    assert [row["name"] for row in found["edges"]] == list(values.EDGES)
    absent = {name: record["absent"] for name, record in found["works"].items() if record["absent"]}
    assert not absent
    for work in works.WORKS:
        record, lines = found["works"][work.name], {"batch_dot", "batch_dot again", *work.peers, *work.more}
        lines |= ({"compiled"} if work.peers else set()) | ({"aten"} if record["kernel"] != "aten" else set())
        assert record["called"].keys() == record["in a graph"].keys() == lines
    assert "not measured" not in result.stdout
    assert result.stdout.rstrip().endswith("nothing")  # to mend


INTERPRETED = """
import sys
import pytest
from tests.support import triton_interpreter
from benchmarks.gpu.__main__ import main
triton_interpreter.use_on_the_cpu(pytest.MonkeyPatch())
sys.exit(main(["--rehearse", "--out", sys.argv[1]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="triton is missing: the extra `triton`")
def test_a_rehearsal_runs_the_triton_kernels(tmp_path):
    """Under Triton's interpreter; what they do not run is ATen's."""
    out = tmp_path / "gpu.json"
    environment = os.environ | {"TRITON_INTERPRET": "1", "BATCHDOT_KERNELS": "triton"}
    line = [sys.executable, "-c", INTERPRETED, str(out)]
    result = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {row["kernel"] for row in found["values"]} == {"triton"}
    kernels = {name: record["kernel"] for name, record in found["works"].items() if "kernel" in record}
    assert {name for name, kernel in kernels.items() if kernel != "triton"} <= {"Q Kᵀ"}


@pytest.mark.slow
def test_the_section_of_a_run(rehearsed):
    _, found = rehearsed
    lines = report.sections([found]).splitlines()
    assert lines[0].startswith("**rehearsal on the CPU**; batchdot ")
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(found["works"])
    assert len({row.count("|") for row in rows}) == 1
    assert "No run is published" in report.sections([])


@pytest.mark.slow
def test_only_right_runs_of_a_card_are_published(rehearsed, tmp_path):
    _, found = rehearsed
    with pytest.raises(ValueError, match="a rehearsal"):
        report.publish(found, tmp_path)
    run = found | {"rehearsal": False, "device": "NVIDIA H200"}
    assert report.publish(run, tmp_path).name == "results-nvidia-h200.json"
    assert published.load_all(tmp_path) == [run]
    with pytest.raises(ValueError, match="values are wrong"):
        report.publish(run | {"edges": [{"name": "n", "wrong": True, "reason": ""}]}, tmp_path)


def test_the_budget_is_kept(tmp_path):
    """A run whose time is over begins nothing more, and says what."""
    run = command.Run(Rehearsal(), tmp_path / "gpu.json", 0.0, perf_counter())
    run.values()
    run.times()
    run.write()
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["not begun"] == [*values.EDGES, *(case.name for case in values.cases(True)), "ceilings"]
    assert found["values"] == found["edges"] == []


def test_the_file_has_what_was_measured_before_a_crash(tmp_path, monkeypatch):
    def crash(name, machine):
        if name == "strided rows":
            raise KeyboardInterrupt
        return {"name": name, "wrong": False, "reason": ""}

    monkeypatch.setattr(command, "measure_edge", crash)
    run = command.Run(Rehearsal(), tmp_path / "gpu.json", 100.0, perf_counter())
    with pytest.raises(KeyboardInterrupt):
        run.values()
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in found["edges"]] == list(values.EDGES)[:4]


def test_wrong_values_are_found(monkeypatch):
    """A product that is wrong in its last digits, an edge that fails and one that raises."""
    right = values.batch_dot
    monkeypatch.setattr(values, "batch_dot", lambda *args, **kw: right(*args, **kw) * (1 + 2**-22))
    machine = Rehearsal()
    row = values.measure_case(values.Case(torch.float32, 50, "random", True), machine)
    assert row["wrong"] is True
    assert row["ulp"]["batch_dot"] > 1
    assert row["ulp"]["F.cosine_similarity"] < 10
    monkeypatch.setattr(values, "EDGES", {"no": lambda machine: False, "raises": lambda machine: 1 / 0})
    rows = [values.measure_edge(name, machine) for name in values.EDGES]
    assert [row["wrong"] for row in rows] == [True, True]
    assert rows[1]["reason"] == "ZeroDivisionError: division by zero"
    results = {"edges": rows, "values": [row], "rehearsal": False, "works": {}}
    assert len([line for line in report.mend_lines(results) if line.startswith("wrong: ")]) == 3


def test_a_step_that_fails_is_named_and_the_next_one_runs(tmp_path):
    run = command.Run(Rehearsal(), tmp_path / "gpu.json", 100.0, perf_counter())
    assert run.step("divides", lambda: 1 / 0) is None
    assert run.step("next", lambda: 3) == 3
    assert run.results["failed"] == {"divides": "ZeroDivisionError: division by zero"}


def test_peers_with_other_numbers_are_not_timed():
    lines = {"batch_dot": torch.add, "other": torch.sub, "less": torch.mul, "raises": lambda x, y: 1 / 0}
    inputs = [(torch.ones(2), torch.ones(2))]
    absent = works._drop_wrong(lines, inputs, "float32", ("less",))
    assert list(lines) == ["batch_dot", "less"]
    assert "gives other numbers" in absent["other"]
    assert "ZeroDivisionError" in absent["raises"]


def test_targets_are_judged():
    times = {
        "batch_dot": {"median": 10.0},
        "cosine_similarity": {"median": 50.0},
        "compiled": {"median": 11.0},
    }
    record = {"floor": 9.0, "in a graph": times, "kernel": "triton", "absent": {}}
    lines = report.target_report({"works": {"row cosine, large": record}})
    found = [" ".join(line.split()) for line in lines]
    assert "row cosine, large: time over the floor 1.11 at most 1.15" in found
    assert "row cosine, large: times faster than F.cosine_similarity 5 at least 4.3" in found
    assert "row cosine, large: times faster than torch.compile 1.1 at least 1.25 missed" in found
    assert "cosine matrix, in a graph: time over bmm alone at most 1.5 not measured" in found
    results = {"works": {"row cosine, large": record}, "rehearsal": False}
    assert report.mend_lines(results) == [line for line in lines if line.endswith("missed")]


def test_sets_of_inputs_outgrow_the_cache():
    class Card(Rehearsal):
        rehearsal, l2_bytes = False, 50 << 20

    def make(index):
        return (torch.tensor(index),)

    assert len(sets_for(Card(), make, 64 << 20)) == 4
    assert len(sets_for(Card(), make, 1 << 30)) == 2
    assert len(sets_for(Card(), make, 1000)) == 64


def test_time_in_turns_times_a_call(monkeypatch):
    calls = []
    found = time_in_turns(Rehearsal(), {"a": lambda: calls.append(1)}, 4, perf_counter() + 100)
    assert len(found["a"].rounds) == Rehearsal.rounds <= len(calls)
    monkeypatch.setattr(timing, "time_in_turns", lambda *args, **options: {"a": Timing((4.0, 8.0))})
    assert time_in_turns(Rehearsal(), {"a": None}, 4, 0.0) == {"a": Timing((1.0, 2.0))}


def test_without_a_device_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([]) == 2
    assert "--rehearse" in capsys.readouterr().err
