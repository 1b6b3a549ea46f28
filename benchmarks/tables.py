"""Rendering of results: lines for the terminal, Markdown tables for the documents.

The input is the results as they are in JSON.
"""

from collections.abc import Callable
from itertools import chain
from statistics import median
from typing import Any

from benchmarks.calls import ROWS
from benchmarks.measure import OURS, ROOFLINE, best_baseline, settled_ratios
from benchmarks.targets import evaluate

Results = dict[str, Any]
Runs = dict[str, Results]
"""Results by processor."""

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
        both = results["workloads"].get(f"{name}, backward")
        backward = "" if both is None else settled_ratio(both, best_baseline(both))
        shapes = " ".join(f"`{str(tuple(shape)).replace(' ', '')}`" for shape in (record["x"], record["y"]))
        cells = [settled_ratio(record, best_baseline(record) if peer == "best" else peer) for peer in peers]
        rows.append([name, shapes, microseconds(record["microseconds"][OURS]["median"]), *cells, backward])
    header = ["work", "shapes", "µs", *peers.values(), "with gradients, the fastest baseline"]
    return f"{_conditions(results)}\n\n{markdown(header, rows)}"


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
            cells = [error(row, peer) for peer in peers]
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
    return markdown(["result", "numbers", "length", *peers.values()], rows)


def target_table(runs: Runs) -> str:
    """Return the targets, and for each processor the measured values, bold where they miss the target."""
    columns = [evaluate(results) for results in runs.values()]
    rows = []
    for targets in zip(*columns, strict=True):
        first = targets[0]
        rows.append([first["text"], f"{first['bound']} {first['aim']:g}", *map(_verdict, targets)])
    return markdown(["target", "aim", *runs], rows)


def _verdict(target: Results) -> str:
    measured = number(target["measured"])
    return f"**{measured}**" if target["verdict"] == "missed" else measured


def calls_table(runs: Runs) -> str:
    """Return the table of small calls, for each processor the time, and that above a line of PyTorch."""
    by_call: Runs = {}
    for machine, results in runs.items():
        found = results.get("calls", {}).get("rows", {})
        times, more = found.get("microseconds", {}), found.get("µs more than the first", {})
        calls = {
            f"`{call}`": {"µs": times[name]["median"], "more": more[name]}
            for name, call in ROWS.items()
            if name in times
        }
        by_call[machine] = {"calls": calls}

    def cells(row: Results) -> list[str]:
        return [microseconds(row["µs"]), f"{row['more']:.2f}"]

    return _side_by_side("call", by_call, ("calls",), ("µs", "µs more than the first"), cells)


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


def compiled_table(runs: Runs) -> str:
    """Return the table of compiled workloads, for each processor our time and that over the baseline's."""

    def cells(row: Results) -> list[str]:
        if "microseconds" not in row:
            return ["", ""]
        return [microseconds(row["microseconds"][OURS]["median"]), settled_ratio(row, "baseline")]

    return _side_by_side("compiled", runs, ("compiled",), ("µs", "over the baseline"), cells)


def top_k_table(runs: Runs) -> str:
    """Return the table of searches, for each processor our time and that over the peers'."""

    def cells(row: Results) -> list[str]:
        times = microseconds(row["microseconds"]["top_k"]["median"])
        return [times, settled_ratio(row, "baseline"), settled_ratio(row, "faiss")]

    header = ("µs", "over the product and `topk`", "over FAISS")
    return _side_by_side("`top_k` of 100,000 items", runs, ("top_k", "works"), header, cells)


def files_table(runs: Runs) -> str:
    """Return the table of commands on files, for each processor rates and memory."""

    def cells(row: Results) -> list[str]:
        rates = [f"{row['GB/s reading']:.2g}", ratio(row["our rate over reading"])]
        return [*rates, number(row["resident MB"])]

    header = ("reading, GB/s", "our rate over it", "resident MB")
    return _side_by_side("command", runs, ("files", "works"), header, cells)


def comparison_table(runs: Runs) -> str:
    """Return the table of workloads, for each processor our time over the roofline's and the best line's."""

    def cells(row: Results) -> list[str]:
        return [
            settled_ratio(row, ROOFLINE),
            settled_ratio(row, best_baseline(row)),
            settled_ratio(row, "compiled"),
        ]

    header = ("roofline", "best line", "`torch.compile`")
    return _side_by_side("work", runs, ("workloads",), header, cells)


def _side_by_side(
    first: str,
    runs: Runs,
    section: tuple[str, ...],
    columns: tuple[str, ...],
    cells: Callable[[Results], list[str]],
) -> str:
    """Return a table with a row for each name in a section of results, and columns for each processor."""
    records: dict[str, dict[str, Results]] = {}
    for machine, results in runs.items():
        found: Any = results
        for key in section:
            found = found.get(key, {})
        for name, row in found.items():
            if isinstance(row, dict):  # not a reason why there is nothing
                records.setdefault(name, {})[machine] = row
    rows = []
    for name, row in records.items():
        of_machines = [cells(row[machine]) if machine in row else [""] * len(columns) for machine in runs]
        rows.append([name, *chain.from_iterable(of_machines)])
    return markdown([first, *(f"{machine}: {column}" for machine in runs for column in columns)], rows)


def settled_ratio(record: Results, peer: str) -> str:
    """Return our time over that of a peer; nothing where it was not timed or has not settled."""
    ratios = settled_ratios(record)
    return ratio(ratios[peer]) if peer in ratios else ""


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


def error(row: Results, peer: str) -> str:
    """Return the largest error of a peer in ulp, in words where results are not finite."""
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


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(line)} |".replace("|  |", "| |").replace("|  |", "| |") for line in lines
    )
