"""The time from the start of a process to the first prediction of a saved model."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

from batchdot import porting
from benchmarks.keras_peers import ROOT, KerasPeers
from benchmarks.keras_worker import FRAMEWORKS
from benchmarks.measure import Record, Settings, summary
from benchmarks.ported.works import Work
from benchmarks.timing import Timing

OURS, SAVED = "porting.load", "saved source"

ROUNDS = 3
"""Runs of each program: they take seconds, and differ by little."""

_LOAD = "from numpy import load; import sys; arrays = list(load(sys.argv[2]).values())"
_TORCH = "import torch; torch.set_grad_enabled(False); tensors = [torch.from_numpy(a) for a in arrays]"
_KERAS = (
    "model = keras.models.load_model(sys.argv[1], compile=False); "
    "model(arrays[0] if len(arrays) == 1 else arrays)"
)

PROGRAMS = {
    OURS: f"{_TORCH}; from batchdot import porting; porting.load(sys.argv[1])(*tensors)",
    SAVED: (
        f"{_TORCH}; sys.path.insert(0, sys.argv[3]); import saved; from safetensors.torch import load_file; "
        "model = getattr(saved, sys.argv[4])().eval(); "
        "model.load_state_dict(load_file(sys.argv[3] + '/saved.safetensors')); model(*tensors)"
    ),
    "tf_keras": f"import tf_keras as keras; {_KERAS}",
    "Keras 3 torch": f"import keras, torch; torch.set_grad_enabled(False); {_KERAS}",
}
"""Programs by name; those of Keras are named as in FRAMEWORKS."""


def measure_start(work: Work, keras_peers: KerasPeers, settings: Settings) -> Record:
    """Time each program from the start of its process until it has predicted one sample, in turns.

    Returns:
        The result of `summary`, and ``absent``: by name, why a program does not run.
    """
    absent = {name: reason for name, reason in keras_peers.absent.items() if name in PROGRAMS}
    if find_spec("safetensors") is None:
        absent[SAVED] = "safetensors not installed"
    order = [name for name in PROGRAMS if name not in absent]
    seconds: dict[str, list[float]] = {name: [] for name in order}
    shuffle = Random(0).shuffle
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs.npz")
        np.savez(inputs, *work.arrays(1))
        ported = porting.port(work.path)
        ported.save(Path(folder, "saved.py"))
        arguments = [str(work.path), str(inputs), folder, ported.class_name]
        for _ in range(min(settings.rounds, ROUNDS)):
            shuffle(order)
            for name in order:
                seconds[name].append(_run(name, arguments))
    timings = {name: Timing(tuple(times)) for name, times in seconds.items()}
    return summary(timings, OURS) | {"absent": absent}


def _run(name: str, arguments: list[str]) -> float:
    """Return the seconds from the start of a process to the line that it prints after its prediction."""
    program = f"{_LOAD}; {PROGRAMS[name]}; print('predicted', flush=True)"
    environment = FRAMEWORKS[name][1] if name in FRAMEWORKS else {}
    with tempfile.TemporaryFile() as log:
        started = perf_counter()
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, *arguments],
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process:
            assert process.stdout is not None
            predicted = b"predicted\n" in process.stdout  # reads no further
            seconds = perf_counter() - started
        if not predicted:
            log.seek(0)
            raise RuntimeError(f"{name}: {log.read().decode(errors='replace').strip().splitlines()[-1]}")
    return seconds
