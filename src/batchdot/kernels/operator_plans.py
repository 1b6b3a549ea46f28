"""From a plan to calls of the operators of rows, as the native and the Triton kernel make them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from batchdot._torch import are_transforms_active, bare_apply, in_forward_mode, unwrapped_operator
from batchdot.convert import dtype_name
from batchdot.kernels import operators
from batchdot.kernels.aten.kernel import AtenKernel
from batchdot.kernels.aten.normalize import saturating_cast
from batchdot.kernels.operators import Operator
from batchdot.planning.plan import (
    MATMUL,
    MATVEC,
    VECMAT,
    Executable,
    Plan,
    Run,
    View,
    with_output,
    with_views,
)

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The dtypes that the operators take."""

DTYPE_NAMES = ", ".join(dtype_name(dtype) for dtype in DTYPES[:-1]) + f" or {dtype_name(DTYPES[-1])}"


def contracts_last_axis(plan: Plan) -> bool:
    """Whether the rows of a VECDOT lie along one last axis of both inputs."""
    return plan.dims in ((-1,), (len(plan.contraction.x_shape) - 1,))


def has_contiguous_rows(plan: Plan) -> bool:
    """Whether the contracted axis of the matrices (x of a MATVEC, y of a VECMAT) has stride 1."""
    meta, shape, side = plan.x_meta, plan.contraction.x_shape, 0
    if plan.label == VECMAT:
        meta, shape, side = plan.y_meta, plan.contraction.y_shape, 1
    axes = [pair[side] for pair in plan.contraction.contracted if shape[pair[side]] != 1]
    return meta.strides is None or min((meta.strides[axis] for axis in axes), default=1) == 1


def has_float_inputs(plan: Plan) -> bool:
    """Whether both inputs are floating-point, whatever the result is."""
    return plan.x_meta.dtype.is_floating_point and plan.y_meta.dtype.is_floating_point


def build(plan: Plan, kernel: str, single_threaded: Callable[[], None] | None) -> Executable:
    """Return a plan with the calls of an operator that run it.

    Args:
        plan: a plan of rows of `DTYPES`, or of a cosine matrix.
        kernel: the name of the kernel.
        single_threaded: see `Executable`; for plans that do not use PyTorch's thread pool.
    """
    run_aten = AtenKernel().build(plan).run
    # Row operators take all DTYPES and accumulate in float64. A cosine matrix is a matrix product in its own
    # dtype, where products of unscaled float16 rows would overflow: these are cast to float32.
    matrices = plan.label == MATMUL
    dtype = torch.float32 if matrices and plan.dtype == torch.float16 else plan.dtype
    x, y = (
        replace(view, cast=None if meta.dtype == dtype else dtype, swap=view.swap is not transpose)
        for view, meta, transpose in (
            # Lowering has a MATVEC's x as (B, K, I), the right factor: here (B, I, K).
            (plan.x, plan.x_meta, plan.label == MATVEC),
            # Lowering has y as (B, K, J): here (B, J, K).
            (plan.y, plan.y_meta, plan.label in (VECMAT, MATMUL)),
        )
    )
    plan = replace(
        plan,
        kernel=kernel,
        x=x,
        y=y,
        block_size=None,
        compute_dtype=dtype if matrices else torch.float64,
    )
    values, options, differentiable = _calls(plan)

    def run(x: Tensor, y: Tensor) -> Tensor:
        # Forward mode and torch.func differentiate the reference, through ATen's own rules.
        if in_forward_mode(x, y) or are_transforms_active():
            return run_aten(x, y)
        if (x.requires_grad or y.requires_grad) and torch.is_grad_enabled():
            return differentiable(x, y)
        return values(x, y, *options)

    # Casts, copies and products of matrices run on PyTorch's thread pool.
    uses_torch_threads = matrices or x.cast or y.cast or plan.copies
    return Executable(
        plan,
        run,
        fast=(values, options),
        single_threaded=None if uses_torch_threads else single_threaded,
    )


def _calls(plan: Plan) -> tuple[Operator, tuple[Any, ...], Run]:
    """Return the call without derivatives, its options, and the differentiable call.

    Operators take x (..., K) and y (..., K); or (..., I, K) and (..., 1, K), or a cosine matrix's
    (B, I, K) and (B, J, K). See `batchdot.kernels.operators`.
    """
    x_shape, y_shape = plan.x.shape(plan.contraction.x_shape), plan.y.shape(plan.contraction.y_shape)
    swapped = plan.label == VECMAT  # y is the matrix, (B, J, K), and goes first
    if swapped:
        x_shape, y_shape = y_shape, x_shape
    options: tuple[Any, ...]
    if plan.label == MATMUL:
        name, out_shape, options = "cosine_matrix", (*x_shape[:-1], y_shape[-2]), (plan.epsilon,)
    else:
        keepdim = (*x_shape[:-1], 1) == plan.output_shape
        out_shape = (*x_shape[:-1], 1) if keepdim else x_shape[:-1]
        name, options = "row_product", (keepdim,)
        if plan.epsilon is not None:
            name, options = "row_cosine", (plan.epsilon, keepdim)
    values: Operator = unwrapped_operator(getattr(torch.ops.batchdot, name).values)
    # Function.apply first checks for transforms in Python, 2 µs; `run` has already checked.
    apply: Operator = bare_apply(operators.AUTOGRAD[name])

    dtype = plan.dtype if plan.label == MATMUL and plan.compute_dtype != plan.dtype else None
    shape = plan.output_shape if out_shape != plan.output_shape else None

    def bind(function: Operator, x: View = plan.x, y: View = plan.y) -> Run:
        return with_output(with_views(function, x, y, swapped, options), dtype, shape)

    differentiable = bind(apply)
    if plan.epsilon is not None and (plan.x.cast or plan.y.cast):
        both = (plan.y, plan.x) if swapped else (plan.x, plan.y)
        casting = _with_saturating_casts(apply, *(view.cast for view in both))
        differentiable = bind(casting, *(replace(view, cast=None) for view in (plan.x, plan.y)))
    if not swapped and plan.x.identity and plan.y.identity and dtype is None and shape is None:
        return values, options, differentiable
    return bind(values), (), differentiable


def _with_saturating_casts(
    function: Operator, x_dtype: torch.dtype | None, y_dtype: torch.dtype | None
) -> Operator:
    """Return a function that casts x and y before it calls another, as `saturating_cast` does."""

    def run(x: Tensor, y: Tensor, *options: Any) -> Tensor:
        x = x if x_dtype is None else saturating_cast(x, x_dtype)
        y = y if y_dtype is None else saturating_cast(y, y_dtype)
        return function(x, y, *options)

    return run
