"""The machine and the versions of a run, as needed to compare results."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from batchdot import __version__
from batchdot.kernels import KERNELS

CPUINFO = Path("/proc/cpuinfo")


def describe_machine(device: str) -> dict[str, Any]:
    """Return properties of the machine by name."""
    machine = {
        **_processor(),
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
    """Return the versions in this process."""
    return {
        "batchdot": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> dict[str, Any]:
    """Return the name of the processor and, on x86, the numbers that its vendor tells generations by."""
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    lines = (line.partition(":") for line in text.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    processor = {"processor": fields.get("model name", platform.machine())}
    if "cpu family" not in fields:
        return processor
    return processor | {"family": int(fields["cpu family"]), "model": int(fields["model"])}
