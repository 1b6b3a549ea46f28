"""The native kernel: rows of the CPU in one pass over memory, by the operators of csrc/.

It sums in float64 and further where rounding could show (csrc/sums.h), so that a product or a cosine
of rows is the exact one rounded once, whatever the threads, the batch or the strides.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from batchdot.kernels import _operators
from batchdot.kernels._aten import AtenKernel
from batchdot.kernels._normalize import bounded
from batchdot.plans import MATMUL, MATVEC, ROW, VECMAT, Plan, Run

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

ELSEWHERE = "the tensors are not on the CPU"
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
            WATCHED: plan.traced,
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
        x, y = (
            # ATen's casts are left out: the operators take every dtype, and sum in a wider one.
            replace(
                view, cast=None if operand.dtype == plan.dtype else plan.dtype, swap=view.swap is not turned
            )
            for view, operand, turned in (
                (plan.x, plan.x_is, plan.label == MATVEC),
                (plan.y, plan.y_is, plan.label in (VECMAT, MATMUL)),
            )
        )
        plan = replace(plan, kernel=self.name, x=x, y=y, rows=None)
        if plan.label == MATMUL:
            quick, options, differentiable = _cosine_matrix(plan)
        else:
            plan = replace(plan, compute=torch.float64)
            quick, options, differentiable = _rows(plan)

        def run(x: Tensor, y: Tensor) -> Tensor:
            if (
                x.requires_grad
                or y.requires_grad
                or forward_ad._current_level >= 0
                or _are_transforms_active()
            ):
                return run_watched(x, y)
            return quick(x, y, *options)

        def run_watched(x: Tensor, y: Tensor) -> Tensor:
            # Forward mode and torch.func differentiate the definition.
            if forward_ad._current_level >= 0 or _are_transforms_active():
                return by_aten(x, y)
            return differentiable(x, y) if torch.is_grad_enabled() else quick(x, y, *options)

        return replace(plan, run=run)


Call: TypeAlias = Callable[..., Tensor]


def _rows(plan: Plan) -> tuple[Call, tuple[Any, ...], Run]:
    """Return what takes a number for each row without derivatives, its options, and what has derivatives."""
    x_view, y_view, shape = plan.x, plan.y, plan.output_shape
    by_y = plan.label == VECMAT  # y has the rows, of which many meet one of x
    view, of = (y_view, plan.contraction.y_shape) if by_y else (x_view, plan.contraction.x_shape)
    rows = view.shape(of)[:-1]
    keepdim = (*rows, 1) == shape
    options: tuple[Any, ...]
    differentiable: Any
    if plan.epsilon is None:
        operator, differentiable, options = torch.ops.batchdot.row_product, _operators.RowProduct, (keepdim,)
    else:
        operator, differentiable = torch.ops.batchdot.row_cosine, _operators.RowCosine
        options = (plan.epsilon, keepdim)
    values: Call = operator.values._op  # OpOverload.__call__ without its own 0.3 µs

    fits = keepdim or rows == shape

    def between(function: Call) -> Run:
        if by_y:
            run: Run = lambda x, y: function(y_view(y), x_view(x), *options)  # noqa: E731
        else:
            run = lambda x, y: function(x_view(x), y_view(y), *options)  # noqa: E731
        return run if fits else lambda x, y: run(x, y).reshape(shape)

    if not by_y and x_view.identity and y_view.identity and fits:
        return values, options, lambda x, y: differentiable.apply(x, y, *options)
    return between(values), (), between(differentiable.apply)


def _cosine_matrix(plan: Plan) -> tuple[Call, tuple[Any, ...], Run]:
    """Normalize the rows of both, multiply the matrices, and see to it that rounding passes no bound."""
    x_view, y_view, shape, epsilon, dtype = plan.x, plan.y, plan.output_shape, plan.epsilon, plan.dtype
    multiply = torch.bmm if plan.contraction.shared else torch.mm
    values: Call = torch.ops.batchdot.row_unit.values._op
    unit: Call = _operators.RowUnit.apply

    def quick(x: Tensor, y: Tensor) -> Tensor:
        out = multiply(values(x_view(x), epsilon), values(y_view(y), epsilon).mT)
        return out.clamp_(-1, 1).to(dtype).reshape(shape)  # autocast may have multiplied in a narrower dtype

    def differentiable(x: Tensor, y: Tensor) -> Tensor:
        out = multiply(unit(x_view(x), epsilon), unit(y_view(y), epsilon).mT)
        return bounded(out).to(dtype).reshape(shape)

    return quick, (), differentiable


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
