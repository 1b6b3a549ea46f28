"""`batchdot dot` from file to file, beside reading the same files: the rate, and the memory it takes."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

_D = 128
_BLOCK = 16 << 20
_KINDS = {"row dot": [], "row cosine": ["--normalize"]}

# What the command does, from a Python that has imported it: importing PyTorch takes seconds, and is no
# reading. The last line is the most memory it had, in KiB. Linux's ru_maxrss would be that of the process
# that started it, where that is larger; macOS counts bytes.
_CHILD = """
import resource, sys, time
from pathlib import Path
from batchdot.cli.main import main
started = time.perf_counter()
status = main(sys.argv[1:])
print(time.perf_counter() - started)
proc = Path("/proc/self/status")
if proc.exists():
    print(next(line.split()[1] for line in proc.read_text().splitlines() if line.startswith("VmHWM:")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(status)
"""


def measure_files(mebibytes: int = 512, rounds: int = 5) -> dict[str, Any]:
    """Contract two .npy files of rows of 128 float32, in turns with reading them.

    Once from the page cache, where they were just written, and once from the disk, where the system can
    be asked to forget them.

    Args:
        mebibytes: size of each of the two files.
        rounds: how often each is done.

    Returns:
        By kind of work and place: seconds of each run, rates in GB/s, our rate over that of reading
        (the median of the rounds), and the most memory in MB (10^6 bytes).
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("x.npy", "y.npy")]
        for seed, path in enumerate(paths):
            _write(path, mebibytes, seed)
        works = {
            f"{kind}, {place}": _measure(paths, options, prepare, rounds)
            for kind, options in _KINDS.items()
            for place, prepare in (("from the page cache", _read), ("from the disk", _forget))
            if place == "from the page cache" or hasattr(os, "posix_fadvise")
        }
    return {"mebibytes": mebibytes, "works": works}


def _measure(
    paths: list[Path], options: list[str], prepare: Callable[[list[Path]], None], rounds: int
) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in paths)
    reads, runs, most = [], [], 0
    for _ in range(rounds):
        prepare(paths)
        started = perf_counter()
        _read(paths)
        reads.append(perf_counter() - started)
        prepare(paths)
        seconds, kibibytes = _run([*map(str, paths), "--axes", "1", *options], paths[0].parent)
        runs.append(seconds)
        most = max(most, kibibytes)
    return {
        "bytes": size,
        "seconds reading": reads,
        "seconds": runs,
        "GB/s reading": size / median(reads) / 1e9,
        "GB/s": size / median(runs) / 1e9,
        "our rate over reading": median(a / b for a, b in zip(reads, runs, strict=True)),
        "resident MB": most * 1024 / 1e6,
    }


def _run(arguments: list[str], folder: Path) -> tuple[float, int]:
    out = str(folder / "out.npy")
    command = [sys.executable, "-c", _CHILD, "dot", *arguments, "-o", out]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    seconds, kilobytes = run.stdout.splitlines()[-2:]
    return float(seconds), int(kilobytes)


def _write(path: Path, mebibytes: int, seed: int) -> None:
    rows = (mebibytes << 20) // (4 * _D)
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((min(rows, _BLOCK // (4 * _D)), _D), dtype=np.float32)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (rows, _D)}
        )
        for start in range(0, rows, len(block)):
            file.write(block[: rows - start].data)
        file.flush()
        os.fsync(file.fileno())  # or it is written while others are timed


def _read(paths: list[Path]) -> None:
    """Read files in turns, block by block, into the same memory, by one thread."""
    buffer = memoryview(bytearray(_BLOCK))
    files = [path.open("rb", buffering=0) for path in paths]
    try:
        while sum(file.readinto(buffer) for file in files):
            pass
    finally:
        for file in files:
            file.close()


def _forget(paths: list[Path]) -> None:
    """Ask the system to drop files from its page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
