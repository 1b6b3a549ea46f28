"""Performance targets, and whether the results of a run meet them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, median
from typing import Any, TypeAlias

from benchmarks.compiled import MODELS, WORKS
from benchmarks.measure import settled_ratios
from benchmarks.ported.works import WORKS as PORTED
from benchmarks.top_k import WORKS as SEARCHES

Results: TypeAlias = dict[str, Any]

MET, MISSED, UNKNOWN = "met", "missed", "not measured"


@dataclass(frozen=True)
class Target:
    """A bound on a number in the results.

    Attributes:
        text: description of the number.
        aim: the bound.
        value: function from the results to the number; a KeyError means that it was not measured.
        at_least: whether the aim is a lower bound instead of an upper bound.
    """

    text: str
    aim: float
    value: Callable[[Results], float]
    at_least: bool = False

    def evaluate(self, results: Results) -> dict[str, Any]:
        """Return the measured number, the aim and the verdict."""
        try:
            measured = self.value(results)
        except (KeyError, ValueError):
            return self._row(None, UNKNOWN)
        met = measured >= self.aim if self.at_least else measured <= self.aim
        return self._row(measured, MET if met else MISSED)

    def _row(self, measured: float | None, verdict: str) -> dict[str, Any]:
        bound = "at least" if self.at_least else "at most"
        return {"text": self.text, "bound": bound, "aim": self.aim, "measured": measured, "verdict": verdict}


def evaluate(results: Results, targets: Iterable[Target] | None = None) -> list[dict[str, Any]]:
    """Return targets, `TARGETS` if not given, with their verdicts."""
    return [target.evaluate(results) for target in (TARGETS if targets is None else targets)]


def over(work: str, *peers: str) -> Callable[[Results], float]:
    """Return the function for our time over that of the fastest of the timed peers."""

    def value(results: Results) -> float:
        ratios = settled_ratios(results["workloads"][work])
        return max(float(ratios[peer]) for peer in peers if peer in ratios)

    return value


def faster(work: str, peer: str) -> Callable[[Results], float]:
    """Return the function for the peer's time over ours."""
    return lambda results: 1 / over(work, peer)(results)


def _call(table: str, column: str, name: str) -> Callable[[Results], float]:
    return lambda results: float(results["calls"][table][column][name])


MATRICES = (
    "Q Kᵀ",
    "Q Kᵀ, memory network",
    "matrix product, attention",
    "matrix product, PointNet",
    "rank 4",
    "word2vec",
)
_PRODUCTS = ("bmm", "matmul", "einsum", "tensordot")


def _mean_over(works: tuple[str, ...], *peers: str) -> Callable[[Results], float]:
    return lambda results: exp(fmean(log(over(work, *peers)(results)) for work in works))


def _memory_growth(work: str) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        fewer, more = results["memory"][work]["extra bytes"]["batch_dot"]
        return float(more - fewer) / 1024

    return value


def _compiled(work: str) -> Callable[[Results], float]:
    return lambda results: float(settled_ratios(results["compiled"][work])["baseline"])


def _search(work: str, peer: str) -> Callable[[Results], float]:
    return lambda results: float(settled_ratios(results["top_k"]["works"][work])[peer])


def _worst_line(dtype: str, backward: bool) -> Callable[[Results], float]:
    """Return the function for our largest time over the best plain line's, of all workloads of a kind."""

    def value(results: Results) -> float:
        found = []
        for record in results["workloads"].values():
            if (record["dtype"], record["backward"]) == (dtype, backward):
                ratios = settled_ratios(record)
                found.append(max(float(ratios[line]) for line in record["lines"] if line in ratios))
        return max(found)

    return value


def _file(work: str, column: str) -> Callable[[Results], float]:
    return lambda results: float(results["files"]["works"][work][column])


def _ported(model: str, peer: str, aim: float) -> Callable[[Results], float]:
    """Return the function for our time over a peer's, on the batch where it is largest."""

    def value(results: Results) -> float:
        batches = [settled_ratios(row, aim) for row in results["ported"]["batches"][model].values()]
        worst = max(float(ratios[peer]) for ratios in batches if peer in ratios)
        if worst <= aim and not all(peer in ratios for ratios in batches):
            raise KeyError(f"{peer}: one that has not settled may be worse")
        return worst

    return value


def _ported_faster(model: str, peer: str) -> Callable[[Results], float]:
    return lambda results: 1 / _ported(model, peer, 1)(results)


def _start(model: str, peer: str) -> Callable[[Results], float]:
    return lambda results: 1 / float(results["ported"]["start"][model]["our time over theirs"][peer])


def _inspect(results: Results) -> float:
    return max(float(median(seconds)) for seconds in results["reading"]["inspect"].values())


def _large(column: str) -> Callable[[Results], float]:
    return lambda results: float(results["reading"]["large"][column])


def _worst_cosine(results: Results) -> float:
    return max(float(row["ulp"]["batch_dot"]) for row in results["accuracy"]["cosines"])


def _outside(results: Results) -> float:
    return float(sum(row["batch_dot"] for row in results["accuracy"]["identical rows"].values()))


def _not_finite(results: Results) -> float:
    return float(sum(row["not finite"]["batch_dot"] for row in results["accuracy"]["cosines"]))


_FASTER = "{}: times faster than {}"

TARGETS = [
    *(
        Target(f"{shapes}: time over the roofline", aim, over(work, "roofline"))
        for work, shapes, aim in (
            ("row cosine, large", "row cosine (65536,128)", 1.1),
            ("row dot, large", "row dot (65536,128)", 1.1),
            ("row dot, large, bfloat16", "row dot (65536,128), bfloat16", 1.25),
            ("vector times matrix, large", "(1024,64)·(1024,100,64)", 1.15),
            ("matrix times vector, large", "(1024,100,64)·(1024,64)", 1.15),
            ("matrix times vector, large, bfloat16", "(1024,100,64)·(1024,64), bfloat16", 1.25),
        )
    ),
    *(
        Target(
            f"every workload, {dtype}{', with gradients' * backward}: time over the best plain line",
            1.03,
            _worst_line(dtype, backward),
        )
        for dtype in ("float32", "bfloat16")
        for backward in (False, True)
    ),
    *(
        Target(_FASTER.format("row cosine (65536,128)", peer), aim, faster("row cosine, large", peer), True)
        for peer, aim in (("cosine_similarity", 30), ("tf_keras", 15), ("Keras 3 JAX", 2))
    ),
    Target(_FASTER.format("row dot (65536,128)", "bmm"), 1.8, faster("row dot, large", "bmm"), True),
    Target("row dot (32,128): time over (x*y).sum", 1, _call("rows", "time over the first", "batch_dot")),
    Target(
        "row cosine (32,128): time over (x*y).sum",
        1,
        _call("rows", "time over the first", "batch_dot cosine"),
    ),
    Target(
        "Dot, row dot (32,128): µs more than (x*y).sum", 1, _call("rows", "µs more than the first", "Dot")
    ),
    Target(
        "Dot, row cosine (32,128): µs more than (x*y).sum",
        1,
        _call("rows", "µs more than the first", "Dot cosine"),
    ),
    *(
        Target(_FASTER.format(f"{work} (32,128)", peer), 40, faster(work, peer), True)
        for work in ("row dot", "row cosine")
        for peer in ("tf_keras", "Keras 3 torch")
    ),
    *(
        Target(_FASTER.format(shapes, peer), aim, faster(f"vector times matrix, {work}", peer), True)
        for work, shapes in (("large", "(1024,64)·(1024,100,64)"), ("news", "(32,64)·(32,30,64)"))
        for peer, aim in (("einsum", 1.2), ("bmm", 3))
    ),
    *(
        Target(f"{work}: time over the best of {', '.join(_PRODUCTS)}", 1.03, over(work, *_PRODUCTS))
        for work in MATRICES
    ),
    Target("the same, geometric mean of all", 1, _mean_over(MATRICES, *_PRODUCTS)),
    Target(
        "cosine matrix (32,128,64): time over Q Kᵀ alone, by bmm",
        1.3,
        _call("matrices", "time over the first", "batch_dot cosine"),
    ),
    Target(
        _FASTER.format("row cosine (65536,128), forward and backward", "cosine_similarity"),
        6,
        faster("row cosine, large, backward", "cosine_similarity"),
        True,
    ),
    *(
        Target(f"{work}, compiled: time over the baseline, compiled", 1, _compiled(work))
        for work in (*WORKS, *(name.partition(",")[0] for name in MODELS))
    ),
    *(
        Target(f"{work}: KiB more of extra memory for four times the rows", 64, _memory_growth(work))
        for work in ("row dot, float32", "row dot, bfloat16", "row cosine, float32", "row cosine, bfloat16")
    ),
    *(
        target
        for kind in ("row dot", "row cosine", "top-k, 1 query")
        for place in ("from the page cache", "from the disk")
        for target in (
            Target(
                f"batchdot, {kind}, {place}: rate over that of reading",
                0.8,
                _file(f"{kind}, {place}", "our rate over reading"),
                True,
            ),
            Target(f"batchdot, {kind}, {place}: resident MB", 300, _file(f"{kind}, {place}", "resident MB")),
        )
    ),
    *(
        Target(f"top_k, {work}: time over {text}", 1, _search(work, peer))
        for work in SEARCHES
        for peer, text in (("baseline", "the product with topk"), ("faiss", "FAISS, exact"))
        if peer == "baseline" or (SEARCHES[work].dtype == "float32" and not SEARCHES[work].normalize)
    ),
    *(
        target
        for model in PORTED
        for target in (
            Target(
                f"ported {model}, the worst batch: time over the hand-written module",
                1.05,
                _ported(model, "hand-written", 1.05),
            ),
            *(
                Target(
                    _FASTER.format(f"ported {model}, the worst batch", peer),
                    1,
                    _ported_faster(model, peer),
                    True,
                )
                for peer in ("tf_keras graph", "Keras 3 torch")
            ),
            *(
                Target(
                    _FASTER.format(f"{model}, from start to first prediction", peer),
                    2,
                    _start(model, peer),
                    True,
                )
                for peer in ("tf_keras", "Keras 3 torch")
            ),
        )
    ),
    Target("a Keras file of 1 GB: time over that of reading its bytes", 2, _large("our time over reading")),
    Target("a Keras file of 1 GB: memory over that of its weights", 1.05, _large("memory over the weights")),
    Target("batchdot inspect on a small file: seconds", 0.5, _inspect),
    Target("row cosines, every dtype, size and length: largest error in ulp", 0.51, _worst_cosine),
    Target("cosines of identical rows outside [-1, 1]", 0, _outside),
    Target("cosines of finite rows that are not finite", 0, _not_finite),
]
