"""The time of a ported model where PyTorch asks the system for huge pages.

For large tensors on the CPU, PyTorch takes memory from the system and gives it back, layer by layer. The
system clears each page at its first use: 512 times as many pages of 4 KiB as of 2 MiB.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.keras_peers import ROOT
from benchmarks.measure import Record, Settings
from benchmarks.ported.works import BATCHES, Work

BATCH = max(BATCHES)

PAGES = {"pages of 4 KiB": "0", "huge pages": "1"}
"""Values of THP_MEM_ALLOC_ENABLE, which PyTorch reads when it is loaded: hence a process for each."""

_PROGRAM = """
import sys, statistics, time, numpy, torch
from batchdot import porting
module = porting.load(sys.argv[1])
tensors = [torch.from_numpy(array) for array in numpy.load(sys.argv[2]).values()]
seconds = []
with torch.no_grad():
    for _ in range(int(sys.argv[3]) + 1):
        started = time.perf_counter()
        module(*tensors)
        seconds.append(time.perf_counter() - started)
print(statistics.median(seconds[1:]) * 1e6)
"""

ROUNDS = 11
"""Calls at most in each process."""


def measure_pages(work: Work, settings: Settings) -> Record:
    """Return the microseconds of a call on the largest batch, by the pages that PyTorch asks for."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs.npz")
        np.savez(inputs, *work.arrays(BATCH))
        arguments = [str(work.path), str(inputs), str(min(settings.rounds, ROUNDS))]
        return {name: _run(arguments, enabled) for name, enabled in PAGES.items()}


def _run(arguments: list[str], enabled: str) -> float:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        cwd=ROOT,
        env=os.environ | {"THP_MEM_ALLOC_ENABLE": enabled},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ran.stdout)
