"""The operators of cosine matrices on CUDA tensors, and products of matrices of integers."""

from typing import Any

import torch
from torch import Tensor

from batchdot.kernels.triton import matrices as device_code
from batchdot.kernels.triton.launch import Launch, on
from batchdot.kernels.triton.problem import alignment, power_of_two_from
from batchdot.kernels.triton.row_operators import remembered, unit, unit_backward

FUSED = 256
"""Rows up to so long are normalized and multiplied by one kernel; longer ones are multiplied by cuBLAS."""

BLOCK = 64
"""Rows and columns of a program, at most; tl.dot takes 16 at least."""


def _strides(matrices: Tensor) -> tuple[int, int, int]:
    """Return the strides of a matrix, or of matrices: of the batch, the rows, and the elements of a row."""
    strides = matrices.stride()
    outer, inner = strides[-2:]
    return strides[0] if len(strides) == 3 else 0, outer, inner


def _blocks(batch: int, rows: int, columns: int) -> tuple[int, int, int]:
    """Return how many programs there are, and the rows and columns of one."""
    i, j = (min(BLOCK, max(16, power_of_two_from(size))) for size in (rows, columns))
    return batch * -(-rows // i) * -(-columns // j), i, j


def cosine_matrix(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """(I, K), (J, K) -> (I, J); or (B, I, K), (B, J, K) -> (B, I, J)."""
    out = x.new_empty((*x.shape[:-1], y.shape[-2]))
    if out.numel() == 0:
        return out
    if x.shape[-1] == 0:
        return out.zero_()
    if x.dtype == torch.float64 or x.shape[-1] > FUSED:
        return torch.matmul(unit(x, epsilon), unit(y, epsilon).mT, out=out).clamp_(-1, 1)  # NaN stays
    precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    remembered(_cosines, x, y, epsilon, precision)(x, y, out)
    return out


def _cosines(x: Tensor, y: Tensor, epsilon: float, precision: str) -> Any:
    device, rows, columns, size = x.device, x.shape[-2], y.shape[-2], x.shape[-1]
    programs, i, j = _blocks(x.shape[0] if x.ndim == 3 else 1, rows, columns)
    x_strides, y_strides = _strides(x), _strides(y)
    x_align, y_align = alignment(x_strides), alignment(y_strides)
    constants = {
        "EPSILON": epsilon,
        "K": size,
        "C": min(32, max(16, power_of_two_from(size))),
        "I": i,
        "J": j,
        "X_ALIGN": x_align,
        "Y_ALIGN": y_align,
        "X_UNIT": x_strides[2] == 1,
        "Y_UNIT": y_strides[2] == 1,
        "PRECISION": precision,
    }
    launch = Launch(device_code.cosine_matrix, programs, constants, warps=8)
    numbers = (
        *(rows, columns),
        *(x_strides[0] // x_align, x_strides[1] // x_align, x_strides[2]),
        *(y_strides[0] // y_align, y_strides[1] // y_align, y_strides[2]),
    )
    return lambda x, y, out: launch(device, x, y, out, *numbers)


def cosine_matrix_backward(
    gradient: Tensor, x: Tensor, y: Tensor, epsilon: float, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and y, packed; an empty one where it is not needed.

    Through the unit vectors of one factor: the gradient of a product of unit vectors, then that of the
    vectors.
    """
    dx, dy = x.new_empty(0), y.new_empty(0)
    if for_x:
        dx = unit_backward(torch.matmul(gradient, unit(y, epsilon)), x, epsilon)
    if for_y:
        dy = unit_backward(torch.matmul(gradient.mT, unit(x, epsilon)), y, epsilon)
    return dx, dy


def integer_matmul(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices of integers: (B, I, K), (B, K, J) -> (B, I, J), or without B."""
    out = left.new_empty((*left.shape[:-1], right.shape[-1]))
    if out.numel() == 0:
        return out
    with on(left.device):
        remembered(_integers, left, right)(left, right, out)
    return out


def _integers(left: Tensor, right: Tensor) -> Any:
    device, rows, columns = left.device, left.shape[-2], right.shape[-1]
    programs, i, j = _blocks(left.shape[0] if left.ndim == 3 else 1, rows, columns)
    x_strides, y_strides = _strides(left), _strides(right)
    launch = Launch(device_code.integer_product, programs, {"I": i, "J": j}, warps=8)
    numbers = (
        *(rows, columns, left.shape[-1]),
        *x_strides,
        *(y_strides[0], y_strides[2], y_strides[1]),
    )
    return lambda left, right, out: launch(device, left, right, out, *numbers)
