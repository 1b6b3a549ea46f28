"""The ATen kernel: PyTorch's own operators. It runs every plan and is the definition of each.

Built of differentiable operators alone, so that autograd, forward mode, vmap, torch.compile and
torch.export take it as they take any PyTorch code.
"""

from dataclasses import replace

import torch
from torch import Tensor

from batchdot.kernels.aten.normalize import clamp_cosine, l2_normalize, row_cosine
from batchdot.planning.lowering import BLOCK_BYTES
from batchdot.planning.plan import VECDOT, Executable, Plan, Run, with_output, with_views


class AtenKernel:
    """PyTorch's own operators."""

    name = "aten"

    def unavailable_reasons(self) -> list[str]:
        """List no reason: ATen is always there."""
        return []

    def describe(self) -> str:
        """Return nothing: there is nothing to know."""
        return ""

    def limitations(self) -> list[str]:
        """Return no limitation: ATen runs every plan."""
        return []

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """List no reason: ATen runs every plan."""
        return []

    def build(self, plan: Plan) -> Executable:
        """Return the plan with the function that runs it."""
        plan = replace(plan, kernel=self.name)
        if plan.label != VECDOT:
            run, fast = _run_matrices(plan)
            return Executable(plan, run, fast=(fast, ()))
        core = _row_product(plan) if plan.epsilon is None else _row_cosine(plan)
        return Executable(plan, _run_rows(plan, core))


def _row_product(plan: Plan) -> Run:
    """Multiply, then sum over the contracted axes, which stay with size 1."""
    dims, dtype, compute = plan.dims, plan.dtype, plan.compute_dtype
    if dtype == compute and (dtype.is_floating_point or dtype.is_complex):
        return lambda x, y: (x * y).sum(dims, True)
    # An integer sum would be int64; a 16-bit one is kept in float32 and rounded once.
    return lambda x, y: (x * y).sum(dims, True, dtype=compute).to(dtype)


def _row_cosine(plan: Plan) -> Run:
    dims, dtype, wide, epsilon = plan.dims, plan.dtype, plan.norm_dtype, plan.epsilon
    assert epsilon is not None
    return lambda x, y: row_cosine(x, y, dims, epsilon, dtype, wide, exact=not plan.traced)


def _run_rows(plan: Plan, core: Run) -> Run:
    """Put the views before what is computed on rows, and the shape of the result behind it."""
    shape, rows = plan.output_shape, plan.block_size
    if rows is not None:
        view_x, view_y = plan.x.compile(), plan.y.compile()

        def run_in_blocks(x: Tensor, y: Tensor) -> Tensor:
            blocks = zip(torch.split(view_x(x), rows), torch.split(view_y(y), rows), strict=True)
            return torch.cat([core(x_block, y_block) for x_block, y_block in blocks]).reshape(shape)

        return run_in_blocks
    kept = tuple(1 if axis in plan.dims else size for axis, size in enumerate(plan.contraction.x_shape))
    fits = plan.x.identity and plan.y.identity and not plan.traced and kept == shape
    return with_output(with_views(core, plan.x, plan.y), None, None if fits else shape)


def _run_matrices(plan: Plan) -> tuple[Run, Run]:
    """Multiply matrices sample by sample: views before, the dtype and shape of the result behind.

    The second function is for where autocast is off, which decides on the dtype of a product.
    """
    x_shape, y_shape = plan.x.shape(plan.contraction.x_shape), plan.y.shape(plan.contraction.y_shape)
    left, right = (y_shape, x_shape) if plan.swapped else (x_shape, y_shape)
    multiply = _multiplication(plan) if plan.epsilon is None else _cosine_matrix(plan, _multiplication(plan))
    product = with_views(multiply, plan.x, plan.y, plan.swapped)
    shape = None if (*left[:-1], right[-1]) == plan.output_shape else plan.output_shape
    dtype = None if plan.compute_dtype == plan.dtype else plan.dtype
    return with_output(product, plan.dtype, shape), with_output(product, dtype, shape)


def _cosine_matrix(plan: Plan, multiply: Run) -> Run:
    epsilon, compute, wide = plan.epsilon, plan.compute_dtype, plan.norm_dtype
    assert epsilon is not None

    def run(left: Tensor, right: Tensor) -> Tensor:
        left = l2_normalize(left, -1, epsilon, compute, wide)
        right = l2_normalize(right, -2, epsilon, compute, wide)
        out = multiply(left, right)
        return out if compute.is_complex else clamp_cosine(out)

    return run


def _multiplication(plan: Plan) -> Run:
    integer = not (plan.compute_dtype.is_floating_point or plan.compute_dtype.is_complex)
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
