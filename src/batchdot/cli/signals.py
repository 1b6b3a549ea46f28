"""Interruption: a signal that ends a process, as an exception that lets it tidy up first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Stopped(BaseException):
    """A signal asked the process to stop."""

    def __init__(self, number: int) -> None:
        self.signal = number
        self.reason = (
            "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        )


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the signals that end a process into an exception, so that what is half-made is removed.

    The first one counts: those after it wait until the removal is done. What the parent process told
    to ignore, as nohup does, stays ignored.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = [(number, signal.signal(number, stop)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
