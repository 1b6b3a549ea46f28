"""Reading of Keras files: a large HDF5 file beside its bytes, and `batchdot inspect` on small ones."""

import json
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.keras_peers import ROOT
from benchmarks.ported.works import WORKS

_LAYERS = 4

# Reads one weight after the other, as the translation does. VmHWM: see stream.py.
_CHILD = """
import sys, time
from pathlib import Path
from batchdot import porting

def resident():
    lines = Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)

before = resident()
started = time.perf_counter()
record = porting.read(sys.argv[1])
arrays = [weight.read() for layer in record.layers for weight in layer.weights.values()]
print(time.perf_counter() - started, sum(array.nbytes for array in arrays), (resident() - before) * 1024)
"""


def measure_reading(width: int = 8192, rounds: int = 5) -> dict[str, Any]:
    """Time reading the weights of an HDF5 model, in turns with reading its bytes, and `batchdot inspect`.

    Args:
        width: of the four Dense layers of the model; 8192 makes a file of 1.07 GB.
        rounds: number of runs of each.

    Returns:
        ``large``: seconds of each run, ``our time over reading``, the median of the rounds, and
        ``memory over the weights``, beyond that of the process before; or ``absent``, with the reason.
        ``inspect``: by model of the section `ported`, seconds of each run of the command.
    """
    inspections = {name: [_inspect(work.path) for _ in range(rounds)] for name, work in WORKS.items()}
    if find_spec("h5py") is None:
        return {"large": {"absent": "h5py not installed"}, "inspect": inspections}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.h5")
        _write(path, width)
        return {"large": _measure(path, rounds), "inspect": inspections}


def _measure(path: Path, rounds: int) -> dict[str, Any]:
    reads, runs, shares = [], [], []
    for _ in range(rounds):
        started = perf_counter()
        size = len(path.read_bytes())
        reads.append(perf_counter() - started)
        seconds, weights, memory = map(float, _output("-c", _CHILD, str(path)).split())
        runs.append(seconds)
        shares.append(memory / weights)
    return {
        "bytes": size,
        "seconds reading bytes": reads,
        "seconds": runs,
        "our time over reading": median(b / a for a, b in zip(reads, runs, strict=True)),
        "memory over the weights": max(shares),
    }


def _inspect(path: Path) -> float:
    """Return the seconds of `batchdot inspect` on a file, the start of its process included."""
    started = perf_counter()
    _output("-m", "batchdot", "inspect", str(path))
    return perf_counter() - started


def _output(*arguments: str) -> str:
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    return run.stdout


def _write(path: Path, width: int) -> None:
    """Write a Sequential of Dense layers as tf_keras 2.15 does."""
    names = [f"dense_{number}" for number in range(_LAYERS)]
    configs = [{"name": name, "units": width, "activation": "relu"} for name in names]
    configs[0]["batch_input_shape"] = [None, width]
    layers = [{"class_name": "Dense", "config": config} for config in configs]
    model = {"class_name": "Sequential", "config": {"name": "large", "layers": layers}}
    rng = np.random.default_rng(0)
    with import_module("h5py").File(path, "w") as file:
        file.attrs.update(model_config=json.dumps(model), keras_version="2.15.0", backend="tensorflow")
        root = file.create_group("model_weights")
        root.attrs.update(layer_names=np.bytes_(names), keras_version="2.15.0", backend="tensorflow")
        for name in names:
            group = root.create_group(name)
            group.attrs["weight_names"] = np.bytes_([f"{name}/kernel:0", f"{name}/bias:0"])
            group[f"{name}/kernel:0"] = rng.standard_normal((width, width), dtype=np.float32)
            group[f"{name}/bias:0"] = np.zeros(width, dtype=np.float32)
