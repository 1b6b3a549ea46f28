"""The operators of csrc/, loaded into torch, and the rules that torch asks of an operator.

Shapes: x is (..., K) and y is like it; or x is (..., I, K) and y is (..., 1, K), shared by the I rows.
``row_product`` and ``row_cosine`` give a number for each row of x, ``row_unit`` gives x with its rows
normalized. Each has an overload ``values`` without derivatives, which costs less to call.
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

from batchdot.kernels import _normalize

LIBRARY = Path(__file__).with_name("librows.so.1")


@cache
def why_not_loaded() -> list[str]:
    """Load the library the first time, and list the reasons why it is not there."""
    names = os.environ.get("BATCHDOT_KERNELS", "")
    if names and "native" not in names.split(","):
        return [f"turned off by BATCHDOT_KERNELS={names}"]
    if not LIBRARY.exists():
        return ["not built: install with --no-build-isolation, beside torch and a C++ compiler"]
    try:
        torch.ops.load_library(str(LIBRARY))  # type: ignore[no-untyped-call]
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


def _register_rules() -> None:
    operators = torch.ops.batchdot
    for packet, fake, rule in (
        (operators.row_product, _fake_number_each, RowProduct),
        (operators.row_cosine, _fake_number_each, RowCosine),
        (operators.row_unit, _fake_like, RowUnit),
    ):
        torch.library.register_autograd(packet.default, rule.backward, setup_context=rule.keep)
        for overload in (packet.default, packet.values):
            torch.library.register_fake(overload, fake)
            torch.library.register_vmap(overload, _batched(overload))
    torch.library.register_fake(operators.row_product_backward.default, _fake_gradients)
    torch.library.register_fake(operators.row_cosine_backward.default, _fake_gradients)
    torch.library.register_fake(operators.row_unit_backward.default, _fake_like_second)
    for name, sums in SUMS.items():
        register_flop_formula(getattr(operators, name))(_count_flops(sums))


# Multiply-adds for each element of x.
SUMS = {
    "row_product": 1,
    "row_product_backward": 1,
    "row_cosine": 3,
    "row_cosine_backward": 7,
    "row_unit": 2,
    "row_unit_backward": 5,
}


def _count_flops(sums: int) -> Any:
    def count(*shapes: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return 2 * sums * max(prod(shape) for shape in shapes if isinstance(shape, torch.Size))

    return count


def _fake_number_each(x: Tensor, y: Tensor, *options: Any) -> Tensor:
    return x.new_empty((*x.shape[:-1], 1) if options[-1] else x.shape[:-1])


def _fake_like(x: Tensor, epsilon: float) -> Tensor:
    return torch.empty_like(x)


def _fake_like_second(gradient: Tensor, x: Tensor, epsilon: float) -> Tensor:
    return torch.empty_like(x)


def _fake_gradients(gradient: Tensor, x: Tensor, y: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    for_x, for_y = options[-2:]
    return x.new_empty(x.shape if for_x else 0), y.new_empty(y.shape if for_y else 0)


def _batched(overload: Any) -> Any:
    """Return the vmap rule: one more axis in front, of all tensors."""

    def run(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        moved = [
            arg
            if not isinstance(arg, Tensor)
            else arg.expand(info.batch_size, *arg.shape)
            if dim is None
            else arg.movedim(dim, 0)
            for arg, dim in zip(args, in_dims, strict=True)
        ]
        return overload(*moved), 0

    return run


# For eager calls by ``apply``, and for the dispatcher, which takes longer. Functions whose context is set
# up by a function of its own bind their arguments by name, at 50 µs a call.


class RowProduct(Function):
    """Products of rows, with their derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, keepdim: bool) -> Tensor:
        """Return a number for each row of x."""
        RowProduct.keep(ctx, (x, y, keepdim))
        result: Tensor = torch.ops.batchdot.row_product.values(x, y, keepdim)
        return result

    @staticmethod
    def keep(ctx: Any, inputs: Any, output: Any = None) -> None:
        """Keep what the derivative needs."""
        x, y, ctx.keepdim = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients that are needed."""
        x, y = ctx.saved_tensors
        for_x, for_y, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # there will be a second derivative
            gradient = gradient if ctx.keepdim else gradient.unsqueeze(-1)
            of_y = gradient * x if x.shape == y.shape else gradient.mT @ x
            return gradient * y if for_x else None, of_y if for_y else None, None
        backward = torch.ops.batchdot.row_product_backward.default
        of_x, of_y = backward(gradient.contiguous(), x, y, for_x, for_y)
        return of_x if for_x else None, of_y if for_y else None, None


class RowCosine(Function):
    """Cosines of rows, with their derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, epsilon: float, keepdim: bool) -> Tensor:
        """Return a number for each row of x."""
        RowCosine.keep(ctx, (x, y, epsilon, keepdim))
        result: Tensor = torch.ops.batchdot.row_cosine.values(x, y, epsilon, keepdim)
        return result

    @staticmethod
    def keep(ctx: Any, inputs: Any, output: Any = None) -> None:
        """Keep what the derivative needs."""
        x, y, ctx.epsilon, ctx.keepdim = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients that are needed."""
        x, y = ctx.saved_tensors
        epsilon = ctx.epsilon
        for_x, for_y, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # there will be a second derivative
            gradient = gradient if ctx.keepdim else gradient.unsqueeze(-1)
            of_x, of_y = _differentiably(
                lambda x, y: _normalize.row_cosine(x, y, (-1,), epsilon, x.dtype, torch.float64, exact=False),
                gradient,
                (x, y),
                (for_x, for_y),
            )
            return of_x, of_y, None, None
        backward = torch.ops.batchdot.row_cosine_backward.default
        of_x, of_y = backward(gradient.contiguous(), x, y, epsilon, for_x, for_y)
        return of_x if for_x else None, of_y if for_y else None, None, None


class RowUnit(Function):
    """Normalized rows, with their derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        """Return x with its rows normalized."""
        RowUnit.keep(ctx, (x, epsilon))
        result: Tensor = torch.ops.batchdot.row_unit.values(x, epsilon)
        return result

    @staticmethod
    def keep(ctx: Any, inputs: Any, output: Any = None) -> None:
        """Keep what the derivative needs."""
        x, ctx.epsilon = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradient."""
        (x,) = ctx.saved_tensors
        epsilon = ctx.epsilon
        if torch.is_grad_enabled():  # there will be a second derivative
            (of_x,) = _differentiably(
                lambda x: _normalize.unit(x, -1, epsilon, x.dtype, torch.float64), gradient, (x,), (True,)
            )
            return of_x, None
        return torch.ops.batchdot.row_unit_backward.default(gradient, x, epsilon), None


def _differentiably(
    function: Any, gradient: Tensor, tensors: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of a function in ATen, which can be differentiated again; None if not needed."""
    # Views, for one tensor may be here twice.
    views = [tensor.view_as(tensor) for tensor in tensors]
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(torch.autograd.grad(function(*views), wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]
