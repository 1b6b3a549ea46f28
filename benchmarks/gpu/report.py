"""The table of a GPU run, its targets, and what there is to mend."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

Results = dict[str, Any]

_OURS, _AGAIN = "batch_dot", "batch_dot again"
CALLED, GRAPH = "called", "in a graph"

PEERS = {
    "`F.cosine_similarity`": ("cosine_similarity",),
    "`(x * y).sum`": ("elementwise",),
    "`bmm`": ("bmm", "matmul", "bmm alone", "bmm of float64", "matrix products and topk"),
    "`torch.compile`": ("compiled",),
    "ATen": ("aten",),
}
"""Columns of the table, and the lines of which the first that was timed is shown."""


def _floor(name: str) -> Callable[[Results], float | None]:
    return lambda works: _over(works, name, GRAPH, "floor", inverse=True)


def _peer(name: str, peer: str, mode: str = GRAPH) -> Callable[[Results], float | None]:
    return lambda works: _over(works, name, mode, peer)


def _inverse(name: str, peer: str, mode: str) -> Callable[[Results], float | None]:
    return lambda works: _over(works, name, mode, peer, inverse=True)


# What is measured, how; the target, and whether more is better.
TARGETS: list[tuple[str, Callable[[Results], float | None], float, bool]] = [
    ("row cosine, large: time / floor", _floor("row cosine, large"), 1.15, False),
    ("row cosine, million: time / floor", _floor("row cosine, million"), 1.08, False),
    ("row cosine, large bfloat16: time / floor", _floor("row cosine, large bfloat16"), 1.25, False),
    ("row dot, large: time / floor", _floor("row dot, large"), 1.12, False),
    (
        "row cosine, large: F.cosine_similarity / ours",
        _peer("row cosine, large", "cosine_similarity"),
        4.3,
        True,
    ),
    (
        "row cosine, million: F.cosine_similarity / ours",
        _peer("row cosine, million", "cosine_similarity"),
        4.3,
        True,
    ),
    ("row cosine, large: torch.compile / ours", _peer("row cosine, large", "compiled"), 1.25, True),
    ("row dot, large: (x * y).sum / ours", _peer("row dot, large", "elementwise"), 1.7, True),
    (
        "row cosine, large with gradients: time / floor",
        _floor("row cosine, large with gradients"),
        1.2,
        False,
    ),
    (
        "row cosine, large with gradients: F.cosine_similarity / ours",
        _peer("row cosine, large with gradients", "cosine_similarity"),
        7.0,
        True,
    ),
    (
        "row dot, small, called: ours / (x * y).sum",
        _inverse("row dot, small", "elementwise", CALLED),
        1.2,
        False,
    ),
    (
        "row cosine, small, called: ours / F.cosine_similarity",
        _inverse("row cosine, small", "cosine_similarity", CALLED),
        0.3,
        False,
    ),
    ("row dot, small: ours / (x * y).sum", _inverse("row dot, small", "elementwise", GRAPH), 0.6, False),
    (
        "row cosine, small: ours / F.cosine_similarity",
        _inverse("row cosine, small", "cosine_similarity", GRAPH),
        0.15,
        False,
    ),
    ("cosine matrix: ours / bmm alone", _inverse("cosine matrix", "bmm alone", GRAPH), 1.5, False),
    ("matrix times vector, large: time / floor", _floor("matrix times vector, large"), 1.15, False),
    ("row dot, short rows: bmm / ours", _peer("row dot, short rows", "bmm"), 5.0, True),
    ("row cosine, sixteen rows: time / floor", _floor("row cosine, sixteen rows"), 1.1, False),
    (
        "top_k, many items, called: ours / (matrix products and topk)",
        _inverse("top_k, many items", "matrix products and topk", CALLED),
        1.3,
        False,
    ),
]


def _over(works: Results, name: str, mode: str, peer: str, inverse: bool = False) -> float | None:
    """Return the time of a peer, or the floor, over ours, or the inverse; None if one was not timed."""
    record = works.get(name, {})
    times = record.get(mode, {})
    theirs = record.get("floor") if peer == "floor" else times.get(peer, {}).get("median")
    ours = times.get(_OURS, {}).get("median")
    if not theirs or not ours:
        return None
    return float(ours / theirs if inverse else theirs / ours)


def target_lines(results: Results) -> list[str]:
    """Return a line for each target: what was found, and whether that is enough."""
    works = results.get("works", {})
    lines = []
    for text, measure, target, more in TARGETS:
        found = measure(works)
        if found is None:
            lines.append(f"not measured  {text}")
            continue
        met = found >= target if more else found <= target
        lines.append(f"{'met  ' if met else 'MISS '}  {text}: {found:.3g}, target {target:g}")
    return lines


def mend_lines(results: Results) -> list[str]:
    """Return what there is to mend: wrong values, failed steps, missed targets, what did not run."""
    lines = [
        f"wrong: {row['name']}: {row.get('reason') or row.get('ulp')}"
        for row in (*results.get("edges", []), *results.get("values", []))
        if row["wrong"]
    ]
    lines += [f"failed: {name}: {reason}" for name, reason in results.get("failed", {}).items()]
    rehearsal = results["rehearsal"]  # whose times mean nothing, and which has no GPU for Triton
    for name, record in results.get("works", {}).items():
        lines += [f"did not run: {name}: {line}: {reason}" for line, reason in record["absent"].items()]
        lines += [
            f"{name} by {record['kernel']}: {kernel} {'; '.join(reasons)}"
            for kernel, reasons in record.get("kernels that did not run", {}).items()
            if kernel == "triton" and record["kernel"] == "aten" and not rehearsal
        ]
    if not rehearsal:
        lines += [line for line in target_lines(results) if line.startswith("MISS")]
    return lines + [f"not begun: {name}" for name in results.get("not begun", [])]


def table(results: Results) -> str:
    """Return the Markdown table: our times, their part of the floor, and those of the peers over ours."""
    header = ["work", "shapes", "kernel", "µs called", "µs in a graph", "over the floor", *PEERS, "noise"]
    rows = [_row(name, record) for name, record in results.get("works", {}).items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))


def _row(name: str, record: Results) -> list[str]:
    works = {name: record}
    mode = GRAPH if GRAPH in record else CALLED
    times = [record.get(m, {}).get(_OURS, {}).get("median") for m in (CALLED, GRAPH)]
    ratios = [
        next((r for line in lines if (r := _over(works, name, mode, line)) is not None), None)
        for lines in PEERS.values()
    ]
    again = _over(works, name, mode, _AGAIN)
    shapes = " ".join(f"`({','.join(map(str, record[side]))})`" for side in "xy")
    return [
        name,
        f"{shapes} {record['dtype']}",
        record.get("kernel", ""),
        *(_number(t) for t in times),
        _number(_over(works, name, mode, "floor", inverse=True)),
        *map(_number, ratios),
        _number(again),
    ]


def worst_lines(results: Results) -> list[str]:
    """Return the worst error of each kernel, dtype and operation, and how many cases there were."""
    worst: dict[str, tuple[float, int]] = {}
    for row in results.get("values", []):
        what, dtype, *_ = row["name"].split(", ")
        key = f"{what} of {dtype} by {row['kernel']}"
        before, count = worst.get(key, (0.0, 0))
        worst[key] = max(before, row["ulp"][_OURS]), count + 1
    return [f"{key}: {ulp:.4g} ulp at most in {count} cases" for key, (ulp, count) in worst.items()]


def published(folder: Path = FOLDER) -> list[Results]:
    """Return the published runs, one of each card."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("results-*.json"))]


def publish(results: Results, folder: Path = FOLDER) -> Path:
    """Write a run to the file of its card, and return its path.

    Raises:
        ValueError: it is a rehearsal, or values are wrong.
    """
    if results["rehearsal"]:
        raise ValueError("a rehearsal measures nothing that could be published")
    if any(row["wrong"] for key in ("edges", "values") for row in results[key]):
        raise ValueError("values are wrong, which comes before times")
    words = re.sub(r"[^a-z0-9]+", "-", results["device"].lower()).strip("-")
    path = folder / f"results-{words}.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def sections(runs: list[Results]) -> str:
    """Return the part of RESULTS.md on GPUs, which says so where no run is published."""
    if not runs:
        return "No run is published. `python -m benchmarks.gpu --publish` makes one."
    return "\n\n".join(_section(results) for results in runs)


def _section(results: Results) -> str:
    ceilings = results["ceilings"]
    names = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [
        f"**{results['device']}**; {names}. A copy moves {ceilings['copy, bytes a second'] / 1e12:.2f} TB/s; "
        "the floor is the time in which that moves inputs and results once. µs are medians. Numbers below a "
        "peer are its time over ours, in a graph where there is one: above 1 we are faster. The noise is our "
        "own time over ours, of two lines.",
        "",
        table(results),
        "",
        *(f"* {line}" for line in (*worst_lines(results), *target_lines(results))),
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
