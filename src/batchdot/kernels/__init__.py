"""Kernels, in order of preference. See README.md in this folder for what a kernel is."""

from dataclasses import replace

from batchdot.kernels._aten import AtenKernel
from batchdot.kernels._base import Kernel
from batchdot.lowering import Plan

__all__ = ["KERNELS", "Kernel", "choose"]

KERNELS: tuple[Kernel, ...] = (AtenKernel(),)


def choose(plan: Plan) -> Plan:
    """Return the plan with the first kernel that has no reason against it."""
    for kernel in KERNELS:
        if not kernel.why_not(plan):
            return replace(plan, kernel=kernel.name, run=kernel.build(plan))
    raise AssertionError("ATen runs every plan")
