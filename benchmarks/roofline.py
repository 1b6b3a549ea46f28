"""The floor: what no way of computing the same can beat on this machine, measured in the same rounds.

A sum of products has to read its inputs: `torch.dot` reads as many bytes. A matrix product has to
multiply as well: a product of large matrices does so at the machine's peak. Gradients have to be
written, into memory that is there already.
"""

from typing import Any

import torch

from benchmarks.timing import Timing
from benchmarks.workloads import Workload

READ, PEAK = "roofline read", "roofline peak"
_N = 512


def roofline_statements(work: Workload, device: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what to time for the roofline of a workload, and the names it refers to."""
    n = max(1, work.bytes_read // 8)
    # A CPU may lack the instructions of a 16-bit dtype: the peak is that of float32.
    dtype = torch.float32 if device == "cpu" else getattr(torch, work.dtype)
    names: dict[str, Any] = {
        "roofline_a": torch.ones(n, device=device),
        "roofline_b": torch.ones(n, device=device),
        "roofline_m": torch.ones(_N, _N, device=device, dtype=dtype),
    }
    lines = {READ: "torch.dot(roofline_a, roofline_b)", PEAK: "torch.mm(roofline_m, roofline_m)"}
    if work.backward:
        names |= {"roofline_c": names["roofline_a"].clone(), "roofline_d": names["roofline_b"].clone()}
        lines[READ] += "; roofline_c.copy_(roofline_a); roofline_d.copy_(roofline_b)"
    return lines, names


def roofline(work: Workload, timings: dict[str, Timing]) -> Timing:
    """Return the floor, from what was timed for it: reading, or multiplying where that takes longer."""
    return timings[READ].longer(timings[PEAK].scaled(work.multiply_adds / _N**3))
