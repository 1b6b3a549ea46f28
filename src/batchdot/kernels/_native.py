"""The native kernel: rows of the CPU in one pass over memory, by the operators of csrc/.

It sums in float64, and in more digits where rounding errors could show, so that a product or a cosine of
rows is within 0.51 ulp of the exact one (docs/numerics.md), with bits that do not depend on threads, batch
or strides.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from batchdot.kernels import _operators
from batchdot.kernels._aten import AtenKernel
from batchdot.plans import MATMUL, MATVEC, ROW, VECMAT, Plan, Run, finishing, looking

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

ELSEWHERE = "the tensors are not on the CPU"
FUSED = "products are torch.compile's, which fuses them with what is around them"
WATCHED = "the call is traced, or of a subclass of Tensor, and who watches sees PyTorch's operators"
NUMBERS = "rows of one number, and many of them, are quicker multiplied at once"
APART = "the rows of the matrices are far apart in memory, which their product minds less"

# Of 1,000,000 rows of one number a product took 5.2 ms, and PyTorch's, whose bits are the same, 1.0 ms; of
# 250,000 rows of 4, 1.6 and 1.9 ms. A call of PyTorch's two operators costs 1.5 µs more.
FEW_ROWS = 512

_are_transforms_active = torch._C._are_functorch_transforms_active


class NativeKernel:
    """Rows of the CPU, in C++."""

    name = "native"

    def unavailable(self) -> list[str]:
        """List why the library is not there."""
        return _operators.why_not_loaded()

    def detail(self) -> str:
        """Return the instruction set it uses on this machine."""
        return f"{_operators.instructions()} instructions"

    def why_not(self, plan: Plan) -> list[str]:
        """List why a plan is not one for rows of the CPU that are called eagerly."""
        product = plan.epsilon is None
        floats = all(operand.dtype.is_floating_point for operand in (plan.x_is, plan.y_is))
        last = plan.dims in ((-1,), (len(plan.contraction.x_shape) - 1,))
        reasons = {
            ELSEWHERE: plan.device != "cpu",
            WATCHED: plan.traced and not plan.compiled,
            FUSED: plan.compiled and product,
            f"no {str(plan.dtype).removeprefix('torch.')}": plan.dtype not in DTYPES,
            "an input is not of floats": plan.dtype in DTYPES and not floats,
            "matrices are PyTorch's to multiply": product and plan.label == MATMUL,
            "the summed axes are not one last axis": plan.label == ROW and not last,
            NUMBERS: product and plan.label == ROW and _are_numbers(plan),
            APART: product and plan.label in (MATVEC, VECMAT) and not _have_rows(plan),
        }
        return [reason for reason, holds in reasons.items() if holds]

    def build(self, plan: Plan) -> Plan:
        """Return the plan with its inputs looked at as rows, and with the function that runs it."""
        by_aten = AtenKernel().build(plan).run
        # The operators take every dtype, and sum in a wider one. Only products of matrices have theirs, and
        # those of float16 rows soon overflow it.
        matrices = plan.label == MATMUL
        dtype = torch.float32 if matrices and plan.dtype == torch.float16 else plan.dtype
        x, y = (
            replace(view, cast=None if operand.dtype == dtype else dtype, swap=view.swap is not turned)
            for view, operand, turned in (
                (plan.x, plan.x_is, plan.label == MATVEC),
                (plan.y, plan.y_is, plan.label in (VECMAT, MATMUL)),
            )
        )
        plan = replace(
            plan,
            kernel=self.name,
            x=x,
            y=y,
            rows=None,
            compute=dtype if matrices else torch.float64,
            # Casts, copies and products of matrices are torch's, by all its threads.
            alone=None if matrices or x.cast or y.cast or plan.copies else _operators.compute_alone,
        )
        quick, options, differentiable = _calls(plan)

        def run(x: Tensor, y: Tensor) -> Tensor:
            # Forward mode and torch.func differentiate the definition.
            if forward_ad._current_level >= 0 or _are_transforms_active():
                return by_aten(x, y)
            if (x.requires_grad or y.requires_grad) and torch.is_grad_enabled():
                return differentiable(x, y)
            return quick(x, y, *options)

        return replace(plan, run=run, quick=(quick, options))


Call: TypeAlias = Callable[..., Tensor]


def _calls(plan: Plan) -> tuple[Call, tuple[Any, ...], Run]:
    """Return what runs a plan without derivatives, its options, and what has derivatives."""
    x_shape, y_shape = plan.x.shape(plan.contraction.x_shape), plan.y.shape(plan.contraction.y_shape)
    turned = plan.label == VECMAT  # y has the rows, of which many meet one of x
    if turned:
        x_shape, y_shape = y_shape, x_shape
    options: tuple[Any, ...]
    if plan.label == MATMUL:
        name, found, options = "cosine_matrix", (*x_shape[:-1], y_shape[-2]), (plan.epsilon,)
    else:
        keepdim = (*x_shape[:-1], 1) == plan.output_shape
        found = (*x_shape[:-1], 1) if keepdim else x_shape[:-1]
        name, options = "row_product", (keepdim,)
        if plan.epsilon is not None:
            name, options = "row_cosine", (plan.epsilon, keepdim)
    values: Call = getattr(torch.ops.batchdot, name).values._op  # OpOverload.__call__ without its own 0.3 µs
    # What apply itself asks in Python, 2 µs, whether a transform is active, was asked before.
    apply: Call = super(Function, _operators.RULES[name]).apply

    dtype = plan.dtype if plan.label == MATMUL and plan.compute != plan.dtype else None
    shape = plan.output_shape if found != plan.output_shape else None

    def between(function: Call) -> Run:
        return finishing(looking(function, plan.x, plan.y, turned, options), dtype, shape)

    if not turned and plan.x.identity and plan.y.identity and dtype is None and shape is None:
        return values, options, between(apply)
    return between(values), (), between(apply)


def _are_numbers(plan: Plan) -> bool:
    """Whether the rows are single numbers, and many of them."""
    c = plan.contraction
    if plan.traced or any(c.x_shape[x] != 1 for x, _ in c.contracted):
        return False
    return prod(size or 0 for size in c.x_shape) > FEW_ROWS


def _have_rows(plan: Plan) -> bool:
    """Whether the elements of a row of the matrices touch."""
    operand, shape, side = plan.x_is, plan.contraction.x_shape, 0
    if plan.label == VECMAT:
        operand, shape, side = plan.y_is, plan.contraction.y_shape, 1
    axes = [pair[side] for pair in plan.contraction.contracted if shape[pair[side]] != 1]
    return operand.strides is None or min((operand.strides[axis] for axis in axes), default=1) == 1
