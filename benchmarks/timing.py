"""Interleaved timing of statements: in every round each statement runs one block of calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from timeit import Timer, default_timer
from typing import Any, Protocol

BLOCK_SECONDS = 2e-3
"""Minimal duration of a block: long compared with the clock's resolution, short compared with other load."""

LONG_SECONDS = 20e-3
"""Duration from which on a call needs no warm-up of caches."""

FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one number for each round."""

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

    def scaled(self, factor: float) -> "Timing":
        """Return the time of a multiple of the work."""
        return Timing(tuple(factor * seconds for seconds in self.rounds))

    def longer(self, other: "Timing") -> "Timing":
        """Return the longer of two times, round by round."""
        return Timing(tuple(map(max, self.rounds, other.rounds)))

    @property
    def record(self) -> dict[str, Any]:
        """The median and the quartiles in microseconds."""
        return {"median": self.median * 1e6, "quartiles": [q * 1e6 for q in self.quartiles]}


class Block(Protocol):
    """A number of calls that takes BLOCK_SECONDS, in this process or another one."""

    def run(self) -> float:
        """Time one block; return seconds per call."""
        ...


def time_in_turns(
    statements: Mapping[str, str],
    names: dict[str, Any],
    rounds: int,
    synchronize: Callable[[], None] | None = None,
    others: Mapping[str, Block] | None = None,
    budget: float = float("inf"),
    block_seconds: float | None = None,
) -> dict[str, Timing]:
    """Time statements in turns: in each round one block of calls of each.

    Args:
        statements: statements by name.
        names: the globals of the statements.
        rounds: number of blocks of each. The order is shuffled in every round: a fixed predecessor would
            always leave the same threads and cache contents behind.
        synchronize: waits for the device, at the end of a block.
        others: further blocks by name, such as those of another process.
        budget: seconds after which no further round starts, once there are FEWEST_ROUNDS.
        block_seconds: minimal duration of a block, BLOCK_SECONDS if not given.

    Returns:
        A timing for each statement and each other block.
    """
    blocks: dict[str, Block] = {
        name: LocalBlock(statement, names, synchronize, block_seconds)
        for name, statement in statements.items()
    }
    blocks |= others or {}
    order = list(blocks)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    shuffle = Random(0).shuffle
    started = default_timer()
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and default_timer() - started > budget:
            break
        shuffle(order)
        for name in order:
            seconds[name].append(blocks[name].run())
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


class LocalBlock:
    """A block of calls of a statement in this process."""

    def __init__(
        self,
        statement: str,
        names: dict[str, Any],
        synchronize: Callable[[], None] | None = None,
        block_seconds: float | None = None,
    ) -> None:
        body = f"for _ in repeat(None, calls):\n    {statement}"
        if synchronize is not None:
            body += "\nsynchronize()"
        setup = "from itertools import repeat"
        self.names = names | {"calls": 1, "synchronize": synchronize}
        self.timer = Timer(body, setup, globals=self.names)
        self.calls = 1
        self.warm = True
        self.run()  # warm-up: lazy initialization
        least = BLOCK_SECONDS if block_seconds is None else block_seconds
        while (block := self.run() * self.calls) < least:
            self.calls = max(self.calls + 1, int(self.calls * min(10.0, 1.2 * least / block)))
        self.warm = block < LONG_SECONDS

    def run(self) -> float:
        """Time one block, after one call to warm the caches; return seconds per call."""
        if self.warm:
            self.names["calls"] = 1
            self.timer.timeit(1)
        self.names["calls"] = self.calls
        return self.timer.timeit(1) / self.calls
