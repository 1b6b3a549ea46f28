"""What the machine can do: a copy, a read, a launch. All other times are compared with these."""

from typing import Any

import torch

from benchmarks.gpu.clock import Machine, one_pass, time_in_turns


def measure_ceilings(machine: Machine, until: float) -> dict[str, Any]:
    """Time a copy and a sum of 1 GiB, and the smallest operator, called and in a graph.

    Returns:
        Bytes a second of a copy (read and written), bytes a second of a sum (read), and microseconds of a
        launch from Python and of one in a graph.
    """
    nbytes = 1 << (12 if machine.rehearsal else 30)
    source = torch.ones(nbytes // 4, device=machine.type)
    target, small = torch.empty_like(source), torch.ones(1, device=machine.type)
    passes = {
        "copy": lambda: target.copy_(source),
        "sum": lambda: source.sum(),
    }
    large = time_in_turns(machine, passes, 1, until)
    launches = one_pass(lambda tensor: tensor.add_(1), [(small,)] * 64)
    tiny = {"launch": launches, "launch in a graph": machine.graph(launches)}
    times = time_in_turns(machine, tiny, 64, until)
    return {
        "copy, bytes a second": 2 * nbytes / large["copy"].median,
        "sum, bytes a second": nbytes / large["sum"].median,
        **{f"{name}, microseconds": found.median * 1e6 for name, found in times.items()},
        "quartiles": {name: found.record["quartiles"] for name, found in (large | times).items()},
    }
