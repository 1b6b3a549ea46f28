"""The documents that show published results: RESULTS.md, and tables between marks in every other document."""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import published, tables
from benchmarks.gpu import report as gpu
from benchmarks.measure import OURS, ROOFLINE, settled_ratios
from benchmarks.ported.tables import ported_table
from benchmarks.tables import Results, Runs

ROOT = Path(__file__).parent.parent
REPORT = Path(__file__).parent / "RESULTS.md"

_MARKS = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def newest(runs: Runs) -> Results:
    """Return the results of the last run."""
    return max(runs.values(), key=lambda results: str(results["time"]))


def number_lines(runs: Runs) -> str:
    """Return the two numbers of the README that runs measure, as items of a list in Markdown."""
    row = next(
        row
        for row in newest(runs)["accuracy"]["cosines"]
        if (row["dtype"], row["case"], row["length"]) == ("float32", "about 1", 128)
    )
    work = next(iter(runs.values()))["workloads"]["row cosine, large"]
    speeds = "; ".join(_speed(name, results) for name, results in runs.items())
    return (
        f"* **Accuracy.** Cosines of two float32 rows of 128 were at most {tables.error(row, OURS)} ulp "
        f"(units in the last place) from the exact value, those of tf_keras "
        f"{tables.error(row, 'tf_keras')}, of Keras 3 on PyTorch {tables.error(row, 'Keras 3 torch')}, of "
        f"`F.cosine_similarity` {tables.error(row, 'cosine_similarity')}. [The bounds](docs/numerics.md)\n"
        f"* **Speed.** {work['x'][0]:,} such cosines took {speeds}. "
        f"[All of them, and where we are slower](docs/performance.md)"
    )


def _speed(name: str, results: Results) -> str:
    """Return the time of row cosines on a processor, and that of peers over it, in a clause."""
    record, machine = results["workloads"]["row cosine, large"], results["machine"]
    over = settled_ratios(record)
    clauses = [f"{over[ROOFLINE]:.2f} times what reading the numbers took"] if ROOFLINE in over else []
    clauses += [
        f"{shown} {1 / over[peer]:.0f} times as long"
        for peer, shown in (("tf_keras", "tf_keras"), ("cosine_similarity", "`F.cosine_similarity`"))
        if peer in over
    ]
    milliseconds = record["microseconds"][OURS]["median"] / 1000
    threads = f"{machine['threads']} threads, {machine['instructions']}"
    return f"{milliseconds:.2g} ms on {name} ({', '.join([*clauses, threads])})"


def _each(section: str, table: Callable[[Results], str]) -> Callable[[Runs], str]:
    """Return a function that puts the tables of all processors with a section one after the other."""

    def text(runs: Runs) -> str:
        found = {name: results for name, results in runs.items() if section in results}
        return "\n\n".join(f"**{name}**\n\n{table(results)}" for name, results in found.items())

    return text


TABLES: dict[str, Callable[[Runs], str]] = {
    "numbers": number_lines,
    "comparison": tables.comparison_table,
    "speed": _each("workloads", tables.speed_table),
    "calls": tables.calls_table,
    "compiled": tables.compiled_table,
    "ported": _each("ported", ported_table),
    "top_k": tables.top_k_table,
    "files": tables.files_table,
    "accuracy": lambda runs: tables.accuracy_table(newest(runs)),
    "targets": tables.target_table,
    "gpu": lambda runs: gpu.sections(published.load_all(gpu.FOLDER)),
}
"""What `fill` inserts, by the name in the marks of a document."""


def fill(document: str, runs: Runs) -> str:
    """Replace what is between the marks ``<!-- table: NAME -->`` and ``<!-- end -->`` of a document.

    Raises:
        KeyError: there is no table of that name.
    """
    return _MARKS.sub(lambda match: f"{match[1]}{TABLES[match[2]](runs)}\n{match[3]}", document)


def documents() -> list[Path]:
    """Return the documents with marks."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in paths if _MARKS.search(path.read_text(encoding="utf-8")))


def write(runs: Runs) -> list[Path]:
    """Write RESULTS.md and the tables of all documents; return their paths."""
    REPORT.write_text(report(runs), encoding="utf-8")
    for path in documents():
        path.write_text(fill(path.read_text(encoding="utf-8"), runs), encoding="utf-8")
    return [REPORT, *documents()]


_SECTIONS = {
    "Speed": (
        "Our time over that of others: below 1 we are faster. A cell is empty where nothing was measured, or "
        "where two halves of the rounds disagreed.",
        ("comparison", "speed"),
    ),
    "Small calls": (
        "Calls on rows (32, 128), after one line of PyTorch. `dot` is `Dot(1)`, `cosine` is "
        "`Dot(1, normalize=True)`, and `empty` a `torch.nn.Module` that returns x.",
        ("calls",),
    ),
    "Compiled": (
        "Calls, layers and a model under `torch.compile(dynamic=True)`, as are the baselines.",
        ("compiled",),
    ),
    "Top-k": ("`top_k` beside `(q @ i.T).topk(k)` and `faiss.IndexFlatIP`.", ("top_k",)),
    "Files": (
        "Commands on files of 512 MiB, beside reading the files in blocks of 16 MiB by one thread.",
        ("files",),
    ),
    "Ported models": (
        "Ported Keras models, with huge pages where `THP_MEM_ALLOC_ENABLE=1` is in the environment; the "
        "start is the time from that of a process to its first prediction.",
        ("ported",),
    ),
    "Accuracy": (
        "Largest errors in units of the last place, each against its own formula in exact arithmetic.",
        ("accuracy",),
    ),
    "Targets": (
        "What was measured on each processor, in bold where the target is missed.",
        ("targets",),
    ),
    "GPUs": (
        "Runs of `bash benchmarks/gpu/run.sh`, one of each card.",
        ("gpu",),
    ),
}
"""The sections of RESULTS.md: a paragraph, and the names of tables."""

_FIGURES = """![time against rows](figures/rows.svg)

![time against the length of rows and threads](figures/scaling.svg)"""


def report(runs: Runs) -> str:
    """Return RESULTS.md."""
    files = ", ".join(f"[{name}]({published.path_of(name).name})" for name, results in runs.items())
    parts = [
        "# Results of make bench",
        f"Written by `make bench ARGS=--publish` from the results of {files}.",
    ]
    for title, (text, names) in _SECTIONS.items():
        parts += [f"## {title}", text, *(TABLES[name](runs) for name in names)]
        if title == "Speed":  # the figures beside this file are of one run
            drawn = {name: results for name, results in runs.items() if "scaling" in results}
            parts += [f"Of the last run that has them, on {published.processor(newest(drawn))}:", _FIGURES]
    parts.append("## Peers and kernels that did not run, and why")
    for name, results in runs.items():
        reasons = [f"* {line}" for line in tables.reason_lines(results["workloads"])]
        parts += [f"**{name}**", "\n".join(reasons) or "None."]
    return "\n\n".join(part for part in parts if part) + "\n"
