"""Registers the Triton kernels as the operators' implementations for one type of device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from batchdot.kernels import operators
from batchdot.kernels.triton import matrix_operators, row_operators, self_test
from batchdot.kernels.triton.launch import on

IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {
    "row_product": row_operators.row_product,
    "row_cosine": row_operators.row_cosine,
    "cosine_matrix": matrix_operators.cosine_matrix,
    "row_product_backward": row_operators.row_product_backward,
    "row_cosine_backward": row_operators.row_cosine_backward,
    "cosine_matrix_backward": matrix_operators.cosine_matrix_backward,
}
"""What computes each operator, by its name."""


def register(device_type: str) -> None:
    """Make the kernels implement the operators for tensors on devices of a type."""
    for name, run in IMPLEMENTATIONS.items():
        implementation = _implementation(name, run)
        overloads = (name,) if name.endswith("_backward") else (name, f"{name}.values")
        for overload in overloads:
            torch.library.impl(f"batchdot::{overload}", device_type.upper(), implementation)


def _implementation(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator: the kernel on devices where it passes its check, otherwise PyTorch's operators."""
    fallback = _fallback(name)
    first = int(name.endswith("_backward"))  # the place of x

    def implementation(*arguments: Any) -> Any:
        x: Tensor = arguments[first]
        if not self_test.is_sound(name, run, x.dtype, x.device):
            return fallback(*arguments)
        with on(x.device):
            return run(*arguments)

    return implementation


def _fallback(name: str) -> Callable[..., Any]:
    """Return what computes an operator by PyTorch's own: its reference, or the gradients of that."""
    reference = operators.REFERENCE[name.removesuffix("_backward")]
    if not name.endswith("_backward"):
        return reference

    def backward(gradient: Tensor, x: Tensor, y: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
        *epsilon, for_x, for_y = options
        options = (*epsilon, False) if name.startswith("row") else tuple(epsilon)
        with torch.enable_grad():
            x, y = x.detach().requires_grad_(for_x), y.detach().requires_grad_(for_y)
            out = reference(x, y, *options)
            wanted = [tensor for tensor in (x, y) if tensor.requires_grad]
            found = iter(torch.autograd.grad(out, wanted, gradient.reshape(out.shape)))
        return (
            next(found).contiguous() if for_x else x.new_empty(0),
            next(found).contiguous() if for_y else y.new_empty(0),
        )

    return backward
