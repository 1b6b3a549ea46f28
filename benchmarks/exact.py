"""Exact dot products and cosines by integer arithmetic, and errors in ulp."""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from batchdot.convert import Array, as_array

Vector: TypeAlias = Array | Sequence[float]

_BITS = 200
"""Correct bits of a square root."""

_MOST = Fraction(10**300)
"""Upper bound on reported errors, so that a float can represent them."""

_HALF = 26
_SUMMANDS = 256
"""Number of products below 2**54 that int64 sums without overflow."""


def exact_dot(x: Vector, y: Vector) -> Fraction:
    """Return sum(x * y) of two vectors of finite floats, exactly.

    Mantissas are multiplied in halves, as integers; products of one exponent are summed together.
    """
    (a, a_exponents), (b, b_exponents) = (np.frexp(np.asarray(v, dtype=np.float64)) for v in (x, y))
    a, b = ((mantissas * 2.0**53).astype(np.int64) for mantissas in (a, b))
    exponents = a_exponents + b_exponents
    total = Fraction(0)
    for exponent in np.unique(exponents).tolist():
        chosen = exponents == exponent
        total += _integer_dot(a[chosen], b[chosen]) * _power(exponent - 106)
    return total


def cosine_from(product: Fraction, x_squares: Fraction, y_squares: Fraction, epsilon: float) -> Fraction:
    """Return product / sqrt(max(x_squares, epsilon) · max(y_squares, epsilon)), to about 200 bits."""
    floor = Fraction(epsilon)
    squares = max(x_squares, floor) * max(y_squares, floor)
    # 1 / sqrt(p / q) = q / sqrt(p q); p q is shifted left so that its integer square root has _BITS bits.
    radicand = squares.numerator * squares.denominator
    shift = max(0, 2 * _BITS - radicand.bit_length() + 1) // 2 * 2
    root = Fraction(isqrt(radicand << shift), 1 << (shift // 2))
    return product * squares.denominator / root


def ulps(value: float, exact: Fraction, dtype: torch.dtype) -> float:
    """Return the error of a finite value in ulp of the exact value."""
    info = torch.finfo(dtype)
    lowest = _exponent(Fraction(info.smallest_normal))
    exponent = max(_exponent(abs(exact)), lowest) if exact else lowest
    spacing = Fraction(info.eps) * _power(exponent)
    return float(min(abs(Fraction(value) - exact) / spacing, _MOST))


def as_floats(tensor: Tensor) -> Array:
    """Return a float64 array, exact for every float dtype of at most 64 bits."""
    return as_array(tensor.double())


def _integer_dot(a: Array, b: Array) -> int:
    (a_high, a_low), (b_high, b_low) = ((v >> _HALF, v & ((1 << _HALF) - 1)) for v in (a, b))
    high, middle, low = (
        _integer_sum(products)
        for products in (a_high * b_high, a_high * b_low + a_low * b_high, a_low * b_low)
    )
    return (high << 2 * _HALF) + (middle << _HALF) + low


def _integer_sum(values: Array) -> int:
    sums = np.add.reduceat(values, np.arange(0, len(values), _SUMMANDS))
    return int(sum(sums.tolist()))


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def _exponent(value: Fraction) -> int:
    """Return the largest e with 2**e <= value."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if _power(exponent) <= value else exponent - 1
