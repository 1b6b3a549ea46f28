"""Info: versions, devices and kernels, for a person or for a bug report."""

import platform

import numpy
import torch

from batchdot import __version__
from batchdot.kernels import KERNELS, Kernel


def describe() -> str:
    """Return the versions that run, the devices they see, and each kernel with what keeps it away.

    >>> print(describe().splitlines()[0])
    versions
    """
    versions = {
        "batchdot": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    sections = {"versions": versions, "devices": _devices(), "kernels, the first that can runs": _kernels()}
    width = max(len(name) for table in sections.values() for name in table)
    lines: list[str] = []
    for title, table in sections.items():
        lines += [title, *(f"  {name:<{width}}  {value}" for name, value in table.items()), ""]
    return "\n".join(lines[:-1])


def _devices() -> dict[str, str]:
    threads = torch.get_num_threads()
    capability = torch.backends.cpu.get_cpu_capability()
    devices = {"cpu": f"{threads} thread{'s' * (threads != 1)}, {capability}", "cuda": "none", "mps": "none"}
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        devices["cuda"] = ", ".join(names)
    if torch.backends.mps.is_available():
        devices["mps"] = "available"
    return devices


def _kernels() -> dict[str, str]:
    return {kernel.name: "; ".join(kernel.unavailable_reasons()) or _available(kernel) for kernel in KERNELS}


def _available(kernel: Kernel) -> str:
    detail = kernel.describe()
    return f"available, {detail}" if detail else "available"
