"""Threads that share the blocks of a file: each reads and computes its own, and none waits for another."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Lock
from typing import TypeVar

import torch

from batchdot.streaming.progress import Progress

Result = TypeVar("Result")

MOST_WORKERS = 4
"""Upper bound on worker threads: more would only wait for the global interpreter lock."""

BAR_SECONDS = 0.1
"""Seconds between two looks at the progress of workers."""


def count_workers() -> int:
    """Return the number of threads that work on blocks at the same time."""
    return min(torch.get_num_threads(), MOST_WORKERS)


class SharedIntervals:
    """An iterator over the intervals of blocks that several threads share, and a count of finished samples.

    It is a context manager: on exit the remaining intervals are dropped. So all threads end where one fails,
    or where the program is interrupted.
    """

    def __init__(self, blocks: Iterable[tuple[int, int]]) -> None:
        self._lock = Lock()
        self._intervals: Iterator[tuple[int, int]] = iter(blocks)
        self.finished = 0

    def __iter__(self) -> "SharedIntervals":
        return self

    def __next__(self) -> tuple[int, int]:
        with self._lock:
            return next(self._intervals)

    def finish(self, samples: int) -> None:
        """Count the samples of a block as finished."""
        with self._lock:
            self.finished += samples

    def __enter__(self) -> "SharedIntervals":
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._intervals = iter(())


def run_workers(
    work: Callable[[], Result],
    count: int,
    start_thread: Callable[[], None] | None,
    intervals: SharedIntervals,
    bar: Progress,
) -> list[Result]:
    """Run a function in several threads until all intervals are finished.

    Args:
        work: takes intervals until there are none.
        count: the number of threads.
        start_thread: called first in each thread.
        intervals: the intervals, whose finished samples the bar shows.
        bar: the bar, which this thread advances.

    Returns:
        What each call of ``work`` returned. Raises what the first of them raises.
    """
    before = bar.done
    with ThreadPoolExecutor(count, initializer=start_thread) as pool, intervals:
        futures = [pool.submit(work) for _ in range(count)]
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, BAR_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            bar.advance(before + intervals.finished - bar.done)
        return [future.result() for future in futures]
