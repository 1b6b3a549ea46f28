"""L2-normalized slices, in ATen: the formula as if exact and rounded once.

``x * rsqrt(max(sum(|x|^2), epsilon))`` is the definition of tf.keras (``K.l2_normalize``). Three
things are done to it, none of which changes it:

* Sums are formed in a wider dtype, float64 where the device has it, so that neither float32 squares
  nor 16-bit ones overflow, underflow or lose digits.
* Where the squares could leave the range of that dtype as well, slices are first scaled by a power of
  two, a constant to autograd.
* Where no dtype is wider (float64), row cosines are evaluated in double-double arithmetic.
* A value that was corrected keeps the derivative of the formula: `straight_through`.
"""

from typing import Any

import torch
from torch import Tensor

from batchdot._torch import are_transforms_active, in_forward_mode, is_tracing
from batchdot.kernels.aten import double_double

# Slices are scaled so that their largest element has an exponent within half a step of 0, and a norm's
# fifth power, which a second derivative holds, stays in range.
_STEP = {torch.float64: 300, torch.complex128: 300, torch.float32: 38, torch.complex64: 38}
_LARGEST = {torch.float64: 900, torch.complex128: 900, torch.float32: 114, torch.complex64: 114}


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
    narrow = _may_overflow(dtype, wide)
    x_wide, x_floor = _upcast(x, dims, epsilon, wide, narrow)
    y_wide, y_floor = _upcast(y, dims, epsilon, wide, narrow)
    x_scale = _inverse_norm(x_wide, dims, x_floor)
    y_scale = _inverse_norm(y_wide, dims, y_floor)
    out = (x_wide * y_wide).sum(dims, True) * x_scale * y_scale
    if not narrow or wide.is_complex:
        return out.to(dtype)
    if exact:
        value = double_double.cosine(x_wide.detach(), y_wide.detach(), dims, x_floor, y_floor)
        return straight_through(out, value)
    return clamp_cosine(out)


def l2_normalize(x: Tensor, dim: int, epsilon: float, dtype: torch.dtype, wide: torch.dtype) -> Tensor:
    """Return x with its slices along ``dim`` normalized, rounded once to ``dtype``."""
    x_wide, floor = _upcast(x, (dim,), epsilon, wide, _may_overflow(dtype, wide))
    return (x_wide * _inverse_norm(x_wide, (dim,), floor)).to(dtype)


def clamp_cosine(cosine: Tensor) -> Tensor:
    """Return real cosines with values in [-1, 1] and with the derivative they had.

    clamp's own derivative is 0 where rounding pushed a value over the edge; the formula's is not.
    """
    return straight_through(cosine, cosine.detach().clamp(-1, 1))


def straight_through(tensor: Tensor, value: Tensor) -> Tensor:
    """Return ``value``, a constant, with the derivative of ``tensor``, which is finite where it is.

    What is added is 0, and carries the derivative; where nobody can ask for one it is left out.
    """
    return value + (tensor - tensor.detach()) if _is_differentiated(tensor) else value


def _is_differentiated(tensor: Tensor) -> bool:
    """Whether a derivative of a tensor can be asked for: backward, forward, or by torch.func."""
    return (
        tensor.requires_grad
        or is_tracing()
        or torch.compiler.is_exporting()
        or in_forward_mode(tensor, tensor)
        or are_transforms_active()
    )


def needs_scaling(epsilon: float, dtype: torch.dtype, wide: torch.dtype) -> bool:
    """Whether squares of ``dtype``, or a floor on them, can leave the range of ``wide``."""
    return _may_overflow(dtype, wide) or bool(_min_exponent(epsilon, wide))


def max_abs(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the largest absolute value of slices along ``dims``, 0 of empty ones: a constant."""
    parts = x.detach()
    largest = parts.real.abs().maximum(parts.imag.abs()) if x.is_complex() else parts.abs()
    return largest.amax(dims, True) if x.numel() else largest.sum(dims, True)


def power_of_two_scale(largest: Tensor, epsilon: float, wide: torch.dtype) -> Tensor:
    """Return what to scale slices by whose largest element is this."""
    lowest, step = _min_exponent(epsilon, wide), _STEP[wide]
    power: Tensor = torch.ones_like(largest) * _constant(2.0**-lowest, largest)
    for exponent in range(lowest + step, _LARGEST[wide] + 1, step):
        above = largest > _constant(2.0 ** (exponent - step // 2), largest)
        power = power.masked_fill(above, _constant(2.0**-exponent, largest))
    return power


def abs_squared(x: Tensor) -> Tensor:
    """Return |x|²."""
    return x.real * x.real + x.imag * x.imag if x.is_complex() else x * x


def _may_overflow(dtype: torch.dtype, wide: torch.dtype) -> bool:
    """Whether squares of ``dtype`` can leave the range of ``wide``."""
    return bool(torch.finfo(dtype).max > torch.finfo(wide).max ** 0.5)


def _min_exponent(epsilon: float, wide: torch.dtype) -> int:
    """Return the exponent, 0 or less, of the smallest slices that are worth scaling.

    A slice far below the floor needs none: the floor is what is divided by. (Compared, for torch.compile
    may hold epsilon as a symbol.)
    """
    step = _STEP[wide]
    return -step * len([power for power in (step, 3 * step, 5 * step) if epsilon < 2.0**-power])


def _upcast(
    x: Tensor, dims: tuple[int, ...], epsilon: float, wide: torch.dtype, scale: bool
) -> tuple[Tensor, Tensor | float]:
    """Return x in the wide dtype, scaled where its squares would leave its range, and the floor for it."""
    x = x.to(wide)
    floor = _constant(epsilon, x)
    if not (scale or _min_exponent(epsilon, wide)) or 0 in x.shape:
        return x, floor
    power = power_of_two_scale(max_abs(x, dims), epsilon, wide)
    return x * power, floor * power * power


def _constant(value: float, x: Tensor) -> Any:
    """Return a real number; as a tensor where a program is exported, for ONNX keeps numbers as float32."""
    if not torch.compiler.is_exporting():
        return value
    return torch.tensor(value, dtype=x.real.dtype if x.is_complex() else x.dtype, device=x.device)


def _inverse_norm(x: Tensor, dims: tuple[int, ...], floor: Tensor | float) -> Tensor:
    return abs_squared(x).sum(dims, True).clamp_min(floor).rsqrt()
