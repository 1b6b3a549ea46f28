"""Commands on files: their rate relative to reading the same files, and their memory."""

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
_QUERIES = 100

_KINDS = {
    "row dot": "dot x.npy y.npy --axes 1 -o out.npy",
    "row cosine": "dot x.npy y.npy --axes 1 --normalize -o out.npy",
    "top-k, 1 query": "top-k query.npy x.npy -k 10 --indices out.npy",
    f"top-k, {_QUERIES} queries": "top-k queries.npy x.npy -k 10 --indices out.npy",
}
"""Commands by kind; they are timed beside reading those of x.npy and y.npy that they name."""

# Runs the command in a process that has imported it, because importing PyTorch takes seconds. The last line
# is the peak resident memory in KiB: VmHWM, because ru_maxrss on Linux includes the parent process at the
# time of the fork; macOS reports bytes.
_CHILD = """
import resource, sys, time
import batchdot.streaming.dot, batchdot.streaming.top_k
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
    """Time commands on one or two .npy files of float32 rows of length 128, in turns with reading them.

    Both are measured from the page cache and, where the system can evict files from it, from the disk.

    Args:
        mebibytes: size of each of the two files.
        rounds: number of runs of each.

    Returns:
        By kind of work and source: seconds of each run, rates in GB/s, our rate over that of reading
        (median of the rounds), and the peak memory in MB (10^6 bytes).
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("x.npy", "y.npy")]
        for seed, path in enumerate(paths):
            _write(path, mebibytes, seed)
        rng = np.random.default_rng(2)
        for name, rows in (("query.npy", 1), ("queries.npy", _QUERIES)):
            np.save(Path(folder) / name, rng.standard_normal((rows, _D), dtype=np.float32))
        works = {
            f"{kind}, {place}": _measure(paths, command.split(), prepare, rounds)
            for kind, command in _KINDS.items()
            for place, prepare in (("from the page cache", _read), ("from the disk", _forget))
            if place == "from the page cache" or hasattr(os, "posix_fadvise")
        }
    return {"mebibytes": mebibytes, "works": works}


def _measure(
    paths: list[Path], command: list[str], prepare: Callable[[list[Path]], None], rounds: int
) -> dict[str, Any]:
    paths = [path for path in paths if path.name in command]
    size = sum(path.stat().st_size for path in paths)
    reads, runs, most = [], [], 0
    for _ in range(rounds):
        prepare(paths)
        _run(["--version"], paths[0].parent)  # a disk that was idle meanwhile may take twice as long
        started = perf_counter()
        _read(paths)
        reads.append(perf_counter() - started)
        prepare(paths)
        seconds, kibibytes = _run(command, paths[0].parent)
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
    arguments = [str(folder / word) if word.endswith(".npy") else word for word in arguments]
    run = subprocess.run([sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True)
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
        os.fsync(file.fileno())  # so that write-back does not disturb the timings


def _read(paths: list[Path]) -> None:
    """Read files in turns, block by block, into one buffer."""
    buffer = memoryview(bytearray(_BLOCK))
    files = [path.open("rb", buffering=0) for path in paths]
    try:
        while sum(file.readinto(buffer) for file in files):
            pass
    finally:
        for file in files:
            file.close()


def _forget(paths: list[Path]) -> None:
    """Evict files from the page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
