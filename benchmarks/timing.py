"""Timing of statements in turns, in one process: what one machine does in one minute, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from timeit import Timer
from typing import Any

BLOCK_SECONDS = 2e-3
"""A block of calls is long beside the clock, and short beside what else a machine may do."""


@dataclass(frozen=True)
class Timing:
    """Seconds a call, one number for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the rounds."""
        first, _, third = quantiles(self.rounds, n=4)
        return first, third

    def ratio(self, other: "Timing") -> float:
        """Return the median, over the rounds, of this time over the other's in the same round."""
        return median(a / b for a, b in zip(self.rounds, other.rounds, strict=True))

    def difference(self, other: "Timing") -> float:
        """Return the median, over the rounds, of this time less the other's in the same round."""
        return median(a - b for a, b in zip(self.rounds, other.rounds, strict=True))


def time_in_turns(
    statements: Mapping[str, str],
    names: dict[str, Any],
    rounds: int,
    synchronize: Callable[[], None] | None = None,
) -> dict[str, Timing]:
    """Time statements in turns: in each round a block of calls of every one.

    Args:
        statements: by name, what to run.
        names: what the statements refer to.
        rounds: how many blocks of each; every round starts with another statement.
        synchronize: waits for the device, at the end of a block.

    Returns:
        A timing for each statement.
    """
    timers = {name: _Block(statement, names, synchronize) for name, statement in statements.items()}
    order = list(timers)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        for name in order:
            seconds[name].append(timers[name].run())
        order = order[1:] + order[:1]
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


class _Block:
    """So many calls of a statement that they take BLOCK_SECONDS."""

    def __init__(self, statement: str, names: dict[str, Any], synchronize: Callable[[], None] | None) -> None:
        body = f"for _ in repeat(None, calls):\n    {statement}"
        if synchronize is not None:
            body += "\nsynchronize()"
        setup = "from itertools import repeat"
        self.names = names | {"calls": 1, "synchronize": synchronize}
        self.timer = Timer(body, setup, globals=self.names)
        self.calls = 1
        self.run()  # what is lazy happens here
        while (block := self.run() * self.calls) < BLOCK_SECONDS:
            self.calls = max(self.calls + 1, int(self.calls * min(10.0, 1.2 * BLOCK_SECONDS / block)))

    def run(self) -> float:
        """Return the seconds a call of one block, after a call that warms the caches and counts not."""
        self.names["calls"] = 1
        self.timer.timeit(1)
        self.names["calls"] = self.calls
        return self.timer.timeit(1) / self.calls
