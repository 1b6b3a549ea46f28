"""The benchmarks: what they compute from times, which peers they refuse, and a run of the smallest kind.

No test asserts a time.
"""

import json
import re
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import pytest
import torch
from benchmarks.baselines import BASELINES
from benchmarks.exact import as_floats, cosine_from, exact_dot, ulps
from benchmarks.keras_peers import KerasPeers, request, start_keras_peers
from benchmarks.measure import Settings, best_baseline, difference, summary
from benchmarks.roofline import roofline, roofline_statements
from benchmarks.timing import Timing, time_in_turns
from benchmarks.workloads import WORKLOADS, Workload
from tests.support import oracle

import batchdot
from batchdot import batch_dot
from batchdot.kernels import AVAILABLE
from batchdot.planning.plan import Executable
from benchmarks import __main__ as command
from benchmarks import (
    accuracy,
    compiled,
    machine,
    measure,
    memory,
    outliers,
    plots,
    published,
    report,
    stream,
    tables,
    targets,
    timing,
    top_k,
)

QUICK = Settings(rounds=2, budget=0, compile=False)
SMALL = Workload("row dot", (3, 4), (3, 4), 1)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0)


@pytest.fixture
def alone():
    return KerasPeers(wanted=False)


def smaller(work):
    """The same work on a batch of 2."""
    return replace(work, x=(2, *work.x[1:]), y=(2, *work.y[1:]))


# What is computed from times


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "difference"),
    [
        ((1, 2, 3), (2, 4, 6), 0.5, -2),
        ((1, 1, 1), (1, 10, 0.5), 1, 0),  # round by round: a slow minute of theirs alone says nothing
        ((1, 100, 2), (2, 200, 1), 0.5, -1),
        ((4, 2), (1, 1), 3, 2),
    ],
)
def test_ratios(ours, theirs, ratio, difference):
    timings = {"batch_dot": Timing(ours), "peer": Timing(theirs)}
    assert timings["batch_dot"].difference(timings["peer"]) == difference
    record = summary(timings)
    assert record["our time over theirs"] == {"peer": ratio}
    assert record["rounds"] == len(ours)
    assert record["microseconds"]["peer"]["median"] == sorted(theirs)[1] * 1e6 if len(theirs) == 3 else True
    json.dumps(record)


def test_quartiles_are_a_spread():
    assert Timing(tuple(range(1, 8))).quartiles == (2, 6)


def test_best_baseline_is_pytorch():
    record = {
        "lines": BASELINES["row dot"],
        "our time over theirs": {"elementwise": 0.5, "bmm": 0.9, "tf_keras": 3, "roofline": 5},
    }
    assert best_baseline(record) == "bmm"


class CountedBlock:
    def __init__(self):
        self.runs = 0

    def run(self):
        self.runs += 1
        return 1.0


def test_every_round_has_every_statement(monkeypatch):
    other, calls = CountedBlock(), []
    timings = time_in_turns({"a": "f()"}, {"f": lambda: calls.append(0)}, 7, others={"b": other})
    assert {name: len(t.rounds) for name, t in timings.items()} == {"a": 7, "b": 7}
    assert (other.runs, timings["b"].median) == (7, 1.0)
    assert len(calls) >= 7
    timings = time_in_turns({"a": "f()"}, {"f": lambda: None}, 100, others={"b": other}, budget=0)
    assert len(timings["b"].rounds) == timing.FEWEST_ROUNDS


# (name, shapes, axes, options, backward, multiply-adds, bytes of float32)
COSTS = [
    ("row dot", (4, 5), (4, 5), 1, {}, False, 20, 160),
    ("row dot", (4, 5), (4, 5), 1, {}, True, 60, 160),
    ("Q Kᵀ", (2, 3, 5), (2, 7, 5), 2, {}, False, 210, 400),
    ("matrix product", (2, 3, 5), (2, 5, 7), (2, 1), {}, False, 210, 400),
    ("capsules", (2, 3, 5), (2, 3, 5, 7), 2, {"batch_dims": 2}, False, 210, 960),
]


@pytest.mark.parametrize(("name", "x", "y", "axes", "options", "backward", "products", "size"), COSTS)
def test_cost_and_roofline(name, x, y, axes, options, backward, products, size):
    work = Workload(name, x, y, axes, options, backward=backward)
    assert (work.multiply_adds, work.bytes_read) == (products, size)
    assert replace(work, dtype="bfloat16").bytes_read == size // 2
    _, names = roofline_statements(work, "cpu")
    assert names["roofline_a"].nbytes + names["roofline_b"].nbytes == size
    read = {"roofline read": Timing((2.0, 2.0)), "roofline peak": Timing((0.0, 512.0**3 * 10 / products))}
    assert roofline(work, read).rounds == pytest.approx((2, 10))


# Targets

MADE_UP = {
    "workloads": {
        "row cosine, large": {
            "our time over theirs": {"roofline": 1.3, "cosine_similarity": 1 / 40, "tf_keras": 0.1}
        },
        "Q Kᵀ": {"our time over theirs": {"bmm": 1.0, "matmul": 1.05, "einsum": 0.9, "roofline": 3}},
    },
    "calls": {"rows": {"time over the first": {"batch_dot": 1.0}, "µs more than the first": {"Dot": 1.5}}},
    "memory": {"row dot, float32": {"extra bytes": {"batch_dot": [0, 65536], "elementwise": [0, 1 << 30]}}},
    "files": {
        "works": {"row dot, from the disk": {"our rate over reading": 0.9, "resident MB": 301}},
    },
    "accuracy": {
        "cosines": [{"ulp": {"batch_dot": 0.5}, "not finite": {"batch_dot": 0}}],
        "identical rows": {"float32": {"batch_dot": 1, "bmm": 30}},
    },
}


@pytest.mark.parametrize(
    ("start", "measured", "verdict"),
    [
        ("row cosine (65536,128): time over the roofline", 1.3, "missed"),
        ("row cosine (65536,128): times faster than cosine_similarity", 40, "met"),
        ("row cosine (65536,128): times faster than tf_keras", 10, "missed"),
        ("row cosine (65536,128): times faster than Keras 3 JAX", None, "not measured"),
        ("row dot (65536,128): time over the roofline", None, "not measured"),
        ("row dot (32,128): time over (x*y).sum", 1.0, "met"),
        ("Dot, row dot (32,128)", 1.5, "missed"),
        ("Q Kᵀ: time over the best of", 1.05, "missed"),
        ("the same, geometric mean", None, "not measured"),
        ("row dot, float32: KiB more", 64, "met"),
        ("batchdot, row dot, from the disk: rate", 0.9, "met"),
        ("batchdot, row dot, from the disk: resident", 301, "missed"),
        ("row cosines, every dtype", 0.5, "met"),
        ("cosines of identical rows", 1, "missed"),
        ("cosines of finite rows", 0, "met"),
    ],
)
def test_verdicts(start, measured, verdict):
    rows = [row for row in targets.evaluate(MADE_UP) if row["text"].startswith(start)]
    assert [row["verdict"] for row in rows] == [verdict]
    assert rows[0]["measured"] == (None if measured is None else pytest.approx(measured))
    (line,) = tables.target_lines(rows)
    assert line.endswith("missed") is (verdict == "missed")


def test_targets_unique_and_measured():
    rows = targets.evaluate(MADE_UP)
    assert len({row["text"] for row in rows}) == len(rows)
    names = {work.name for work in WORKLOADS}
    asked = set()

    class Asked(dict):
        def __missing__(self, name):
            asked.add(name)
            raise KeyError(name)

    targets.evaluate({"workloads": Asked()})
    assert asked
    assert asked <= names


# Peers and what they give


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([torch.ones(2, 1)], None),
        ([torch.ones(2, 1) + 1e-5], None),
        ([torch.tensor([[1.0], [1.1]])], "gives other numbers: by up to 0.1 of the largest"),
        ([torch.tensor([[1.0], [float("nan")]])], "gives other numbers: by up to nan of the largest"),
        ([torch.ones(2)], "gives other shapes: (2,) instead of (2, 1)"),
        ([torch.ones(2, 1)] * 2, "2 results instead of 1"),
    ],
)
def test_differences(results, reason):
    assert difference(results, [torch.ones(2, 1)], "float32") == reason


def test_a_wrong_peer_is_not_timed_and_is_the_exit_status(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(BASELINES["row dot"], "einsum", "2 * (x * y).sum(1, keepdim=True)")
    monkeypatch.setitem(BASELINES["row dot"], "bmm", "torch.no_such_function(x, y)")
    monkeypatch.setattr(command, "WORKLOADS", (SMALL,))
    path = tmp_path / "results.json"
    assert command.main([*SHORT, "--only", "row dot", "--output", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == "row dot: einsum gives other numbers: by up to 1 of the largest\n"
    record = json.loads(path.read_text(encoding="utf-8"))["workloads"]["row dot"]
    assert not {"einsum", "bmm"} & set(record["microseconds"])
    assert "AttributeError" in record["absent"]["bmm"]
    assert "  einsum: gives other numbers" in out
    assert "  bmm: AttributeError" in out


class Unwilling:
    name = "unwilling"

    def unavailable_reasons(self):
        return []

    def not_supported_reasons(self, plan):
        return ["it is a test", "it is Tuesday"]


class Willing(Unwilling):
    name = "willing"

    def not_supported_reasons(self, plan):
        return []

    def build(self, plan):
        return Executable(replace(plan, kernel=self.name), lambda x, y: (x * y).sum(1, True))


def test_kernels_that_come_before_are_measured_or_say_why_not(alone, monkeypatch):
    kernels = (Unwilling(), Willing(), *batchdot.kernels.KERNELS)
    monkeypatch.setattr("batchdot.kernels.AVAILABLE", kernels)
    monkeypatch.setattr(measure, "AVAILABLE", kernels)
    monkeypatch.setattr(measure, "KERNELS", kernels)
    record = measure.measure(replace(SMALL, x=(3, 7), y=(3, 7)), alone, QUICK)
    assert record["kernel"] == "willing"
    assert record["kernels that did not run"] == {"unwilling": ["it is a test", "it is Tuesday"]}
    assert "aten" in record["our time over theirs"]
    assert "kernel unwilling: it is a test; it is Tuesday  [row dot]" in tables.reason_lines(
        {"row dot": record}
    )
    assert tables.work_line("row dot", record).endswith("  willing")


@pytest.mark.keras
def test_keras_peers_are_timed():
    works = [
        Workload("row cosine", (3, 8), (3, 8), 1, {"normalize": True}),
        Workload("matrix product", (3, 4, 5), (3, 5, 2), (2, 1), dtype="bfloat16", backward=True),
    ]
    with start_keras_peers() as started:
        there = [process.framework for process in started.processes]
        assert sorted([*there, *started.absent]) == ["Keras 3 JAX", "Keras 3 torch", "tf_keras"]
        for work in works:
            record = measure.measure(work, started, QUICK)
            assert set(there) <= set(record["microseconds"])
        refused = Workload("row dot", (3, 8), (3, 8), 2)
        values, blocks, reasons = started.make(request(refused, *works[0].inputs(), None))
        assert not values
        assert not blocks
        assert set(there) <= set(reasons)  # and none of them died of it
        assert set(there) <= set(measure.measure(works[0], started, QUICK)["microseconds"])
        assert "first axis only" in request(
            replace(works[0], options={"batch_dims": 2}), *works[0].inputs(), None
        )


# Accuracy


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scale", [1.0, "tiny", "max"])
def test_exact_arithmetic(dtype, scale):
    info = torch.finfo(dtype)
    factor = {"tiny": info.smallest_normal, "max": info.max / 16}.get(scale, scale)
    x, y = ((torch.randn(600, dtype=torch.float64).clamp(-8, 8) * factor).to(dtype) for _ in "xy")
    a, b = as_floats(x), as_floats(y)
    product, squares = exact_dot(a, b), (exact_dot(a, a), exact_dot(b, b))
    assert product == sum(Fraction(u) * Fraction(v) for u, v in zip(a.tolist(), b.tolist(), strict=True))
    right = cosine_from(product, *squares, 1e-12)
    other = oracle.exact_cosine(a.tolist(), b.tolist(), 1e-12)
    assert abs(right - other) <= abs(other) * Fraction(1, 2**150)
    for value in (0.0, float(right), float(right) * (1 + float(info.eps))):
        assert ulps(value, right, dtype) == oracle.ulps(value, right, dtype)


@pytest.mark.parametrize(
    ("value", "exact", "error"),
    [
        (1 + 2**-23, 1, 1),
        (1 - 2**-24, 1, 0.5),
        (0.0, 1, 2**23),
        (2**-149, 0, 1),
        (4.0, 2 - 2**-23, 2**24 + 1),
        (1.0, Fraction(1, 2**2000), 2.0**149),
    ],
)
def test_ulps(value, exact, error):
    assert ulps(value, Fraction(exact), torch.float32) == error


def test_accuracy_counts_what_is_wrong(alone, monkeypatch):
    lines = {
        "batch_dot": "batch_dot(x, y, 1, normalize=True)",
        "off": "batch_dot(x, y, 1, normalize=True) * (1 + 1e-5)",
        "nan": "x[:, :1] * float('nan')",
    }
    monkeypatch.setattr(accuracy, "COSINES", lines)
    monkeypatch.setattr(accuracy, "DTYPES", ("float32",))
    record = accuracy.measure_accuracy(alone, quick=True)
    for row in record["cosines"]:
        assert row["ulp"]["batch_dot"] <= 0.51
        assert row["not finite"] == {"batch_dot": 0, "off": 0, "nan": row["rows"]}
        assert row["ulp"]["nan"] is None
        if row["case"] == "about 1":
            assert 80 < row["ulp"]["off"] < 200
    assert record["identical rows"]["float32"] == {"batch_dot": 0, "off": 10_000, "nan": 0}
    assert record["zero rows"]["float32"] == {"batch_dot": "0.0", "off": "0.0", "nan": "nan"}
    text = tables.accuracy_table({"accuracy": record})
    assert "| cosine, float32 | about 1 | 16 | 0." in text
    assert "| 0% |" in text


# Memory and files


def test_peak_memory():
    x = torch.ones(1000)
    assert memory.peak_bytes("x + x", {"x": x}) == 4000
    assert memory.peak_bytes("((x + x) + (x + x)).sum()", {"x": x}) == 12000
    assert memory.peak_bytes("x.view(10, 100)", {"x": x}) == 0


@pytest.mark.slow
def test_extra_memory_of_rows():
    results = memory.measure_memory((100, 200))
    assert set(results) == {
        f"{kind}, {d}" for kind in ("row dot", "row cosine") for d in ("float32", "bfloat16")
    }
    assert results["row dot, float32"]["extra bytes"]["elementwise"] == [51200, 102400]
    assert min(min(extra) for row in results.values() for extra in row["extra bytes"].values()) >= 0


@pytest.mark.slow
def test_files(monkeypatch):
    kinds = ("row dot", "top-k, 1 query")
    monkeypatch.setattr(stream, "_KINDS", {kind: stream._KINDS[kind] for kind in kinds})
    record = stream.measure_files(1, rounds=1)
    work = record["works"]["row dot, from the page cache"]
    assert work["bytes"] == 2 * ((1 << 20) + 128)
    assert work["our rate over reading"] == pytest.approx(work["GB/s"] / work["GB/s reading"])
    assert 20 < work["resident MB"] < 2000
    assert record["works"]["top-k, 1 query, from the page cache"]["bytes"] == (1 << 20) + 128


# Skips, refusals, a whole run

SHORT = ["--quick", "--no-keras", "--no-compile"]


def test_top_k_is_measured_beside_its_baseline(monkeypatch):
    monkeypatch.setattr(top_k, "WORKS", {"queries": top_k.Search(3, 8, k=4, items=50)})
    record = top_k.measure_top_k(QUICK)["works"]["queries"]
    assert {"top_k", "baseline"} <= set(record["microseconds"])
    assert set(record["absent"]) | set(record["microseconds"]) == {"top_k", "baseline", "faiss"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_compiled_calls_and_layers_beside_baselines(monkeypatch):
    monkeypatch.setattr(compiled, "WORKS", ("row cosine", "row cosine, backward"))
    monkeypatch.setattr(compiled, "MODELS", {"Dot, over batch_dot": "a - b", "Dense": None})
    record = compiled.measure_compiled(replace(QUICK, compile=True))
    assert record.pop("Dot")["absent"].startswith("the baseline gives other shapes")
    assert list(record) == ["row cosine", "row cosine, backward", "Dense"]
    assert all(set(row["microseconds"]) == {"batch_dot", "baseline"} for row in record.values())
    table = tables.compiled_table({"a processor": {"compiled": record}}).splitlines()
    assert len(tables.compiled_lines(record)) == len(table) - 2
    measured = [t for t in targets.evaluate({"compiled": record}) if t["measured"] is not None]
    assert [t["text"].split(", compiled")[0] for t in measured] == ["row cosine", "Dense"]


def test_nothing_is_compiled_that_was_left_out():
    assert list(compiled.measure_compiled(QUICK)) == ["skipped"]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--only", "no such thing"], "nothing named 'no such thing'; there are: workloads; calls; "),
        (["--rounds", "1"], "--rounds has to be at least 2"),
        (["--threads", "0"], "--threads has to be at least 1"),
        (["--publish", "--quick"], "--publish goes with a whole run"),
        (["--resume", "no.json"], "cannot continue no.json: [Errno 2]"),
    ],
)
def test_refusals_are_one_line(argv, text, capsys):
    with pytest.raises(SystemExit) as exit_:
        command.main(argv)
    out, err = capsys.readouterr()
    assert (exit_.value.code, out, err.count("\n")) == (2, "", 1)
    assert text in err


@pytest.mark.slow
def test_a_run_writes_every_workload(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "WORKLOADS", tuple(map(smaller, WORKLOADS)))
    path = tmp_path / "results.json"
    assert command.main([*SHORT, "--only", "workloads", "--output", str(path)]) == 0
    out, err = capsys.readouterr()
    results = json.loads(path.read_text(encoding="utf-8"))
    assert err == ""
    assert list(results["workloads"]) == [work.name for work in WORKLOADS]
    assert {(w["dtype"], w["backward"]) for w in results["workloads"].values()} == {
        (dtype, backward) for dtype in ("float32", "bfloat16") for backward in (False, True)
    }
    assert results["absent"] == dict.fromkeys(
        ("tf_keras", "Keras 3 torch", "Keras 3 JAX"), "left out as asked"
    )
    assert results["machine"]["kernels"]["aten"] == "available"
    for work in WORKLOADS:
        record = results["workloads"][work.name]
        others = {kernel.name for kernel in AVAILABLE} - {record["kernel"]}
        found = set(record["microseconds"])
        assert found - others == {"batch_dot", "roofline", *BASELINES[work.kind]}, record["absent"]
        assert record["kernel"] in record["plan"]
        assert f"\n{work.name} " in out
        assert work.name in tables.speed_table(results) or work.dtype != "float32" or work.backward
    assert "compiled: left out as asked  [84 of 84 workloads]" in out
    assert {t["verdict"] for t in results["targets"]} <= {"met", "missed", "not measured"}


def scaling_record():
    """Made-up times, in which cost grows by the row."""

    def points(ats, peers):
        return [
            {
                "at": n,
                "microseconds": {p: {"median": n * s} for s, p in enumerate(peers, 1)},
                "our time over theirs": {"roofline": 1.5},
                "unsettled": {},
            }
            for n in ats
        ]

    kinds = ("row dot", "row cosine")
    return {
        "rows": {
            kind: points((1, 10, 100), ("batch_dot", "elementwise", "roofline", "tf_keras")) for kind in kinds
        },
        "length": {kind: points((1, 4), ("batch_dot", "roofline")) for kind in kinds},
        "threads": {kind: points((1, 2), ("batch_dot", "roofline")) for kind in kinds},
    }


def test_what_is_off_by_far_is_not_drawn():
    if plots.why_not() is not None:
        pytest.skip(plots.why_not())
    from matplotlib.figure import Figure

    records = scaling_record()["rows"]["row dot"]
    records[1]["unsettled"] = {"roofline": 1.5, "elementwise": 1.2}
    panel = Figure().subplots()
    plots._panel(panel, records, "a title")
    drawn = {line.get_label(): list(line.get_xdata()) for line in panel.get_lines()}
    peers = {name: [1, 10, 100] for name in ("batch_dot", "elementwise", "tf_keras")}
    assert drawn == peers | {"roofline": [1, 100]}


def test_plots(tmp_path):
    if plots.why_not() is not None:
        pytest.skip(plots.why_not())
    paths = plots.draw({"machine": {"threads": 2}, "scaling": scaling_record()}, tmp_path)
    assert [path.name for path in paths] == ["rows.svg", "scaling.svg"]
    first = paths[0].read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    plots.draw({"machine": {"threads": 2}, "scaling": scaling_record()}, tmp_path)
    assert paths[0].read_bytes() == first


# What is published


def test_documents_show_the_published_numbers():
    runs = published.load()
    found = {}
    for path in report.documents():
        text = path.read_text(encoding="utf-8")
        found[path.relative_to(report.ROOT).as_posix()] = re.findall(r"<!-- table: (\w+) -->", text)
        assert report.fill(text, runs) == text, path
    assert found["README.md"] == ["numbers"]


def test_the_report_shows_the_published_numbers():
    runs = published.load()
    assert runs
    assert report.REPORT.read_text(encoding="utf-8") == report.report(runs)
    for name, results in runs.items():
        assert published.path_of(name).exists()
        assert set(results["workloads"]) == {work.name for work in WORKLOADS}
    for name in ("rows.svg", "scaling.svg"):
        assert (plots.FOLDER / name).exists()


def test_figures_are_said_to_be_of_a_run_that_has_them():
    runs = published.load()
    newer = next(results for results in runs.values() if "scaling" in results) | {"time": "9999"}
    newer["machine"] = newer["machine"] | {"processor": "Another"}
    for record, is_its in ((newer, True), ({k: v for k, v in newer.items() if k != "scaling"}, False)):
        text = report.report(runs | {"Another": record})
        assert (f"Of the last run that has them, on {published.processor(newer)}:" in text) == is_its


def test_every_table_has_columns_or_paragraphs_for_each_processor():
    runs = published.load()
    place, one = max(enumerate(runs.values()), key=lambda item: len(item[1]))  # of all sections
    runs["Another"] = {**one, "machine": {**one["machine"], "processor": "Another"}, "top_k": {"works": {}}}
    for name, table in report.TABLES.items():
        assert ("Another" in table(runs)) is (name not in ("accuracy", "gpu")), name
    row = next(line for line in tables.comparison_table(runs).splitlines() if line.startswith("| row dot |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    assert cells[3 * place : 3 * place + 3] == cells[-3:]


def test_fill_writes_between_the_marks():
    text = "a\n<!-- table: numbers -->\nold\n<!-- end -->\nb\n<!-- table: targets -->\n<!-- end -->\nc\n"
    runs = published.load()
    filled = report.fill(text, runs)
    assert "old" not in filled
    assert re.fullmatch(
        r"a\n<!-- table: numbers -->\n\* .*\n<!-- end -->\n"
        r"b\n<!-- table: targets -->\n\| .*\n<!-- end -->\nc\n",
        filled,
        re.DOTALL,
    )
    assert report.fill(filled, runs) == filled
    with pytest.raises(KeyError, match="other"):
        report.fill(text.replace("targets", "other"), runs)


@pytest.mark.parametrize(
    ("processor", "numbers", "name", "file"),
    [
        ("Intel(R) Xeon(R) Processor", None, "Intel Xeon", "results-intel-xeon.json"),
        (
            "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz",
            None,
            "Intel Xeon E5-2686 v4",
            "results-intel-xeon-e5-2686-v4.json",
        ),
        (
            "Intel(R) Xeon(R) Processor",
            (6, 143),
            "Intel Xeon, family 6, model 143",
            "results-intel-xeon-family-6-model-143.json",
        ),
        ("AMD EPYC", None, "AMD EPYC", "results-amd-epyc.json"),
        ("AMD EPYC", (23, 1), "AMD EPYC, Zen", "results-amd-epyc-zen.json"),
        ("AMD EPYC", (23, 49), "AMD EPYC, Zen 2", "results-amd-epyc-zen-2.json"),
        ("AMD EPYC", (25, 1), "AMD EPYC, Zen 3", "results-amd-epyc-zen-3.json"),
        ("AMD EPYC", (25, 17), "AMD EPYC, Zen 4", "results-amd-epyc-zen-4.json"),
        ("AMD EPYC", (26, 2), "AMD EPYC, Zen 5", "results-amd-epyc-zen-5.json"),
        ("AMD EPYC", (26, 80), "AMD EPYC, family 26, model 80", "results-amd-epyc-family-26-model-80.json"),
        (
            "AMD EPYC 9654 96-Core Processor",
            (25, 17),
            "AMD EPYC 9654, Zen 4",
            "results-amd-epyc-9654-zen-4.json",
        ),
    ],
)
def test_names_of_processors(processor, numbers, name, file, tmp_path):
    recorded = {} if numbers is None else dict(zip(("family", "model"), numbers, strict=True))
    results = {"machine": {"processor": processor, **recorded}, "numbers": [1.23456789, {"a": 2}]}
    assert published.processor(results) == name
    assert published.path_of(name, tmp_path) == tmp_path / file
    published.save(results, tmp_path / file)
    assert published.load(tmp_path) == {name: results | {"numbers": [1.2346, {"a": 2}]}}
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("cpuinfo", "processor"),
    [
        (
            "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\n" * 2,
            {"processor": "AMD EPYC", "family": 25, "model": 17},
        ),
        ("processor\t: 0\nCPU architecture: 8\n", {"processor": "aarch64"}),
        (None, {"processor": "aarch64"}),
    ],
)
def test_processors_are_recorded_as_far_as_the_system_names_them(cpuinfo, processor, monkeypatch, tmp_path):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(machine, "CPUINFO", path)
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    recorded = machine.describe_machine("cpu")
    assert {key: recorded[key] for key in ("processor", "family", "model") if key in recorded} == processor


# What has not settled, what failed, what was stopped

STEADY = (1.0,) * 6
OUTLIERS = {
    "steady": ({"ours": STEADY, "peer": STEADY, "floor": STEADY}, set()),
    "a slow round": ({"ours": (1, 9, 1, 1, 1, 1), "peer": STEADY}, set()),
    "a slow half": ({"ours": (1, 1, 1, 2, 2, 2), "peer": STEADY}, {"peer"}),
    "the machine was slow": ({"ours": (1, 1, 1, 2, 2, 2), "peer": (1, 1, 1, 2, 2, 2)}, set()),
    "in a cache, where torch.dot is no floor": ({"ours": (0.8,) * 6, "peer": STEADY, "floor": STEADY}, set()),
    "below the floor": ({"ours": (0.6,) * 6, "peer": STEADY, "floor": STEADY}, {"floor"}),
    "few rounds": ({"ours": (1, 2), "peer": (1, 1)}, set()),
    "few rounds below the floor": ({"ours": (0.6,), "floor": (1,)}, {"floor"}),
}


@pytest.mark.parametrize(("rounds", "unsettled"), OUTLIERS.values(), ids=OUTLIERS)
def test_what_has_not_settled(rounds, unsettled):
    timings = {name: Timing(tuple(map(float, values))) for name, values in rounds.items()}
    assert set(outliers.find_unsettled(timings, "ours", "floor")) == unsettled


def test_outliers_are_measured_again_and_not_published_if_they_stay():
    good = {"batch_dot": Timing(STEADY), "bmm": Timing(STEADY)}
    bad = good | {"batch_dot": Timing((1.0, 1.0, 1.0, 2.0, 2.0, 2.0))}
    takes = iter([bad, good])
    assert measure.settled(lambda: next(takes))["unsettled"] == {}
    takes = iter([bad] * outliers.ATTEMPTS)
    record = measure.settled(lambda: next(takes))
    assert record["unsettled"] == {"bmm": 2.0}
    assert next(takes, None) is None
    assert measure.settled_ratios(record) == {}
    results = {
        "compiled": {"row dot": {"our time over theirs": {"baseline": 1.0}, "unsettled": {"baseline": 2}}}
    }
    assert {t["measured"] for t in targets.evaluate(results)} == {None}


@pytest.mark.parametrize(
    ("ratios", "noise", "verdict"),
    [
        ((0.5, 0.9), (None, None), targets.MET),
        ((0.5, 1.2), (None, None), targets.MISSED),
        ((0.5, 5.9), (None, 1.3), targets.MISSED),  # by more than its noise
        ((0.5, 0.9), (1.3, None), targets.MET),
        ((0.5, 0.9), (None, 1.3), targets.UNKNOWN),
        ((0.5, 1.1), (None, 1.3), targets.UNKNOWN),
        ((1.1, 5.9), (1.3, None), targets.MISSED),  # whichever batch is the worst
    ],
)
def test_verdict_of_ported_models_is_on_the_worst_batch_as_far_as_noise_lets_it(ratios, noise, verdict):
    batches = {
        str(batch): {
            "our time over theirs": {"tf_keras graph": ratio},
            "unsettled": {} if factor is None else {"tf_keras graph": factor},
        }
        for batch, (ratio, factor) in enumerate(zip(ratios, noise, strict=True))
    }
    results = {"ported": {"batches": {"PointNet": batches}}}
    name = "ported PointNet, the worst batch: times faster than tf_keras graph"
    assert next(row["verdict"] for row in targets.evaluate(results) if row["text"] == name) == verdict


def test_a_section_that_fails_does_not_end_the_run_which_is_continued(monkeypatch, tmp_path, capsys):
    calls = []

    def fail(bench):
        calls.append("fails")
        raise RuntimeError("now")

    def work(bench):
        calls.append("works")
        return {"works": {}}

    monkeypatch.setattr(command, "SECTIONS", {"calls": fail, "top_k": work})
    path = tmp_path / "run.json"
    assert command.main([*SHORT, "--output", str(path)]) == 1
    assert "RuntimeError: now" in (err := capsys.readouterr().err)
    assert f"failed: calls; --resume {path} runs them again" in err
    monkeypatch.setattr(command, "SECTIONS", {"calls": lambda bench: {}, "top_k": work})
    assert command.main([*SHORT, "--resume", str(path)]) == 0
    assert calls == ["fails", "works"]
    assert {"calls", "top_k"} <= set(json.loads(path.read_text(encoding="utf-8")))
    assert "measured before" in capsys.readouterr().out


def test_a_run_is_not_continued_on_another_generation_of_the_same_name(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "SECTIONS", {})
    before = machine.describe_machine("cpu") | {"family": 0, "model": 1}
    path = tmp_path / "run.json"
    published.save({"machine": before, "versions": machine.versions(), "quick": True}, path)
    with pytest.raises(SystemExit):
        command.main([*SHORT, "--resume", str(path)])
    assert "family 0, model 1" in capsys.readouterr().err


MACHINE = {"processor": "a CPU", "cores": 2, "threads": 2, "instructions": "AVX2", "system": "Linux"}
ACCURACY = {"cosines": [], "products": [], "identical rows": {}, "zero rows": {}, "identical rows tried": 1}


@pytest.mark.parametrize(
    ("value", "text"), [(0.0312, "0.031"), (0.5, "0.50"), (1.254, "1.25"), (12.34, "12"), (1234.5, "1,234")]
)
def test_ratios_in_words(value, text):
    assert tables.ratio(value) == text


def test_batch_dot_is_what_is_timed():
    assert (
        eval(SMALL.call, {"batch_dot": batch_dot, "x": torch.ones(3, 4), "y": torch.ones(3, 4)}).tolist()
        == [[4]] * 3
    )
