"""The operators of rows that native and Triton kernels implement: schemas, autograd, shapes, vmap, flops.

* ``row_product(x, y, keepdim)``: (..., K), (..., K) -> (...); or (..., I, K), (..., 1, K) -> (..., I), with
  one row of y for I rows of x.
* ``row_cosine(x, y, epsilon, keepdim)``: the same shapes.
* ``cosine_matrix(x, y, epsilon)``: (I, K), (J, K) -> (I, J); or (B, I, K), (B, J, K) -> (B, I, J).

Each has an overload ``values`` without derivatives, which costs less to call, and a second operator, named
``..._backward``, that computes its gradients. The rules here hold for every device; a kernel implements the
operators for one: csrc/cpu for the CPU, `batchdot.kernels.triton` for CUDA.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils.flop_counter import register_flop_formula  # imports triton, in 0.16 s, where that is

from batchdot._torch import unwrapped_operator
from batchdot.kernels.aten import normalize

Operator: TypeAlias = Callable[..., Tensor]
"""An operator: a function of x, y and options."""

# As csrc/cpu/operators.cpp defines them where it is built.
_ROWS = "Tensor x, Tensor y"
_GRADIENTS = "bool for_x, bool for_y) -> (Tensor, Tensor)"
SCHEMAS = {
    "row_product": f"({_ROWS}, bool keepdim) -> Tensor",
    "row_cosine": f"({_ROWS}, float epsilon, bool keepdim) -> Tensor",
    "cosine_matrix": f"({_ROWS}, float epsilon) -> Tensor",
    "row_product_backward": f"(Tensor gradient, {_ROWS}, {_GRADIENTS}",
    "row_cosine_backward": f"(Tensor gradient, {_ROWS}, float epsilon, {_GRADIENTS}",
    "cosine_matrix_backward": f"(Tensor gradient, {_ROWS}, float epsilon, {_GRADIENTS}",
}
"""Parameters and results of each operator, by its name."""


@cache
def define() -> None:
    """Define the operators and their rules where the C++ library, which defines them too, is not loaded."""
    if not hasattr(torch.ops.batchdot, "row_product"):
        for name, schema in SCHEMAS.items():
            torch.library.define(f"batchdot::{name}", schema)
            if not name.endswith("_backward"):
                torch.library.define(f"batchdot::{name}.values", schema)
    register_rules()


@cache
def register_rules() -> None:
    """Register what holds on every device: autograd, shapes, vmap and flop counts."""
    for name, reference in REFERENCE.items():
        packet = getattr(torch.ops.batchdot, name)
        backward = getattr(torch.ops.batchdot, f"{name}_backward")
        values = unwrapped_operator(packet.values)
        function = AUTOGRAD[name] = _autograd_function(
            values, unwrapped_operator(backward.default), reference, has_epsilon=name != "row_product"
        )
        fake = _fake_matrix if name == "cosine_matrix" else _fake_rows
        torch.library.register_autograd(packet.default, function.backward, setup_context=_setup_context)
        for overload in (packet.default, packet.values):
            torch.library.register_fake(overload, fake)
            torch.library.register_vmap(overload, _batched(name, overload))
        torch.library.register_fake(backward.default, _fake_gradients)
        register_flop_formula(packet)(_count_flops(name))
        register_flop_formula(backward)(_count_flops(f"{name}_backward"))


# --- derivatives --------------------------------------------------------------------------------------


def _reference_row_product(x: Tensor, y: Tensor, keepdim: bool) -> Tensor:
    return (x * y).sum(-1, keepdim)


def _reference_row_cosine(x: Tensor, y: Tensor, epsilon: float, keepdim: bool) -> Tensor:
    out = normalize.row_cosine(x, y, (-1,), epsilon, x.dtype, torch.float64, exact=False)
    return out if keepdim else out.squeeze(-1)


def _reference_cosine_matrix(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    x, y = (normalize.l2_normalize(t, -1, epsilon, t.dtype, torch.float64) for t in (x, y))
    return normalize.clamp_cosine(x @ y.mT)


REFERENCE: dict[str, Callable[..., Tensor]] = {
    "row_product": _reference_row_product,
    "row_cosine": _reference_row_cosine,
    "cosine_matrix": _reference_cosine_matrix,
}
"""What each operator computes, in ATen: differentiated where the gradient is differentiated again."""

AUTOGRAD: dict[str, Any] = {}
"""The `torch.autograd.Function` of each operator, filled when the library is loaded."""


def _autograd_function(values: Any, backward: Any, reference: Any, has_epsilon: bool) -> Any:
    """Return the `torch.autograd.Function` of an operator.

    Eager calls go to its ``apply``; the dispatcher uses its ``backward`` with `_setup_context`. The class has
    no method ``setup_context``, because torch then binds arguments by name, at 50 µs a call.

    Args:
        values: the operator without derivatives: ``values(x, y, *options)``.
        backward: the operator of the gradients: ``backward(gradient, x, y, [epsilon,] x_needed, y_needed)``.
        reference: the same function in ATen.
        has_epsilon: whether the first of the options is epsilon, on which the gradient depends as well.

    docs/how-a-call-runs.md says where the time of a call with gradients goes.
    """

    class OperatorFunction(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor, *options: Any) -> Tensor:
            ctx.save_for_backward(x, y)
            ctx.options = options
            result: Tensor = values(x, y, *options)
            return result

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            tensors, options, (for_x, for_y, *rest) = ctx.saved_tensors, ctx.options, ctx.needs_input_grad
            if torch.is_grad_enabled():  # create_graph=True: for a second derivative
                needed = for_x, for_y
                found = _differentiate(lambda x, y: reference(x, y, *options), gradient, tensors, needed)
                return *found, *[None] * len(rest)
            if not gradient.is_contiguous() and any(gradient.stride()):  # kernels take one number for all
                gradient = gradient.contiguous()
            of_x, of_y = backward(gradient, *tensors, *options[:has_epsilon], for_x, for_y)
            return of_x if for_x else None, of_y if for_y else None, *[None] * len(rest)

    return OperatorFunction


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    x, y, *ctx.options = inputs
    ctx.save_for_backward(x, y)


def _differentiate(
    function: Any, gradient: Tensor, tensors: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of a function, with a graph; None for each that is not needed."""
    # Views, because x and y may be the same tensor, whose gradients autograd would add.
    views = [tensor.view_as(tensor) for tensor in tensors]
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(torch.autograd.grad(function(*views), wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


# --- shapes, vmap, flops ------------------------------------------------------------------------------


def _fake_rows(x: Tensor, y: Tensor, *options: Any) -> Tensor:
    return x.new_empty((*x.shape[:-1], 1) if options[-1] else x.shape[:-1])


def _fake_matrix(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return x.new_empty((*x.shape[:-1], y.shape[-2]))


def _fake_gradients(gradient: Tensor, x: Tensor, y: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    for_x, for_y = options[-2:]
    return x.new_empty(x.shape if for_x else 0), y.new_empty(y.shape if for_y else 0)


def _batched(name: str, overload: Any) -> Any:
    """Return the vmap rule of an operator: the mapped axis becomes the first one of both inputs.

    A cosine matrix takes at most one axis before the matrices: mapped and shared axis are flattened to one.
    """

    def run(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        moved = [
            arg
            if not isinstance(arg, Tensor)
            else arg.expand(info.batch_size, *arg.shape)
            if dim is None
            else arg.movedim(dim, 0)
            for arg, dim in zip(args, in_dims, strict=True)
        ]
        if name != "cosine_matrix" or moved[0].ndim < 4:
            return overload(*moved), 0
        matrices = [arg.flatten(0, 1) if isinstance(arg, Tensor) else arg for arg in moved]
        return overload(*matrices).unflatten(0, moved[0].shape[:2]), 0

    return run


# Multiply-adds for each element of x; of a cosine matrix, also for each row of y.
MULTIPLY_ADDS = {
    "row_product": 1,
    "row_product_backward": 1,
    "row_cosine": 3,
    "row_cosine_backward": 7,
    "cosine_matrix": 1,
    "cosine_matrix_backward": 2,
}


def _count_flops(name: str) -> Any:
    def count(*shapes: Any, out_shape: Any = None, **kwargs: Any) -> int:
        x, y = [shape for shape in shapes if isinstance(shape, torch.Size)][-2:]
        return 2 * MULTIPLY_ADDS[name] * prod(x) * (y[-2] if name.startswith("cosine_matrix") else 1)

    return count
