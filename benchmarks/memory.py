"""Extra memory: the peak allocation of a call beyond its inputs and its output.

Measured by PyTorch's profiler, which records PyTorch's allocator, in a separate process because the profiler
prints.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from batchdot import batch_dot
from benchmarks.baselines import BASELINES
from benchmarks.workloads import Workload

ROWS = (65536, 262144)
"""Two numbers of rows; memory that is the same for both is O(1)."""

_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (("row dot", {}), ("row cosine", {"normalize": True}))


def measure_memory(rows: tuple[int, int] = ROWS) -> dict[str, Any]:
    """Measure row workloads forward, for two numbers of rows of length 128.

    Returns:
        By workload, ``rows``, and ``extra bytes`` by name: the bytes for each number of rows.
    """
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *map(str, rows)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    results: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return results


def peak_bytes(statement: str, names: dict[str, Any]) -> int:
    """Return the peak of CPU memory that a statement allocates, including its result, in bytes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as run:
        value = eval(statement, names)
    del value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        run.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: float(e["ts"])):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def _extra_bytes(work: Workload, line: str) -> int:
    x, y = work.inputs()
    names = {"torch": torch, "batch_dot": batch_dot, "x": x, "y": y}
    with torch.no_grad():
        out = eval(line, names)  # warm-up: what is created once, such as a plan
        return peak_bytes(line, names) - int(out.nbytes)


def _measure(rows: list[int]) -> dict[str, Any]:
    results = {}
    for kind, options in _KINDS:
        for dtype in ("float32", "bfloat16"):
            works = [Workload(kind, (n, 128), (n, 128), 1, options, dtype) for n in rows]
            lines = {"batch_dot": works[0].call, **BASELINES[kind]}
            extra = {name: [_extra_bytes(work, line) for work in works] for name, line in lines.items()}
            results[f"{kind}, {dtype}"] = {"rows": rows, "extra bytes": extra}
    return results


if __name__ == "__main__":
    print(f"\n{json.dumps(_measure([int(argument) for argument in sys.argv[1:]]))}")
