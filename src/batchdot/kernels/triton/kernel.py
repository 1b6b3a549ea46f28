"""The Triton kernel: what it runs, and why not.

Rows of floats, cosine matrices and products of integers on CUDA devices. Triton compiles the kernels when
they are first called; PyTorch's CUDA builds for Linux bring it along. Nothing here imports it before the
first plan for a CUDA device: that takes 0.1 s and more.

Values are tested without a GPU, by Triton's interpreter, and machine code is compiled and inspected there;
the kernels were never run on one. So they are used only where ``BATCHDOT_KERNELS`` names them, and only on
devices where they pass `batchdot.kernels.triton.self_test`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch

from batchdot._torch import are_transforms_active
from batchdot.kernels import operator_plans, operators
from batchdot.kernels.aten.kernel import AtenKernel, build_matmul
from batchdot.kernels.operator_plans import (
    DTYPE_NAMES,
    DTYPES,
    contracts_last_axis,
    has_contiguous_rows,
    has_float_inputs,
)
from batchdot.planning.plan import MATMUL, MATVEC, VECDOT, VECMAT, Executable, Plan

DEVICE = "cuda"
"""The type of the devices that it runs on, and the dispatch key of its operators; AMD's have it too."""

INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
"""Dtypes of integers in which products of matrices are formed; `planning` has wider ones for the others."""


def _is_integer_matmul(plan: Plan) -> bool:
    return plan.epsilon is None and plan.label != VECDOT and plan.compute_dtype in INTEGERS


NOT_SUPPORTED: dict[str, Callable[[Plan], bool]] = {
    "tensors that are not on a CUDA device": lambda plan: plan.device != DEVICE,
    "traced calls and Tensor subclasses, which need ATen's operators": lambda plan: (
        plan.traced and not plan.compiled
    ),
    "calls under torch.compile: ATen's operators fuse with the code around them": lambda plan: plan.compiled,
    f"results that are neither {DTYPE_NAMES} nor products of matrices of integers": lambda plan: (
        plan.dtype not in DTYPES and not _is_integer_matmul(plan)
    ),
    "inputs that are not floating-point": lambda plan: plan.dtype in DTYPES and not has_float_inputs(plan),
    "products of matrices of floats: PyTorch calls an optimized BLAS": lambda plan: (
        plan.epsilon is None and plan.label == MATMUL and plan.dtype in DTYPES
    ),
    "rows whose contracted axes are not one last axis": lambda plan: (
        plan.label == VECDOT and not contracts_last_axis(plan)
    ),
    "matrices times vectors where the contracted axis of the matrices is not contiguous: bmm reads them so": (
        lambda plan: (
            plan.epsilon is None
            and plan.label in (MATVEC, VECMAT)
            and plan.dtype in DTYPES
            and not has_contiguous_rows(plan)
        )
    ),
}
"""Tests of plans that the kernel does not support, by the reason that users read."""

NOT_IMPORTED = "whatever it is, where the installed triton cannot be imported"


class TritonKernel:
    """Rows, cosine matrices and products of integers on CUDA devices, in Triton."""

    name = "triton"

    def unavailable_reasons(self) -> list[str]:
        """Return why it cannot be used."""
        names = os.environ.get("BATCHDOT_KERNELS", "")
        if not names:
            return ["not asked for: BATCHDOT_KERNELS=native,triton does"]
        if self.name not in names.split(","):
            return [f"turned off by BATCHDOT_KERNELS={names}"]
        if find_spec("triton") is None:
            return ["triton is not installed: PyTorch's CUDA builds for Linux bring it along"]
        if torch.cuda.device_count() == 0:  # which, unlike is_available, leaves CUDA to forked processes
            return ["torch sees no CUDA device"]
        return []

    def describe(self) -> str:
        """Return the version of triton, and for each device whether the kernels passed their check there."""
        if reason := prepare():
            return reason
        self_test = import_module("batchdot.kernels.triton.self_test")
        implementations = import_module("batchdot.kernels.triton.register").IMPLEMENTATIONS
        devices = [torch.device(DEVICE, index) for index in range(torch.cuda.device_count())]
        checks = [f"{device} {self_test.describe(implementations, device)}" for device in devices]
        return ", ".join([f"triton {import_module('triton').__version__}", *checks])

    def limitations(self) -> list[str]:
        """Return every reason that `not_supported_reasons` can give."""
        return [*NOT_SUPPORTED, NOT_IMPORTED]

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """Return why it does not run this plan."""
        reasons = [reason for reason, applies in NOT_SUPPORTED.items() if applies(plan)]
        return [NOT_IMPORTED] if not reasons and prepare() else reasons

    def build(self, plan: Plan) -> Executable:
        """Return the plan with rows as views of its inputs: both (..., I, K), or (..., J, K) of y."""
        prepare()
        if plan.dtype in DTYPES:
            return operator_plans.build(plan, self.name, None)
        return _build_integer_matmul(plan)


@cache
def prepare() -> str:
    """Import triton and register the kernels, once; return why that failed, an empty string if it did not."""
    operators.define()
    try:
        import_module("batchdot.kernels.triton.register").register(DEVICE)
    except Exception as error:  # whatever a broken or an unknown triton raises
        return f"not imported: {error.__class__.__name__}: {error}"
    return ""


def _build_integer_matmul(plan: Plan) -> Executable:
    """Return a product of matrices of integers, for which cuBLAS has none."""
    run_aten = AtenKernel().build(plan).run
    multiply = import_module("batchdot.kernels.triton.matrix_operators").integer_matmul
    run_triton, _ = build_matmul(plan, multiply)

    def run(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return run_aten(x, y) if are_transforms_active() else run_triton(x, y)

    return Executable(replace(plan, kernel=TritonKernel.name), run, fast=(run_triton, ()))
