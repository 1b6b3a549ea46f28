"""The ATen kernel: PyTorch's own operators. It runs every plan, and defines what each plan computes.

It calls differentiable operators only, so autograd, forward mode, vmap, torch.compile and torch.export treat
it as any PyTorch code.

Letters for sizes: B shared (batch), I free in x, J free in y, K contracted. "K..." is several axes.
"""

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from batchdot._torch import are_transforms_active, in_forward_mode
from batchdot.kernels.aten.normalize import clamp_cosine, l2_normalize, row_cosine, saturating_cast
from batchdot.planning.lowering import block_bytes
from batchdot.planning.plan import VECDOT, Executable, Plan, Run, with_output, with_views


class AtenKernel:
    """PyTorch's own operators."""

    name = "aten"

    def unavailable_reasons(self) -> list[str]:
        """Return no reason: ATen is part of PyTorch."""
        return []

    def describe(self) -> str:
        """Return an empty string."""
        return ""

    def limitations(self) -> list[str]:
        """Return no limitation: ATen runs every plan."""
        return []

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """Return no reason: ATen runs every plan."""
        return []

    def build(self, plan: Plan) -> Executable:
        """Return the plan with the functions that run it."""
        plan = replace(plan, kernel=self.name)
        if plan.label != VECDOT:
            run, fast = build_matmul(plan, _matmul(plan))
            return Executable(plan, run, fast=(fast, ()))
        core = _row_product(plan) if plan.epsilon is None else _row_cosine(plan)
        return Executable(plan, _build_vecdot(plan, core))


def _row_product(plan: Plan) -> Run:
    """Return x (B..., K...), y (B..., K...) -> (B..., 1...): contracted axes are kept with size 1."""
    dims, dtype, compute_dtype = plan.dims, plan.dtype, plan.compute_dtype
    if dtype == compute_dtype and (dtype.is_floating_point or dtype.is_complex):
        return lambda x, y: (x * y).sum(dims, True)
    # sum() of int32 would return int64. 16-bit floats are summed in float32 and rounded at the end.
    return lambda x, y: (x * y).sum(dims, True, dtype=compute_dtype).to(dtype)


def _row_cosine(plan: Plan) -> Run:
    """Return x (B..., K...), y (B..., K...) -> (B..., 1...): contracted axes are kept with size 1."""
    dims, dtype, norm_dtype, epsilon = plan.dims, plan.dtype, plan.norm_dtype, plan.epsilon
    assert epsilon is not None
    return lambda x, y: row_cosine(x, y, dims, epsilon, dtype, norm_dtype, exact=not plan.traced)


def _build_vecdot(plan: Plan, core: Run) -> Run:
    """Return a function of x and y as the user passed them, which may run ``core`` block by block."""
    shape, block_size = plan.output_shape, plan.block_size
    if block_size is not None:
        view_x, view_y = plan.x.compile(), plan.y.compile()

        def run_in_blocks(x: Tensor, y: Tensor) -> Tensor:
            x_blocks = torch.split(view_x(x), block_size)
            y_blocks = torch.split(view_y(y), block_size)
            out = [core(*blocks) for blocks in zip(x_blocks, y_blocks, strict=True)]
            return torch.cat(out).reshape(shape)

        return run_in_blocks
    keepdim_shape = tuple(
        1 if axis in plan.dims else size for axis, size in enumerate(plan.contraction.x_shape)
    )
    # (B, K) -> (B, 1) is the result as it is.
    fits = plan.x.identity and plan.y.identity and not plan.traced and keepdim_shape == shape
    return with_output(with_views(core, plan.x, plan.y), None, None if fits else shape)


def build_matmul(plan: Plan, multiply: Run) -> tuple[Run, Run]:
    """Return two functions of x and y as the user passed them; the second one is for autocast off.

    ``multiply`` is the product of matrices: (B, I, K), (B, K, J), or both without B, to (B, I, J).
    Autocast chooses the dtype of a matrix product, so only the first one has to cast its result always.
    """
    x_shape, y_shape = plan.x.shape(plan.contraction.x_shape), plan.y.shape(plan.contraction.y_shape)
    # (B, I, K), (B, K, J); or, of a MATVEC, (B, 1, K), (B, K, I).
    left, right = (y_shape, x_shape) if plan.swapped else (x_shape, y_shape)
    multiply = multiply if plan.epsilon is None else _cosine_matrix(plan, multiply)
    product = with_views(multiply, plan.x, plan.y, plan.swapped)
    shape = None if (*left[:-1], right[-1]) == plan.output_shape else plan.output_shape
    dtype = None if plan.compute_dtype == plan.dtype else plan.dtype
    return with_output(product, plan.dtype, shape), with_output(product, dtype, shape)


def _cosine_matrix(plan: Plan, multiply: Run) -> Run:
    """Return left (B, I, K), right (B, K, J) -> (B, I, J): normalize the slices along K, then multiply."""
    epsilon, compute_dtype, norm_dtype = plan.epsilon, plan.compute_dtype, plan.norm_dtype
    dtype = plan.dtype
    assert epsilon is not None

    def run(left: Tensor, right: Tensor) -> Tensor:
        compute = compute_dtype
        if compute == torch.float16 and (are_transforms_active() or in_forward_mode(left, right)):
            compute = torch.float32  # tangents of unit vectors are up to 1 / sqrt(epsilon), beyond float16
        left = l2_normalize(left, -1, epsilon, compute, norm_dtype)
        right = l2_normalize(right, -2, epsilon, compute, norm_dtype)
        out = multiply(left, right)
        return out if compute_dtype.is_complex else saturating_cast(clamp_cosine(out), dtype)

    return run


def _matmul(plan: Plan) -> Run:
    """Return the matrix product of the compute dtype: (B, I, K), (B, K, J), or without B."""
    integer = not (plan.compute_dtype.is_floating_point or plan.compute_dtype.is_complex)
    if integer and plan.device not in ("cpu", "meta"):
        return _narrow_integer_matmul if _has_narrow_integers(plan) else _integer_matmul
    return torch.bmm if plan.contraction.shared else torch.mm


def _has_narrow_integers(plan: Plan) -> bool:
    """Whether float64 holds every sum: below 2^21 products of at most 2^32, on a device that has float64."""
    if plan.traced or plan.device == "mps":
        return False
    c = plan.contraction
    size = prod(c.x_shape[axis] for axis, _ in c.contracted)  # type: ignore[misc]  # known by now
    return size < 1 << 21 and max(plan.x_meta.dtype.itemsize, plan.y_meta.dtype.itemsize) <= 2


def _narrow_integer_matmul(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices of integers of at most 16 bits by the product of float64 matrices, which is exact.

    (B, I, K), (B, K, J) -> (B, I, J), or without B. Through int64, so that sums wrap as integers do.
    """
    return torch.matmul(left.double(), right.double()).to(torch.int64).to(left.dtype)


def _integer_matmul(left: Tensor, right: Tensor) -> Tensor:
    """Multiply integer matrices where PyTorch has no operator for them, as on CUDA.

    (B, I, K), (B, K, J) -> (B, I, J), or without B. The products, (B, I, block, J), are formed for as many
    of the K indices at a time as fit in `block_bytes`.
    """
    out = left.new_zeros((*left.shape[:-1], right.shape[-1]))
    block_size = max(1, block_bytes(left.device.type) // max(1, out.nbytes))
    for start in range(0, left.shape[-1], block_size):
        block = slice(start, start + block_size)
        # (B, I, block, 1) * (B, 1, block, J)
        products = left[..., block].unsqueeze(-1) * right[..., block, :].unsqueeze(-3)
        out = out + products.sum(-2, dtype=out.dtype)
    return out
