"""The machine and the versions, in general words: what a reader needs in order to compare."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from batchdot import __version__
from batchdot.kernels import KERNELS


def describe_machine(device: str) -> dict[str, Any]:
    """Return what ran the benchmarks, by what a reader may ask."""
    machine = {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "kernels": {k.name: "; ".join(k.unavailable_reasons()) or "available" for k in KERNELS},
        "BATCHDOT_KERNELS": os.environ.get("BATCHDOT_KERNELS", ""),
    }
    if device != "cpu":
        machine["device"] = torch.get_device_module(device).get_device_name()
    return machine


def versions() -> dict[str, str]:
    """Return the versions that this process runs."""
    return {
        "batchdot": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
