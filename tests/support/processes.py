"""Python programs in processes of their own: for what is chosen once in a process, and for several ranks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support import ROOT


def run_python(code: str, **environment: str) -> str:
    """Return what a program prints, run with further environment variables."""
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    status: int
    printed: str

    def __str__(self) -> str:
        killed = self.status < 0
        how = f"by {signal.Signals(-self.status).name}" if killed else f"with status {self.status}"
        return f"ended {how}, and had printed:\n{self.printed}"


def run_side_by_side(programs: Sequence[Sequence[str]], seconds: float) -> list[Ended]:
    """Run Python programs at the same time, each from its arguments, and return how they ended.

    One that crashes prints where it was, and so does one that has not ended in time, which is aborted.
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for arguments in programs
    ]
    deadline = time.monotonic() + seconds
    try:
        return [_wait(process, deadline) for process in running]
    finally:
        for process in running:
            process.kill()


def _wait(process: subprocess.Popen[str], deadline: float) -> Ended:
    try:
        printed, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        printed, _ = process.communicate()
    return Ended(process.returncode, printed)
