"""Times that another measurement contradicts: they are measured again, and not published if they stay so."""

from collections.abc import Callable
from statistics import median

from benchmarks.timing import Timing

ATTEMPTS = 3
"""Measurements of the same at most."""

AGREEMENT = 0.1
"""The most by which the ratio of two times may differ between the two halves of the rounds."""

GROSS = 0.4
"""The most by which a roofline, a time that was measured as well, may be above ours: from a cache torch.dot
reads up to a third slower than our kernels do. Points of a figure, whose axes span decades, may be off by as
much."""

FEWEST = 6
"""Rounds that are enough for two halves."""


def time_until_settled(
    take: Callable[[], dict[str, Timing]], ours: str, floor: str | None = None
) -> tuple[dict[str, Timing], dict[str, float]]:
    """Time statements, and again while a ratio has not settled.

    Args:
        take: times all statements, in turns.
        ours: the statement that the others are compared with.
        floor: the statement that no other should be faster than.

    Returns:
        The timings of the attempt with the fewest ratios that have not settled, and these: by statement, the
        factor by which its ratio differs between the halves of the rounds, or our time is below the floor.
    """
    attempts = []
    for _ in range(ATTEMPTS):
        timings = take()
        unsettled = find_unsettled(timings, ours, floor)
        attempts.append((timings, unsettled))
        if not unsettled:
            break
    return min(attempts, key=lambda attempt: (len(attempt[1]), sum(attempt[1].values())))


def find_unsettled(timings: dict[str, Timing], ours: str, floor: str | None = None) -> dict[str, float]:
    """Return statements whose ratio to ours differs between the halves of the rounds, or is impossible."""
    unsettled = {}
    for name, timing in timings.items():
        if name == ours:
            continue
        ratios = [a / b for a, b in zip(timings[ours].rounds, timing.rounds, strict=True)]
        half, below = len(ratios) // 2, 1 / median(ratios)
        if name == floor and below > 1 + GROSS:
            unsettled[name] = below
        elif len(ratios) >= FEWEST:
            first, second = median(ratios[:half]), median(ratios[half:])
            factor = max(first, second) / min(first, second)
            if factor > 1 + AGREEMENT:
                unsettled[name] = factor
    return unsettled
