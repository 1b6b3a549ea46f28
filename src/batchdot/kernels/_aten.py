"""The ATen kernel: PyTorch's own operators. It runs every plan and is the definition of each.

Built of differentiable operators alone, so that autograd, forward mode, vmap, torch.compile and
torch.export take it as they take any PyTorch code.
"""

from dataclasses import replace

import torch
from torch import Tensor

from batchdot.kernels._normalize import bounded, row_cosine, unit
from batchdot.lowering import BLOCK_BYTES
from batchdot.plans import ROW, Plan, Run


class AtenKernel:
    """PyTorch's own operators."""

    name = "aten"

    def unavailable(self) -> list[str]:
        """List no reason: ATen is always there."""
        return []

    def detail(self) -> str:
        """Return nothing: there is nothing to know."""
        return ""

    def why_not(self, plan: Plan) -> list[str]:
        """List no reason: ATen runs every plan."""
        return []

    def build(self, plan: Plan) -> Plan:
        """Return the plan with the function that runs it."""
        if plan.label != ROW:
            run = _run_matrices(plan)
        else:
            run = _run_rows(plan, _row_product(plan) if plan.epsilon is None else _row_cosine(plan))
        return replace(plan, kernel=self.name, run=run)


def _row_product(plan: Plan) -> Run:
    """Multiply, then sum over the contracted axes, which stay with size 1."""
    dims, dtype, compute = plan.dims, plan.dtype, plan.compute
    if dtype == compute and (dtype.is_floating_point or dtype.is_complex):
        return lambda x, y: (x * y).sum(dims, True)
    # An integer sum would be int64; a 16-bit one is kept in float32 and rounded once.
    return lambda x, y: (x * y).sum(dims, True, dtype=compute).to(dtype)


def _row_cosine(plan: Plan) -> Run:
    dims, dtype, wide, epsilon = plan.dims, plan.dtype, plan.wide, plan.epsilon
    assert epsilon is not None
    return lambda x, y: row_cosine(x, y, dims, epsilon, dtype, wide, exact=not plan.traced)


def _run_rows(plan: Plan, core: Run) -> Run:
    """Put the views before what is computed on rows, and the shape of the result behind it."""
    view_x, view_y, shape, rows = plan.x, plan.y, plan.output_shape, plan.rows
    if rows is not None:

        def run_in_blocks(x: Tensor, y: Tensor) -> Tensor:
            blocks = zip(torch.split(view_x(x), rows), torch.split(view_y(y), rows), strict=True)
            return torch.cat([core(x_block, y_block) for x_block, y_block in blocks]).reshape(shape)

        return run_in_blocks
    kept = tuple(1 if axis in plan.dims else size for axis, size in enumerate(plan.contraction.x_shape))
    if view_x.identity and view_y.identity and not plan.traced and kept == shape:
        return core
    return lambda x, y: core(view_x(x), view_y(y)).reshape(shape)


def _run_matrices(plan: Plan) -> Run:
    """Multiply matrices sample by sample: views before, the shape of the result behind."""
    first, second = (plan.y, plan.x) if plan.swapped else (plan.x, plan.y)
    swapped, shape, epsilon = plan.swapped, plan.output_shape, plan.epsilon
    dtype, compute = plan.dtype, plan.compute
    multiply = _multiplication(plan)

    def run(x: Tensor, y: Tensor) -> Tensor:
        left, right = (first(y), second(x)) if swapped else (first(x), second(y))
        if epsilon is not None:
            left = unit(left, -1, epsilon, compute, plan.wide)
            right = unit(right, -2, epsilon, compute, plan.wide)
        out = multiply(left, right)
        if epsilon is not None and not dtype.is_complex:
            out = bounded(out)
        if out.dtype != dtype:
            out = out.to(dtype)
        return out if out.shape == shape else out.reshape(shape)

    return run


def _multiplication(plan: Plan) -> Run:
    integer = not (plan.compute.is_floating_point or plan.compute.is_complex)
    if integer and plan.device not in ("cpu", "meta"):
        return _multiply_integers
    return torch.bmm if plan.contraction.shared else torch.mm


def _multiply_integers(left: Tensor, right: Tensor) -> Tensor:
    """Multiply integer matrices where PyTorch has no matrix product for them, as on CUDA.

    Products are formed for as many of the contracted indices at a time as `BLOCK_BYTES` holds.
    """
    out = left.new_zeros((*left.shape[:-1], right.shape[-1]))
    step = max(1, BLOCK_BYTES // max(1, out.nbytes))
    for start in range(0, left.shape[-1], step):
        block = slice(start, start + step)
        products = left[..., block].unsqueeze(-1) * right[..., block, :].unsqueeze(-3)
        out = out + products.sum(-2, dtype=out.dtype)
    return out
