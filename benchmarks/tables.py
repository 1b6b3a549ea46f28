"""Rendering of results: lines for the terminal, Markdown tables for the documents.

The input is the results as they are in JSON.
"""

import re
from statistics import median
from typing import Any

from benchmarks.measure import OURS, ROOFLINE, best_baseline

Results = dict[str, Any]

COLUMNS = (
    ROOFLINE,
    "cosine_similarity",
    "compiled",
    "aten",
    "tf_keras",
    "tf_keras graph",
    "Keras 3 torch",
    "Keras 3 JAX",
)
"""Peers with a column of their own in the terminal, after the fastest baseline. JSON has them all."""

WORK_HEADER = (
    f"{'':<34}{'batch_dot':>10}{'quartiles':>20}  {'fastest baseline':<24}"
    + "".join(f"{column:>{max(8, len(column) + 2)}}" for column in COLUMNS)
    + "  kernel"
)


def work_line(name: str, record: Results) -> str:
    """Return the line of a workload for the terminal."""
    times, ratios = record["microseconds"][OURS], record["our time over theirs"]
    spread = " to ".join(map(microseconds, times["quartiles"]))
    best = best_baseline(record)
    cells = "".join(
        f"{ratio(ratios[column]) if column in ratios else '':>{max(8, len(column) + 2)}}"
        for column in COLUMNS
    )
    return (
        f"{name:<34}{microseconds(times['median']):>10}{spread:>20}  {ratio(ratios[best]):<6}{best:<18}"
        f"{cells}  {record['kernel']}"
    )


def reason_lines(works: dict[str, Results]) -> list[str]:
    """Return the reasons why kernels did not run and peers are absent, each with its workloads."""
    reasons: dict[str, list[str]] = {}
    for name, record in works.items():
        for kernel, why in record["kernels that did not run"].items():
            reasons.setdefault(f"kernel {kernel}: {'; '.join(why)}", []).append(name)
        for peer, why in record["absent"].items():
            reasons.setdefault(f"{peer}: {why}", []).append(name)
    return [
        f"{reason}  [{'; '.join(names) if len(names) <= 4 else f'{len(names)} of {len(works)} workloads'}]"
        for reason, names in reasons.items()
    ]


def target_lines(targets: list[Results]) -> list[str]:
    """Return the targets and the measured values, for the terminal."""
    return [
        f"  {t['text']:<86}{number(t['measured']):>8}   {t['bound']} {t['aim']:g}"
        + ("" if t["verdict"] == "met" else f"   {t['verdict']}")
        for t in targets
    ]


def speed_table(results: Results) -> str:
    """Return the table of float32 workloads, in Markdown."""
    peers = {
        ROOFLINE: "roofline",
        "best": "the fastest baseline",
        "cosine_similarity": "`F.cosine_similarity`",
        "compiled": "`torch.compile`",
        "tf_keras": "tf_keras",
        "Keras 3 torch": "Keras 3, torch",
        "Keras 3 JAX": "Keras 3, JAX jitted",
    }
    rows = []
    for name, record in results["workloads"].items():
        if record["dtype"] != "float32" or record["backward"]:
            continue
        ratios = record["our time over theirs"]
        ratios = ratios | {"best": ratios[best_baseline(record)]}
        both = results["workloads"].get(f"{name}, backward")
        backward = "" if both is None else ratio(both["our time over theirs"][best_baseline(both)])
        shapes = " ".join(f"`{str(tuple(shape)).replace(' ', '')}`" for shape in (record["x"], record["y"]))
        cells = [ratio(ratios[peer]) if peer in ratios else "" for peer in peers]
        rows.append([name, shapes, microseconds(record["microseconds"][OURS]["median"]), *cells, backward])
    header = ["work", "shapes", "µs", *peers.values(), "with gradients, the fastest baseline"]
    return f"{_conditions(results)}\n\n{_markdown(header, rows)}"


def accuracy_table(results: Results) -> str:
    """Return the largest errors in ulp, in Markdown."""
    accuracy = results["accuracy"]
    peers = {
        OURS: "batchdot",
        "tf_keras": "tf_keras",
        "Keras 3 torch": "Keras 3, torch",
        "Keras 3 JAX": "Keras 3, JAX",
        "cosine_similarity": "`F.cosine_similarity`",
        "bmm": "`bmm`",
    }
    rows = []
    for what in ("cosines", "products"):
        for row in accuracy[what]:
            cells = [_error(row, peer) for peer in peers]
            rows.append([f"{what[:-1]}, {row['dtype']}", row["case"], f"{row['length']:,}", *cells])
    rows += [
        [
            "cosines of identical rows",
            f"{dtype}, outside [-1, 1]",
            "128",
            *(_share(counts, p, accuracy) for p in peers),
        ]
        for dtype, counts in accuracy["identical rows"].items()
    ]
    rows += [
        ["cosine of a zero row", dtype, "128", *(values.get(peer, "") for peer in peers)]
        for dtype, values in accuracy["zero rows"].items()
    ]
    return _markdown(["result", "numbers", "length", *peers.values()], rows)


def target_table(results: Results) -> str:
    """Return the targets and the measured values, in Markdown."""
    rows = [
        [t["text"], number(t["measured"]), f"{t['bound']} {t['aim']:g}", t["verdict"]]
        for t in results["targets"]
    ]
    return _markdown(["target", "measured", "aim", "verdict"], rows)


def compiled_lines(record: Results) -> list[str]:
    """Return a line for each compiled workload, for the terminal."""
    lines = [f"skipped: {record['skipped']}"] if "skipped" in record else []
    for name, row in record.items():
        if "absent" in row:
            lines.append(f"{name}: {row['absent']}")
        elif name != "skipped":
            ours, baseline = (microseconds(row["microseconds"][of]["median"]) for of in (OURS, "baseline"))
            over = ratio(row["our time over theirs"]["baseline"])
            lines.append(f"{name}, µs: ours {ours}, baseline {baseline}, ours over baseline {over}")
    return lines


def compiled_table(results: Results) -> str:
    """Return the table of compiled workloads, in Markdown."""
    rows = [
        [
            name,
            *(microseconds(row["microseconds"][of]["median"]) for of in (OURS, "baseline")),
            ratio(row["our time over theirs"]["baseline"]),
        ]
        for name, row in results["compiled"].items()
        if name != "skipped" and "absent" not in row
    ]
    return _markdown(["compiled", "µs", "the baseline, µs", "ours over the baseline"], rows)


PORTED_PEERS = {
    "hand-written": "the hand-written module",
    "tf_keras graph": "tf_keras",
    "Keras 3 torch": "Keras 3, torch",
    "Keras 3 JAX": "Keras 3, JAX jitted",
}


PORTED_HEADER = f"{'':<18}{'batch':>6}{'ported':>12}" + "".join(f"{peer:>16}" for peer in PORTED_PEERS)


def ported_line(model: str, batch: int, record: Results) -> str:
    """Return the line of a ported model and a batch for the terminal."""
    ours, ratios = microseconds(record["microseconds"]["ported"]["median"]), record["our time over theirs"]
    cells = "".join(f"{ratio(ratios[peer]) if peer in ratios else '':>16}" for peer in PORTED_PEERS)
    reasons = "".join(f"\n  {peer}: {reason}" for peer, reason in record["absent"].items())
    return f"{model:<18}{batch:>6,}{ours:>12}{cells}{reasons}"


def start_line(model: str, record: Results) -> str:
    """Return the seconds from the start of a process to the first prediction, for the terminal."""
    times = (f"{name} {t['median'] / 1e6:.2f}" for name, t in record["microseconds"].items())
    return f"{model}, seconds from start to first prediction: {', '.join(times)}"


def ported_table(results: Results) -> str:
    """Return the table of ported models, in Markdown."""
    rows = []
    for model, batches in results["ported"]["batches"].items():
        start = results["ported"]["start"][model]["our time over theirs"]
        for batch, row in batches.items():
            ratios = row["our time over theirs"]
            cells = [ratio(ratios[peer]) if peer in ratios else "" for peer in PORTED_PEERS]
            starts = [ratio(start[peer]) if peer in start else "" for peer in ("tf_keras", "Keras 3 torch")]
            ours = microseconds(row["microseconds"]["ported"]["median"])
            rows.append([model, f"{int(batch):,}", ours, *cells, *(starts if batch == "1" else ["", ""])])
    header = ["model", "batch", "µs", *PORTED_PEERS.values(), "start, tf_keras", "start, Keras 3, torch"]
    return _markdown(header, rows)


def reading_lines(record: Results) -> list[str]:
    """Return the times of reading Keras files, for the terminal."""
    large = record["large"]
    if "absent" in large:
        lines = [f"a large HDF5 file: {large['absent']}"]
    else:
        over, memory = large["our time over reading"], large["memory over the weights"]
        lines = [
            f"an HDF5 file of {large['bytes'] / 1e9:.3g} GB: {over:.2f} of the time of reading its bytes, "
            f"{memory:.2f} of its weights' memory"
        ]
    times = (f"{name} {median(seconds):.2f}" for name, seconds in record["inspect"].items())
    return [*lines, f"batchdot inspect, seconds: {', '.join(times)}"]


def number_lines(results: Results) -> str:
    """Return the two numbers of the README that a run measures, as items of a list in Markdown."""
    error = next(
        row
        for row in results["accuracy"]["cosines"]
        if (row["dtype"], row["case"], row["length"]) == ("float32", "about 1", 128)
    )
    speed = results["workloads"]["row cosine, large"]
    over, machine = speed["our time over theirs"], results["machine"]
    return (
        f"* **Accuracy.** Cosines of two float32 rows of 128 were at most {_error(error, OURS)} ulp (units "
        f"in the last place) from the exact value, those of tf_keras {_error(error, 'tf_keras')}, of "
        f"Keras 3 on PyTorch {_error(error, 'Keras 3 torch')}, of `F.cosine_similarity` "
        f"{_error(error, 'cosine_similarity')}. [The bounds](docs/numerics.md)\n"
        f"* **Speed.** {speed['x'][0]:,} such cosines took "
        f"{speed['microseconds'][OURS]['median'] / 1000:.2g} ms, "
        f"{over[ROOFLINE]:.2f} times what reading the numbers took; tf_keras took "
        f"{1 / over['tf_keras']:.0f} times as long, `F.cosine_similarity` "
        f"{1 / over['cosine_similarity']:.0f} times ({machine['processor']}, {machine['threads']} threads, "
        f"{machine['instructions']}). [All of them, and where we are slower](docs/performance.md)"
    )


TABLES = {"numbers": number_lines}
"""What `fill` inserts, by the name in the marks of a document."""


def fill(document: str, results: Results) -> str:
    """Replace what is between the marks ``<!-- table: numbers -->`` and ``<!-- end -->`` of a document."""
    for name, table in TABLES.items():
        marks = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        content = f"{table(results)}\n"
        document = marks.sub(lambda match: match[1] + content + match[2], document)  # noqa: B023
    return document


def report(results: Results) -> str:
    """Return the whole report of a run, in Markdown."""
    return "\n".join(
        [
            "# Results of make bench",
            "",
            "Written by `make bench ARGS=--publish` from [results.json](results.json).",
            "",
            "## Speed",
            "",
            speed_table(results),
            "",
            "![time against rows](figures/rows.svg)",
            "",
            "![time against the length of rows and threads](figures/scaling.svg)",
            "",
            "## Compiled",
            "",
            "Calls, layers and a model under `torch.compile(dynamic=True)`, as are the baselines.",
            "",
            compiled_table(results),
            "",
            *_ported_report(results),
            "## Accuracy",
            "",
            "Largest errors in units of the last place, each against its own formula in exact arithmetic.",
            "",
            accuracy_table(results),
            "",
            "## Targets",
            "",
            target_table(results),
            "",
            "## Peers and kernels that did not run, and why",
            "",
            *(f"* {line}" for line in reason_lines(results["workloads"])),
            "",
        ]
    )


def _ported_report(results: Results) -> list[str]:
    """Return the paragraphs on ported models; none where a run has not measured them."""
    if "ported" not in results:
        return []
    text = "Ported Keras models; the start is the time from that of a process to its first prediction."
    return ["## Ported models", "", text, "", ported_table(results), ""]


def machine_line(results: Results) -> str:
    """Return the machine and the versions in one sentence."""
    machine = results["machine"]
    names = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    device = f"{machine['device']}, " if "device" in machine else ""
    return (
        f"{device}{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['instructions']}, {machine['system']}; {names}"
    )


def ratio(value: float) -> str:
    """Return a ratio in two significant digits."""
    return f"{value:.3f}" if value < 0.095 else f"{value:.2f}" if value < 9.95 else f"{value:,.0f}"


def number(value: float | None) -> str:
    """Return a measured number in three significant digits; empty for None."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def microseconds(value: float) -> str:
    """Return a time in three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _conditions(results: Results) -> str:
    return (
        f"{machine_line(results)}. float32; µs are medians, every other number is our time over theirs, "
        "the median of rounds side by side: below 1 we are faster."
    )


def _error(row: Results, peer: str) -> str:
    if peer not in row["ulp"]:
        return ""
    if row["not finite"][peer]:
        return "not finite"
    value = row["ulp"][peer]
    if value >= 99.5:
        return f"{value:,.0f}" if value < 1e5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.2g}" if value >= 0.005 else "0"


def _share(counts: dict[str, int], peer: str, accuracy: Results) -> str:
    return f"{counts[peer] / accuracy['identical rows tried']:.0%}" if peer in counts else ""


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(line)} |".replace("|  |", "| |").replace("|  |", "| |") for line in lines
    )
