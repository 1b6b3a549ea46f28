"""L2-normalized slices, in ATen: the formula as if exact and rounded once.

``x * rsqrt(max(sum(|x|^2), epsilon))`` is the definition of tf.keras (``K.l2_normalize``). Three
things are done to it, none of which changes it:

* Sums are formed in a wider dtype, float64 where the device has it, so that neither float32 squares
  nor 16-bit ones overflow, underflow or lose digits.
* Where no dtype is wider (float64), slices are first scaled by a power of two, a constant to
  autograd, and row cosines are evaluated in double-double arithmetic.
* A value that was corrected keeps the derivative of the formula: `_with_value`.
"""

import torch
from torch import Tensor

from batchdot.kernels import _double_double as double_double

# Where the largest element is beyond the first number, squares are formed of elements times the
# second: the largest finite number times it squares without overflow, in sums of 2^40 and more terms.
_SCALING = {torch.float64: (2.0**480, 2.0**-600), torch.float32: (2.0**40, 2.0**-92)}


def row_cosine(
    x: Tensor,
    y: Tensor,
    dims: tuple[int, ...],
    epsilon: float,
    dtype: torch.dtype,
    wide: torch.dtype,
    exact: bool,
) -> Tensor:
    """Return the cosine of slices along ``dims``, which stay with size 1, rounded once to ``dtype``.

    ``exact`` asks for double-double arithmetic where ``wide`` is no wider than ``dtype``.
    """
    narrow = _as_narrow(dtype, wide)
    x_wide, x_floor = _widen(x, dims, epsilon, wide, narrow)
    y_wide, y_floor = _widen(y, dims, epsilon, wide, narrow)
    x_scale = _inverse_norm(x_wide, dims, x_floor)
    y_scale = _inverse_norm(y_wide, dims, y_floor)
    out = (x_wide * y_wide).sum(dims, True) * x_scale * y_scale
    if not narrow or wide.is_complex:
        return out.to(dtype)
    if exact:
        value = double_double.cosine(x_wide.detach(), y_wide.detach(), dims, x_floor, y_floor)
        return _with_value(out, value)
    return bounded(out)


def unit(x: Tensor, dim: int, epsilon: float, dtype: torch.dtype, wide: torch.dtype) -> Tensor:
    """Return x with its slices along ``dim`` normalized, rounded once to ``dtype``."""
    x_wide, floor = _widen(x, (dim,), epsilon, wide, _as_narrow(dtype, wide))
    return (x_wide * _inverse_norm(x_wide, (dim,), floor)).to(dtype)


def bounded(cosine: Tensor) -> Tensor:
    """Return real cosines with values in [-1, 1] and with the derivative they had.

    clamp's own derivative is 0 where rounding pushed a value over the edge; the formula's is not.
    """
    return _with_value(cosine, cosine.detach().clamp(-1, 1))


def _with_value(tensor: Tensor, value: Tensor) -> Tensor:
    """Return ``value`` with the derivative of ``tensor``, which is within a few ulp of it.

    The difference of such neighbours is exact, and so is the sum.
    """
    return tensor + (value - tensor).detach()


def _as_narrow(dtype: torch.dtype, wide: torch.dtype) -> bool:
    """Whether squares of ``dtype`` can leave the range of ``wide``."""
    return bool(torch.finfo(dtype).max > torch.finfo(wide).max ** 0.5)


def _widen(
    x: Tensor, dims: tuple[int, ...], epsilon: float, wide: torch.dtype, scale: bool
) -> tuple[Tensor, Tensor | float]:
    """Return x in the wide dtype, scaled where its squares would overflow, and the floor for it."""
    x = x.to(wide)
    if not scale or 0 in x.shape:
        return x, epsilon
    threshold, factor = _SCALING[wide.to_real()]
    parts = x.detach()
    largest = (parts.real.abs().maximum(parts.imag.abs()) if wide.is_complex else parts.abs()).amax(
        dims, True
    )
    power = torch.ones_like(largest).masked_fill(largest > threshold, factor)
    return x * power, epsilon * power * power


def _inverse_norm(x: Tensor, dims: tuple[int, ...], floor: Tensor | float) -> Tensor:
    squares = x.real * x.real + x.imag * x.imag if x.is_complex() else x * x
    return squares.sum(dims, True).clamp_min(floor).rsqrt()
