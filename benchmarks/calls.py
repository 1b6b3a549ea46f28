"""Overhead of a call: times on inputs so small that arithmetic is negligible, against one PyTorch line."""

from functools import partial
from typing import Any

import torch

from batchdot import Dot, batch_dot
from benchmarks.measure import Settings, summary
from benchmarks.outliers import time_until_settled
from benchmarks.timing import time_in_turns

LINE = "(x * y).sum(-1, keepdim=True)"

ROWS = {
    "elementwise": LINE,
    "batch_dot": "batch_dot(x, y, 1)",
    "batch_dot cosine": "batch_dot(x, y, 1, normalize=True)",
    "Dot": "dot(x, y)",
    "Dot cosine": "cosine(x, y)",
    "Dot of a list": "dot([x, y])",
    "an empty Module": "empty(x, y)",
}

MATRICES = {
    "bmm": "torch.bmm(q, k.mT)",
    "batch_dot": "batch_dot(q, k, 2)",
    "batch_dot cosine": "batch_dot(q, k, 2, normalize=True)",
}


class _Empty(torch.nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x


def measure_calls(settings: Settings) -> dict[str, Any]:
    """Time calls on rows (32, 128) and on matrices (32, 128, 64).

    Returns:
        By table, the result of `summary` without ratios, and for each statement ``time over the first``
        and ``µs more than the first``, medians over the rounds.
    """
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(32, 128, generator=generator).to(settings.device) for _ in "xy")
    q, k = (torch.randn(32, 128, 64, generator=generator).to(settings.device) for _ in "qk")
    names = {"torch": torch, "batch_dot": batch_dot, "dot": Dot(1), "cosine": Dot(1, normalize=True)}
    names |= {"empty": _Empty(), "x": x, "y": y, "q": q, "k": k}
    results = {}
    for table, statements in (("rows", ROWS), ("matrices", MATRICES)):
        take = partial(time_in_turns, statements, names, 3 * settings.rounds, settings.synchronize)
        timings, unsettled = time_until_settled(take, next(iter(statements)))
        first = timings[next(iter(statements))]
        results[table] = summary(timings, next(iter(statements))) | {
            "unsettled": unsettled,
            "time over the first": {name: t.ratio(first) for name, t in timings.items()},
            "µs more than the first": {name: t.difference(first) * 1e6 for name, t in timings.items()},
        }
        del results[table]["our time over theirs"]
    return results
