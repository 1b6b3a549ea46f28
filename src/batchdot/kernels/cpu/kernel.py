"""The native kernel: products and cosines of rows on the CPU, in one pass over memory, in C++ (csrc/).

Row products and row cosines are summed in float64, with error bounds, and more exactly where rounding
could show; some products of bfloat16 in float32, where that is seen to give the same bits. The result is
within 0.51 ulp of the exact value, and its bits do not depend on the number of threads, the batch size or
the strides. A cosine matrix is a product by ATen of rows that the C++ code normalizes: it has the rounding
errors of a matrix product, and no such bound.
"""

from collections.abc import Callable
from math import prod

from batchdot.kernels import operator_plans
from batchdot.kernels.cpu import library
from batchdot.kernels.operator_plans import (
    DTYPE_NAMES,
    DTYPES,
    contracts_last_axis,
    has_contiguous_rows,
    has_float_inputs,
)
from batchdot.planning.plan import MATMUL, MATVEC, VECDOT, VECMAT, Executable, Plan

# A product of rows of one element is the product of the tensors: PyTorch's operator is at the rate of memory,
# the native kernel takes 1.4 times as long (4,000,000 rows, AMD EPYC). Calls of PyTorch's two operators take
# 1.5 µs more.
FEW_ROWS = 512


def _has_single_element_rows(plan: Plan) -> bool:
    """Whether K is 1 and there are more than `FEW_ROWS` rows."""
    c = plan.contraction
    if plan.traced or any(c.x_shape[x] != 1 for x, _ in c.contracted):
        return False
    return prod(size or 0 for size in c.x_shape) > FEW_ROWS


# Of (16, 10, 1152), (16, 10, 1152, 16) in bfloat16, bmm converts every number by itself and takes 2.8 times
# as long as a loop by torch.compile; in float32 it is at the rate of memory.
NOT_SUPPORTED: dict[str, Callable[[Plan], bool]] = {
    "tensors that are not on the CPU": lambda plan: plan.device != "cpu",
    "traced calls and Tensor subclasses, which need ATen's operators": lambda plan: (
        plan.traced and not plan.compiled
    ),
    "products under torch.compile: ATen's operators fuse with the code around them": lambda plan: (
        plan.compiled and plan.epsilon is None
    ),
    f"results that are not {DTYPE_NAMES}": lambda plan: plan.dtype not in DTYPES,
    "inputs that are not floating-point": lambda plan: plan.dtype in DTYPES and not has_float_inputs(plan),
    "products of matrices: PyTorch calls an optimized BLAS": lambda plan: (
        plan.epsilon is None and plan.label == MATMUL
    ),
    "rows whose contracted axes are not one last axis": lambda plan: (
        plan.label == VECDOT and not contracts_last_axis(plan)
    ),
    f"more than {FEW_ROWS} rows of one element: elementwise multiplication is faster": lambda plan: (
        plan.epsilon is None and plan.label == VECDOT and _has_single_element_rows(plan)
    ),
    "matrices of wide numbers times vectors along an axis that is not contiguous: bmm is faster": (
        lambda plan: (
            plan.epsilon is None
            and plan.label in (MATVEC, VECMAT)
            and plan.dtype.itemsize > 2
            and not has_contiguous_rows(plan)
        )
    ),
}
"""Tests of plans that the kernel does not support, by the reason that users read."""


class NativeKernel:
    """Products and cosines of rows on the CPU, in C++."""

    name = "native"

    def unavailable_reasons(self) -> list[str]:
        """Return why the library cannot be loaded."""
        return library.unavailable_reasons()

    def describe(self) -> str:
        """Return the instruction set that it uses on this machine."""
        return f"{library.instructions()} instructions"

    def limitations(self) -> list[str]:
        """Return every reason that `not_supported_reasons` can give."""
        return list(NOT_SUPPORTED)

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """Return why it does not run this plan."""
        return [reason for reason, applies in NOT_SUPPORTED.items() if applies(plan)]

    def build(self, plan: Plan) -> Executable:
        """Return the plan with rows as views of its inputs: both (..., I, K), or (..., J, K) of y."""
        return operator_plans.build(plan, self.name, library.set_single_threaded)
