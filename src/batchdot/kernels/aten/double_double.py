"""Double-double arithmetic in ATen: a number is the unevaluated sum of two, with twice the digits of one.

Used for cosines of float64 rows, because no dtype is wider. The error-free transformations are Dekker's
(1971) and Knuth's. The dot product is Dot2 of Ogita, Rump and Oishi (SIAM J. Sci. Comput. 26, 2005), with an
error of about K² · 2^-106 · sum(|x·y|); its terms are added pairwise, in log2(K) steps of whole tensors.
"""

from typing import TypeAlias

import torch
from torch import Tensor

Double: TypeAlias = tuple[Tensor, Tensor]
"""(high, low) of one shape; low is at most half an ulp of high."""

# Veltkamp's constant, 2^ceil(p/2) + 1: splits a number of p digits into two halves.
_SPLITTER = {torch.float64: 2.0**27 + 1, torch.float32: 2.0**12 + 1}


def cosine(
    x: Tensor, y: Tensor, dims: tuple[int, ...], x_floor: Tensor | float, y_floor: Tensor | float
) -> Tensor:
    """Return sum(x·y) / (|x|·|y|) of slices: (B..., K...), (B..., K...) -> (B..., 1...).

    Args:
        x: tensor of shape (B..., K...), float64 or float32.
        y: tensor of the same shape and dtype.
        dims: the axes K..., which are kept with size 1.
        x_floor: lower bound on the squared norms of x, a number or (B..., 1...).
        y_floor: lower bound on those of y.
    """
    contracted = {dim % x.ndim for dim in dims}
    keepdim_shape = [1 if axis in contracted else size for axis, size in enumerate(x.shape)]
    # (B..., K...) -> (K, B...): halves of the leading axis are contiguous views.
    x, y = (torch.movedim(t, dims, tuple(range(len(dims)))).flatten(0, len(dims) - 1) for t in (x, y))
    x_norm = _sqrt(_at_least(_dot(x, x), x_floor))
    y_norm = _sqrt(_at_least(_dot(y, y), y_floor))
    return _divide(_dot(x, y), _multiply(x_norm, y_norm)).reshape(keepdim_shape)


def _dot(x: Tensor, y: Tensor) -> Double:
    """Return sum(x·y): (K, B...), (K, B...) -> (B...). Adds halves until one term is left."""
    high, low = _two_product(x, y)
    if high.shape[0] == 0:
        return high.sum(0), low.sum(0)
    while (n := high.shape[0]) > 1:
        half = n // 2
        total, error = _two_sum(high[:half], high[half : 2 * half])
        error = error + low[:half] + low[half : 2 * half]
        if n % 2:
            total = torch.cat([total, high[-1:]])
            error = torch.cat([error, low[-1:]])
        high, low = _renormalize(total, error)
    return high[0], low[0]


def _at_least(value: Double, floor: Tensor | float) -> Double:
    high, low = value
    floor = floor.reshape(high.shape) if isinstance(floor, Tensor) else torch.full_like(high, floor)
    below = high < floor
    return torch.where(below, floor, high), low.masked_fill(below, 0.0)


def _multiply(a: Double, b: Double) -> Double:
    high, low = _two_product(a[0], b[0])
    return _renormalize(high, low + (a[0] * b[1] + a[1] * b[0]))


def _sqrt(a: Double) -> Double:
    root = a[0].sqrt()
    square, error = _two_product(root, root)
    return _renormalize(root, ((a[0] - square) - error + a[1]) / (2 * root))


def _divide(a: Double, b: Double) -> Tensor:
    quotient = a[0] / b[0]
    product, error = _multiply((quotient, torch.zeros_like(quotient)), b)
    return quotient + ((a[0] - product) - error + a[1]) / b[0]


def _two_sum(a: Tensor, b: Tensor) -> Double:
    total = a + b
    shifted = total - a
    return total, (a - (total - shifted)) + (b - shifted)


def _renormalize(high: Tensor, low: Tensor) -> Double:
    total = high + low
    return total, low - (total - high)


def _two_product(a: Tensor, b: Tensor) -> Double:
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Tensor) -> Double:
    scaled = _SPLITTER[a.dtype] * a
    high = scaled - (scaled - a)
    return high, a - high
