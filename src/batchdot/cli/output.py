"""Standard output and error of the command line: closed, broken or full, they never end in a traceback."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def open_closed_streams() -> None:
    """Open the null device in place of standard streams that the parent process closed, as ``>&-`` does.

    Python sets `sys.stdout` to None then, and the next file that is opened gets the stream's number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


class StandardOutput:
    """Writes to a stream: errors name standard output, and characters that it cannot encode are escaped.

    Args:
        stream: the stream; other attributes are its own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text."""
        encoding = self._stream.encoding or "ascii"
        try:
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._error = _named(error)
            raise self._error from None

    def flush(self) -> None:
        """Write what is buffered, and raise the error of an earlier write, which argparse ignores."""
        if self._error is not None:
            raise self._error
        try:
            self._stream.flush()
        except OSError as error:
            raise _named(error) from None

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _named(error: OSError) -> OSError:
    reason = error.strerror or str(error)
    return type(error)(error.errno, f"cannot write to standard output: {reason[:1].lower() + reason[1:]}")


def discard(stream: TextIO) -> None:
    """Send what a stream still buffers, and what follows, to the null device."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_error(reason: str) -> None:
    """Print a reason on one line of standard error, if anybody reads it; control characters are escaped."""
    from batchdot.io.regular_file import printable

    line = printable("; ".join(reason.split("\n")))
    try:
        print(f"batchdot: {line}", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)
