"""A progress bar that appears on long work only, and is imported only then."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 1.0
"""Seconds of work before the bar appears."""


class Progress:
    """Counts samples, and shows them on stderr when work takes long; a context manager.

    Args:
        total: how many there are.
        shown: whether to show anything at all.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self.total = total
        self.shown = shown
        self.done = 0
        self.start = time.monotonic()
        self.drawn = False
        self.bar: tqdm[Any] | None = None

    def advance(self, count: int) -> None:
        """Count some samples as done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif self.shown and time.monotonic() - self.start >= DELAY and self.done < self.total:
            from tqdm import tqdm

            self.drawn = True  # tqdm draws while it is made, and a signal may arrive before it is there
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
