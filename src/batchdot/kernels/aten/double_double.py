"""Double-double arithmetic in ATen: a number is the unevaluated sum of two, with twice the digits of one.

Used for cosines of float64 rows, because no dtype is wider. The error-free transformations are Dekker's
(1971) and Knuth's. Sums extract the leading digits of all terms at once, which add up without rounding: the
AccSum of Rump, Ogita and Oishi (SIAM J. Sci. Comput. 31, 2008), with two extractions whatever the terms. So
the number of operators does not depend on K, as on a GPU, where each is a launch, it should not.
"""

from math import prod
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
    # (3, B..., K...): one pass for x·x, y·y and x·y.
    high, low = _dot(torch.stack([x, y, x]), torch.stack([x, y, y]), tuple(dim % x.ndim + 1 for dim in dims))
    by_x = _divide_by_root((high[2], low[2]), _at_least((high[0], low[0]), x_floor))
    return _divide_by_root(by_x, _at_least((high[1], low[1]), y_floor))[0]


def _dot(x: Tensor, y: Tensor, dims: tuple[int, ...]) -> Double:
    """Return sum(x·y) along ``dims``, which are kept with size 1.

    Error: about K·u²·sum(|x·y|) + 48·K⁴·u³·max(|x·y|), u the unit roundoff of the dtype.

    Terms p are at most sigma / (4·K). Adding and subtracting sigma leaves of them the multiples q of about
    u·sigma: K of those add up exactly, in any order, and what is left of a term, p - q, is exact as well.
    """
    terms, lost = _two_product(x, y)
    if not terms.numel():
        zero = terms.sum(dims, True)
        return zero, zero
    factor = 4 * prod(terms.shape[dim] for dim in dims)
    sigma = terms.abs().amax(dims, True) * factor
    leading = (sigma + terms) - sigma
    first = leading.sum(dims, True)
    terms = terms - leading
    sigma = sigma * (factor * torch.finfo(terms.dtype).eps)
    leading = (sigma + terms) - sigma
    second = leading.sum(dims, True)
    rest = (terms - leading + lost).sum(dims, True)
    high, low = _two_sum(first, second)
    return _renormalize(high, low + rest)


def _at_least(value: Double, floor: Tensor | float) -> Double:
    high, low = value
    below = high < floor
    return torch.where(below, floor, high), low.masked_fill(below, 0.0)


def _divide_by_root(a: Double, square: Double) -> Double:
    """Return a / sqrt(square), corrected to first order from the root and the quotient of the high parts."""
    root = square[0].sqrt()
    root_squared, error = _two_product(root, root)
    root_rest = ((square[0] - root_squared) - error + square[1]) / (2 * root)  # sqrt(square) - root
    quotient = a[0] / root
    product, error = _two_product(quotient, root)
    rest = (a[0] - product) - error + a[1]
    return _renormalize(quotient, (rest - quotient * root_rest) / root)


def _two_sum(a: Tensor, b: Tensor) -> Double:
    total = a + b
    shifted = total - a
    return total, (a - (total - shifted)) + (b - shifted)


def _renormalize(high: Tensor, low: Tensor) -> Double:
    total = high + low
    return total, low - (total - high)


def _two_product(a: Tensor, b: Tensor) -> Double:
    """Return a·b and its rounding error. Each product of halves is exact, fused with an addition or not."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = (a_high, a_low) if a is b else _split(b)
    error = torch.addcmul(-product, a_high, b_high)
    error = torch.addcmul(error, a_high, b_low)
    error = torch.addcmul(error, a_low, b_high)
    return product, torch.addcmul(error, a_low, b_low)


def _split(a: Tensor) -> Double:
    scaled = _SPLITTER[a.dtype] * a
    high = scaled - (scaled - a)
    return high, a - high
