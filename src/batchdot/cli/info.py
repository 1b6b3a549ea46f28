"""`batchdot info`: versions, devices and kernels, for a user or a bug report."""

import platform

import numpy
import torch

from batchdot import __version__
from batchdot.kernels import KERNELS, Kernel


def describe() -> str:
    """Return versions, devices, each kernel with why it is unavailable, and what each does not support.

    >>> print(describe().splitlines()[0])
    versions
    """
    versions = {
        "batchdot": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    sections = {"versions": versions, "devices": _devices(), "kernels, in order of preference": _kernels()}
    width = max(len(name) for table in sections.values() for name in table)
    lines: list[str] = []
    for title, table in sections.items():
        lines += [title, *(f"  {name:<{width}}  {value}" for name, value in table.items()), ""]
    for kernel in KERNELS:
        if not kernel.unavailable_reasons() and (limitations := kernel.limitations()):
            lines += [f"{kernel.name} leaves to the next kernel", *(f"  {text}" for text in limitations), ""]
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
