"""Kernels, in order of preference. See README.md in this folder for what a kernel is."""

from batchdot.kernels.aten.kernel import AtenKernel
from batchdot.kernels.base import Kernel
from batchdot.kernels.cpu.kernel import NativeKernel
from batchdot.planning.plan import Plan

__all__ = ["AVAILABLE", "KERNELS", "Kernel", "choose"]

KERNELS: tuple[Kernel, ...] = (NativeKernel(), AtenKernel())


AVAILABLE = tuple(kernel for kernel in KERNELS if not kernel.unavailable())


def choose(plan: Plan) -> Plan:
    """Return the plan as the first kernel runs it that has no reason against it."""
    for kernel in AVAILABLE:
        if not kernel.why_not(plan):
            return kernel.build(plan)
    raise AssertionError("ATen runs every plan")
