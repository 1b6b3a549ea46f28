"""Termination signals as exceptions, so that context managers can clean up before the process ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(BaseException):
    """The process received a termination signal.

    Attributes:
        signal: the number of the signal.
        reason: a message for the user.
    """

    def __init__(self, number: int) -> None:
        self.signal = number
        self.reason = (
            "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        )


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGINT, SIGTERM and SIGHUP while the context lasts.

    After the first signal the others are ignored until the context is left, so that the clean-up is not
    interrupted. A signal that the parent process set to be ignored, as nohup does, stays ignored. Outside
    the main thread, where Python allows no signal handlers, this does nothing.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Terminated(number)

    previous = [(number, signal.signal(number, terminate)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
