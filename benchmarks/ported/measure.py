"""Times of ported models beside hand-written modules and Keras, and times to a first prediction."""

from functools import partial
from typing import Any

import torch

from batchdot import porting
from benchmarks.keras_peers import KerasPeers
from benchmarks.keras_worker import ModelRequest
from benchmarks.measure import Record, Settings, difference, settled, values
from benchmarks.ported import tables
from benchmarks.ported.handwritten import with_weights
from benchmarks.ported.pages import measure_pages
from benchmarks.ported.start import measure_start
from benchmarks.ported.works import BATCHES, WORKS, Work
from benchmarks.timing import time_in_turns

OURS = "ported"
HANDWRITTEN = "hand-written"


def measure_ported(keras_peers: KerasPeers, settings: Settings) -> Record:
    """Time the ported models, and the start of a process to its first prediction; print and return.

    Returns:
        ``batches``: by model and batch, the result of `summary` with ``absent``.
        ``start``: by model, the result of `measure_start`.
        ``pages``: by model, the result of `measure_pages`.
    """
    print("Times in microseconds, medians; every other number is our time over a peer's.\n")
    print(tables.HEADER)
    batches: dict[str, dict[str, Record]] = {name: {} for name in WORKS}
    start, pages = {}, {}
    for name, work in WORKS.items():
        for batch in BATCHES:
            record = batches[name][str(batch)] = measure_batch(work, batch, keras_peers, settings)
            print(tables.ported_line(name, batch, record), flush=True)
    for name, work in WORKS.items():
        start[name] = measure_start(work, keras_peers, settings)
        print(tables.start_line(name, start[name]), flush=True)
    for name, work in WORKS.items():
        pages[name] = measure_pages(work, settings)
        print(tables.pages_line(name, pages[name]), flush=True)
    return {"batches": batches, "start": start, "pages": pages}


def measure_batch(work: Work, batch: int, keras_peers: KerasPeers, settings: Settings) -> Record:
    """Time one model on one batch, in turns with its peers. A peer with other results is not timed."""
    module = porting.load(work.path)
    names: dict[str, Any] = {"ported": module, "handwritten": with_weights(work.build, module)}
    arrays = work.arrays(batch)
    names |= {f"x{i}": torch.from_numpy(array) for i, array in enumerate(arrays)}
    arguments = ", ".join(f"x{i}" for i in range(len(arrays)))
    lines = {OURS: f"ported({arguments})", HANDWRITTEN: f"handwritten({arguments})"}
    with torch.no_grad():
        right = values(eval(lines[OURS], names))
        results, blocks, absent = keras_peers.make(
            ModelRequest(str(work.path), str(work.keras_3_path), tuple(arrays))
        )
        found = {name: [torch.from_numpy(array) for array in given] for name, given in results.items()}
        found[HANDWRITTEN] = values(eval(lines[HANDWRITTEN], names))
        for name, given in found.items():
            reason = difference(given, right, "float32")
            if reason is not None:
                absent[name] = reason
                blocks.pop(name, None)
                lines.pop(name, None)
        take = partial(time_in_turns, lines, names, settings.rounds, None, blocks, settings.budget)
        return settled(take, OURS) | {"absent": absent}
