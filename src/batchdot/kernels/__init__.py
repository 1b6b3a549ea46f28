"""Kernels: the implementations that run plans, in order of preference. README.md here is their contract."""

from batchdot.kernels.aten.kernel import AtenKernel
from batchdot.kernels.base import Kernel
from batchdot.kernels.cpu.kernel import NativeKernel
from batchdot.kernels.triton.kernel import TritonKernel
from batchdot.planning.plan import Executable, Plan

__all__ = ["AVAILABLE", "KERNELS", "Kernel", "select_kernel"]

KERNELS: tuple[Kernel, ...] = (NativeKernel(), TritonKernel(), AtenKernel())
"""All kernels, the preferred one first; the last supports every plan."""

AVAILABLE = tuple(kernel for kernel in KERNELS if not kernel.unavailable_reasons())
"""The kernels that work on this machine."""


def select_kernel(plan: Plan) -> Executable:
    """Build a plan with the first available kernel that supports it."""
    for kernel in AVAILABLE:
        if not kernel.not_supported_reasons(plan):
            return kernel.build(plan)
    raise AssertionError("ATen runs every plan")
