"""Python programs in processes of their own, for what is chosen once in a process."""

import os
import subprocess
import sys


def run_python(code: str, **environment: str) -> str:
    """Return what a program prints, run with further environment variables."""
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
