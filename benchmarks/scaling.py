"""Scaling: the time of row products against the number of rows, their length and threads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.keras_peers import KerasPeers
from benchmarks.measure import Record, Settings, measure
from benchmarks.workloads import Workload

ROWS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
LENGTHS = (1, 4, 16, 64, 256, 1024, 4096, 16384)
NUMBERS = 1 << 22
"""Elements of each input when the length of rows varies."""

_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (("row dot", {}), ("row cosine", {"normalize": True}))
_LINES = ("elementwise", "bmm", "cosine_similarity")

_INPUTS_AT_ONCE = 24
"""Upper bound on the memory in use, in multiples of the size of x."""


def measure_scaling(keras_peers: KerasPeers, settings: Settings, most_rows: int) -> Record:
    """Measure row products and row cosines, forward, float32.

    Args:
        keras_peers: the Keras processes that run.
        settings: rounds, budget and device.
        most_rows: upper bound on the number of rows.

    Returns:
        For each of ``rows``, ``length`` and ``threads``, by kind of work, a list of results of `measure`
        with ``at``, the value of the variable; and ``left out``, sentences.
    """
    results: Record = {"rows": {}, "length": {}, "threads": {}, "left out": []}
    memory = _available_memory()
    for kind, options in _KINDS:
        for rows in (n for n in ROWS if n <= most_rows):
            shape = (rows, 128)
            if memory is not None and _INPUTS_AT_ONCE * 4 * rows * 128 > memory:
                results["left out"].append(f"{kind}, {rows:,} rows: {memory >> 20:,} MiB of memory is free")
                continue
            work = Workload(kind, shape, shape, 1, options)
            results["rows"].setdefault(kind, []).append({"at": rows} | _measure(work, keras_peers, settings))
        for length in LENGTHS:
            shape = (min(NUMBERS, 128 * most_rows) // length, length)
            work = Workload(kind, shape, shape, 1, options)
            results["length"].setdefault(kind, []).append(
                {"at": length} | _measure(work, keras_peers, settings)
            )
        results["threads"][kind] = _measure_threads(kind, options, settings, most_rows)
    return results


def _measure_threads(kind: str, options: dict[str, Any], settings: Settings, most_rows: int) -> list[Record]:
    """Time the peers in this process with 1, 2, 4, ... threads."""
    most = torch.get_num_threads()
    shape = (min(65536, most_rows), 128)
    records = []
    with_none = KerasPeers(wanted=False)
    try:
        for threads in sorted({*(1 << n for n in range(most.bit_length())), most}):
            torch.set_num_threads(threads)
            record = _measure(Workload(kind, shape, shape, 1, options), with_none, settings)
            records.append({"at": threads} | record)
    finally:
        torch.set_num_threads(most)
    return records


def _measure(work: Workload, keras_peers: KerasPeers, settings: Settings) -> Record:
    # There are many points, and a curve through them: half of the time for each is enough.
    record = measure(work, keras_peers, replace(settings, budget=settings.budget / 2), _LINES)
    return {
        key: record[key]
        for key in ("kernel", "rounds", "microseconds", "our time over theirs", "unsettled", "absent")
    }


def _available_memory() -> int | None:
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    for line in info.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None
