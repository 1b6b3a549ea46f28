"""Termination signals: they end the process at once while it loads, and later raise, for the clean-up."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
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
        self.reason = _reason(number)


def _reason(number: int) -> str:
    return "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """End the process on SIGINT, SIGTERM and SIGHUP while the context lasts: one line, and 128 + the number.

    For the time in which modules are imported. An exception there can surface in any frame of an import, as
    another exception, or as a warning that it was ignored; and there is nothing yet to clean up.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        try:
            os.write(2, f"batchdot: {_reason(number)}\n".encode())
        finally:
            os._exit(128 + number)

    with _handled(lambda numbers: end):
        yield


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGINT, SIGTERM and SIGHUP while the context lasts, so that files are cleaned up.

    After the first signal the others are ignored until the context is left, so that the clean-up is not
    interrupted.
    """

    def handler(numbers: list[int]) -> Callable[[int, FrameType | None], NoReturn]:
        def terminate(number: int, frame: FrameType | None) -> NoReturn:
            for other in numbers:
                signal.signal(other, signal.SIG_IGN)
            raise Terminated(number)

        return terminate

    with _handled(handler):
        yield


@contextmanager
def _handled(make: Callable[[list[int]], Callable[[int, FrameType | None], NoReturn]]) -> Iterator[None]:
    """Handle the signals by what ``make`` returns for their numbers, and restore the handlers on exit.

    A signal that the parent process set to be ignored, as nohup does, stays ignored. Outside the main
    thread, where Python allows no signal handlers, this does nothing.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers: list[int] = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    handler = make(numbers)
    previous = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, old in previous:
            signal.signal(number, old)
