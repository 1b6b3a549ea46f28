"""The table of a GPU run, its targets, and what there is to mend."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import published
from benchmarks.published import Results
from benchmarks.tables import markdown, number, target_lines
from benchmarks.targets import MET, MISSED, UNKNOWN, Target, evaluate

FOLDER = Path(__file__).parent

OURS, AGAIN, FLOOR = "batch_dot", "batch_dot again", "floor"
CALLED, GRAPH = "called", "in a graph"

PEERS = {
    "`F.cosine_similarity`": ("cosine_similarity",),
    "`(x * y).sum`": ("elementwise",),
    "`bmm`": ("bmm", "matmul", "bmm alone", "bmm of float64", "matrix products and topk"),
    "`torch.compile`": ("compiled",),
    "ATen": ("aten",),
}
"""Columns of the table, and the lines of which the first that was timed is shown."""


def over(work: str, line: str, mode: str = GRAPH) -> Callable[[Results], float]:
    """Return the function for our time over that of a line, or over the floor."""

    def value(results: Results) -> float:
        record = results["works"][work]
        times = record[mode]
        theirs = record[FLOOR] if line == FLOOR else times[line]["median"]
        return float(times[OURS]["median"] / theirs)

    return value


def faster(work: str, line: str) -> Callable[[Results], float]:
    """Return the function for the time of a line over ours, in a graph."""
    return lambda results: 1 / over(work, line)(results)


TARGETS = [
    *(
        Target(f"{work}: time over the floor", aim, over(work, FLOOR))
        for work, aim in (
            ("row cosine, large", 1.15),
            ("row cosine, million", 1.08),
            ("row cosine, large bfloat16", 1.25),
            ("row dot, large", 1.12),
            ("row cosine, large with gradients", 1.2),
            ("matrix times vector, large", 1.15),
            ("row cosine, sixteen rows", 1.1),
        )
    ),
    *(
        Target(f"{work}: times faster than {text}", aim, faster(work, line), at_least=True)
        for work, line, text, aim in (
            ("row cosine, large", "cosine_similarity", "F.cosine_similarity", 4.3),
            ("row cosine, million", "cosine_similarity", "F.cosine_similarity", 4.3),
            ("row cosine, large", "compiled", "torch.compile", 1.25),
            ("row dot, large", "elementwise", "(x * y).sum", 1.7),
            ("row cosine, large with gradients", "cosine_similarity", "F.cosine_similarity", 7),
            ("row dot, short rows", "bmm", "bmm", 5),
        )
    ),
    *(
        Target(f"{work}, {mode}: time over {text}", aim, over(work, line, mode))
        for work, mode, line, text, aim in (
            ("row dot, small", CALLED, "elementwise", "(x * y).sum", 1.2),
            ("row cosine, small", CALLED, "cosine_similarity", "F.cosine_similarity", 0.3),
            ("row dot, small", GRAPH, "elementwise", "(x * y).sum", 0.6),
            ("row cosine, small", GRAPH, "cosine_similarity", "F.cosine_similarity", 0.15),
            ("cosine matrix", GRAPH, "bmm alone", "bmm alone", 1.5),
            ("top_k, many items", CALLED, "matrix products and topk", "the products with topk", 1.3),
        )
    ),
]


def target_report(results: Results, verdicts: tuple[str, ...] = (MET, MISSED, UNKNOWN)) -> list[str]:
    """Return a line for each target with one of these verdicts: what was found, and what is enough."""
    rows = [row for row in evaluate(results, TARGETS) if row["verdict"] in verdicts]
    return [line.strip() for line in target_lines(rows)]


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
        lines += target_report(results, (MISSED,))
    return lines + [f"not begun: {name}" for name in results.get("not begun", [])]


def table(results: Results) -> str:
    """Return the Markdown table: our times, and their ratios to the floor and to the times of the peers."""
    header = ["work", "shapes", "kernel", "µs called", "µs in a graph", "over the floor", *PEERS, "noise"]
    return markdown(header, [_row(name, results) for name in results.get("works", {})])


def _row(name: str, results: Results) -> list[str]:
    record = results["works"][name]
    mode = GRAPH if GRAPH in record else CALLED

    def ratio(line: str) -> float | None:
        try:
            return over(name, line, mode)(results)
        except KeyError:  # was not timed
            return None

    peers = [next(filter(None, map(ratio, lines)), None) for lines in PEERS.values()]
    shapes = " ".join(f"`({','.join(map(str, record[side]))})`" for side in "xy")
    return [
        name,
        f"{shapes} {record['dtype']}",
        record.get("kernel", ""),
        *(number(record[m][OURS]["median"]) if m in record else "" for m in (CALLED, GRAPH)),
        *map(number, (ratio(FLOOR), *peers, ratio(AGAIN))),
    ]


def worst_lines(results: Results) -> list[str]:
    """Return the worst error of each kernel, dtype and operation, and how many cases there were."""
    worst: dict[str, tuple[float, int]] = {}
    for row in results.get("values", []):
        what, dtype, *_ = row["name"].split(", ")
        key = f"{what} of {dtype} by {row['kernel']}"
        before, count = worst.get(key, (0.0, 0))
        worst[key] = max(before, row["ulp"][OURS]), count + 1
    return [f"{key}: {ulp:.4g} ulp at most in {count} cases" for key, (ulp, count) in worst.items()]


def publish(results: Results, folder: Path = FOLDER) -> Path:
    """Write a run to the file of its card, and return its path.

    Raises:
        ValueError: it is a rehearsal, or values are wrong.
    """
    if results["rehearsal"]:
        raise ValueError("a rehearsal measures nothing that could be published")
    if any(row["wrong"] for key in ("edges", "values") for row in results[key]):
        raise ValueError("values are wrong, which comes before times")
    path = published.path_of(results["device"], folder)
    published.save(results, path)
    return path


def sections(runs: list[Results]) -> str:
    """Return the part of RESULTS.md on GPUs, which says so where no run is published."""
    if not runs:
        return "No run is published. `bash benchmarks/gpu/run.sh` makes one on a machine with a GPU."
    return "\n\n".join(_section(results) for results in runs)


def _section(results: Results) -> str:
    ceilings = results["ceilings"]
    names = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [
        f"**{results['device']}**; {names}. A copy moves {ceilings['copy, bytes a second'] / 1e12:.2f} TB/s; "
        "the floor is the time in which that moves inputs and results once. µs are medians, every other "
        "number is our time over theirs, in a graph where there is one: below 1 we are faster. The noise is "
        "our own time over ours, of two lines.",
        "",
        table(results),
        "",
        *(f"* {line}" for line in (*worst_lines(results), *target_report(results))),
    ]
    return "\n".join(lines)
