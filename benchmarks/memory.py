"""Extra memory: the most that a call holds at once beyond its inputs and its output.

Counted by PyTorch's profiler, which sees what PyTorch's allocator hands out. It runs in a process of its
own, because it prints.
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
"""What does not grow from the first to the second is O(1)."""

_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (("row dot", {}), ("row cosine", {"normalize": True}))


def measure_memory(rows: tuple[int, int] = ROWS) -> dict[str, Any]:
    """Measure row workloads forward, at two numbers of rows of 128.

    Returns:
        By workload, ``rows`` and ``extra bytes``: by name of the line, a number for each of the rows.
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
    """Return the most bytes of CPU memory that a statement holds at once, its result included."""
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
        out = eval(line, names)  # what is made once, such as a plan, is made here
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
