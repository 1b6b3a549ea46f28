"""The operators of csrc/, loaded into torch, and the rules that torch asks of an operator.

``row_product`` and ``row_cosine`` take x of shape (..., K) and y like it, or x of (..., I, K) and y of
(..., 1, K), shared by the I rows; they give a number for each row of x. ``cosine_matrix`` takes (I, K) and
(J, K), or (B, I, K) and (B, J, K), and gives the cosines of all rows of x with all of y. Each has an
overload ``values`` without derivatives, which costs less to call, and an operator for its gradients.
"""

import os
from ctypes import CDLL, c_char_p
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils.flop_counter import register_flop_formula

from batchdot._torch import unwrapped_operator
from batchdot.kernels.aten import normalize as _normalize

LIBRARY = Path(__file__).with_name("librows.so.1")


@cache
def unavailable_reasons() -> list[str]:
    """Load the library the first time, and list the reasons why it is not there."""
    names = os.environ.get("BATCHDOT_KERNELS", "")
    if names and "native" not in names.split(","):
        return [f"turned off by BATCHDOT_KERNELS={names}"]
    if not LIBRARY.exists():
        return ["not built: install with --no-build-isolation, beside torch and a C++ compiler"]
    try:
        torch.ops.load_library(str(LIBRARY))  # type: ignore[no-untyped-call]
        CDLL(str(LIBRARY)).batchdot_compute_alone  # noqa: B018  # an AttributeError where it is not there
        _register_rules()
    except OSError as error:
        return [f"not loaded: {error}"]
    except AttributeError:
        return ["built for another version of batchdot: install again"]
    return []


def instructions() -> str:
    """Return the name of the instruction set that the loaded library uses on this machine."""
    function = CDLL(str(LIBRARY)).batchdot_instructions
    function.restype = c_char_p
    return str(function().decode())


def set_single_threaded() -> None:
    """Have the operators compute in this thread what it calls them for, and wake no other, for good."""
    CDLL(str(LIBRARY)).batchdot_compute_alone()


def _register_rules() -> None:
    for name, definition in REFERENCE.items():
        packet = getattr(torch.ops.batchdot, name)
        backward = getattr(torch.ops.batchdot, f"{name}_backward")
        rule = AUTOGRAD[name] = _autograd_function(
            unwrapped_operator(packet.values), backward.default, definition
        )
        fake = _fake_matrix if name == "cosine_matrix" else _fake_number_each
        torch.library.register_autograd(packet.default, rule.backward, setup_context=_setup_context)
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
    out = _normalize.row_cosine(x, y, (-1,), epsilon, x.dtype, torch.float64, exact=False)
    return out if keepdim else out.squeeze(-1)


def _reference_cosine_matrix(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    x, y = (_normalize.l2_normalize(t, -1, epsilon, t.dtype, torch.float64) for t in (x, y))
    return _normalize.clamp_cosine(x @ y.mT)


REFERENCE = {
    "row_product": _reference_row_product,
    "row_cosine": _reference_row_cosine,
    "cosine_matrix": _reference_cosine_matrix,
}
"""The operators with derivatives, and what each computes: ATen, for whoever differentiates a gradient."""

AUTOGRAD: dict[str, Any] = {}
"""The derivatives of the operators, as `torch.autograd.Function`, when the library is loaded."""


def _autograd_function(values: Any, backward: Any, definition: Any) -> Any:
    """Return the derivative of an operator of x, y and its options, by its other operator.

    For eager calls by ``apply``, and for the dispatcher, which takes longer. Functions whose context is set
    up by a function of its own bind their arguments by name, at 50 µs a call.
    """

    class Rule(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor, *options: Any) -> Tensor:
            ctx.save_for_backward(x, y)
            ctx.options = options
            result: Tensor = values(x, y, *options)
            return result

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            tensors, options, needed = ctx.saved_tensors, ctx.options, ctx.needs_input_grad[:2]
            if torch.is_grad_enabled():  # there will be a second derivative
                found = _differentiate(lambda x, y: definition(x, y, *options), gradient, tensors, needed)
            else:
                # A cosine's floor is the one option that its gradient depends on.
                epsilon = [option for option in options if option.__class__ is float]
                both = backward(gradient.contiguous(), *tensors, *epsilon, *needed)
                found = [tensor if need else None for tensor, need in zip(both, needed, strict=True)]
            return *found, *[None] * len(options)

    return Rule


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    x, y, *ctx.options = inputs
    ctx.save_for_backward(x, y)


def _differentiate(
    function: Any, gradient: Tensor, tensors: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of a function in ATen, which can be differentiated again; None if not needed."""
    # Views, for one tensor may be here twice.
    views = [tensor.view_as(tensor) for tensor in tensors]
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(torch.autograd.grad(function(*views), wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


# --- shapes, vmap, flops ------------------------------------------------------------------------------


def _fake_number_each(x: Tensor, y: Tensor, *options: Any) -> Tensor:
    return x.new_empty((*x.shape[:-1], 1) if options[-1] else x.shape[:-1])


def _fake_matrix(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return x.new_empty((*x.shape[:-1], y.shape[-2]))


def _fake_gradients(gradient: Tensor, x: Tensor, y: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    for_x, for_y = options[-2:]
    return x.new_empty(x.shape if for_x else 0), y.new_empty(y.shape if for_y else 0)


def _batched(name: str, overload: Any) -> Any:
    """Return the vmap rule: one more axis in front, of all tensors; at most one in front of matrices."""

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


# Multiply-adds for each element of x; of a cosine matrix, for each and each row of y.
SUMS = {
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
        return 2 * SUMS[name] * prod(x) * (y[-2] if name.startswith("cosine_matrix") else 1)

    return count
