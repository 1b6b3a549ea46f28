"""The roofline: a lower bound on the time of a workload on this machine, measured in the same rounds.

The bound is the larger of two times. Memory: reading the inputs, measured by a `torch.dot` of as many bytes,
plus writing the gradients into allocated memory. Compute: the multiply-adds at the peak rate, measured by a
product of large matrices.
"""

from typing import Any

import torch

from benchmarks.timing import Timing
from benchmarks.workloads import Workload

READ, PEAK = "roofline read", "roofline peak"
_N = 512


def roofline_statements(work: Workload, device: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the statements to time for the roofline of a workload, and the names they refer to."""
    n = max(1, work.bytes_read // 8)
    # A CPU may lack instructions for a 16-bit dtype, so its peak is that of float32.
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
    """Return the roofline: the longer of the memory time and the compute time, round by round."""
    return timings[READ].longer(timings[PEAK].scaled(work.multiply_adds / _N**3))
