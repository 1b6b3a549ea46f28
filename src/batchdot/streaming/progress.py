"""A progress bar on stderr for long work. tqdm is imported only if the bar appears."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 1.0
"""Seconds of work before the bar appears."""


class Progress:
    """A context manager that counts samples and draws a bar if work takes longer than `DELAY`.

    Args:
        total: number of samples.
        enabled: whether the bar may appear.
    """

    def __init__(self, total: int, enabled: bool) -> None:
        self.total = total
        self.enabled = enabled
        self.done = 0
        self.start = time.monotonic()
        self.drawn = False
        self.bar: tqdm[Any] | None = None

    def advance(self, count: int) -> None:
        """Count samples as done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif self.enabled and time.monotonic() - self.start >= DELAY and self.done < self.total:
            from tqdm import tqdm

            self.drawn = True  # tqdm draws in its __init__, which a signal may interrupt
            self.bar = tqdm(
                total=self.total, initial=self.done, unit=" samples", unit_scale=True, file=sys.stderr
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.drawn:
            sys.stderr.write("\n")
