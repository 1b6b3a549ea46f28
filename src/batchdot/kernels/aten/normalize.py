"""L2 normalization and row cosines in ATen: ``x * rsqrt(max(sum(|x|^2), epsilon))``.

That is the formula of TensorFlow (``tf.math.l2_normalize``). Four things keep it accurate and in range:

* Squares are summed in ``norm_dtype``, float64 where the device has it, so that squares of float16, bfloat16
  and float32 neither overflow nor underflow nor lose digits.
* Where squares could leave the range of ``norm_dtype`` too (of float64 slices, or with a tiny epsilon),
  slices are first scaled by a power of two, which is a constant to autograd.
* Row cosines whose dtype is no narrower than ``norm_dtype`` (float64) are evaluated in double-double
  arithmetic, unless they are traced.
* A value that was corrected (clamped, or replaced by a more accurate one) keeps the derivative of the
  formula: a straight-through estimator, `straight_through`.

Error of a row cosine, where ``u = 2^-53`` and ``c = sum(|x·y|) / (|x| |y|)``, which is at most 1:

* float16, bfloat16, float32: half an ulp of the result plus about K·u·c.
* float64, eager: half an ulp plus about K²·2^-106·c.
* float64, traced or exported: half an ulp plus about 2·K·u·c.

The last term does not shrink with the result: where terms cancel, it may be any number of ulps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from batchdot._torch import are_transforms_active, in_forward_mode, is_tracing
from batchdot.kernels.aten import double_double

# Slices are scaled so that the exponent of their largest element is within _STEP / 2 of 0: the fifth power of
# a norm, which occurs in a second derivative, stays in range.
_STEP = {torch.float64: 300, torch.complex128: 300, torch.float32: 38, torch.complex64: 38}
_MAX_EXPONENT = {torch.float64: 900, torch.complex128: 900, torch.float32: 114, torch.complex64: 114}


def row_cosine(
    x: Tensor,
    y: Tensor,
    dims: tuple[int, ...],
    epsilon: float,
    dtype: torch.dtype,
    norm_dtype: torch.dtype,
    exact: bool,
) -> Tensor:
    """Return the cosines of slices along ``dims``: (B..., K...), (B..., K...) -> (B..., 1...).

    Args:
        x: tensor of shape (B..., K...).
        y: tensor of the same shape.
        dims: the axes K..., which are kept with size 1.
        epsilon: lower bound on the squared norms.
        dtype: dtype of the result.
        norm_dtype: dtype in which products and squares are summed.
        exact: whether to use double-double arithmetic where ``norm_dtype`` is no wider than ``dtype``. The
            module's docstring gives the errors.
    """
    may_overflow = _may_overflow(dtype, norm_dtype)
    x_wide, x_floor = _upcast(x, dims, epsilon, norm_dtype, may_overflow)  # (B..., K...), (B..., 1...)
    y_wide, y_floor = _upcast(y, dims, epsilon, norm_dtype, may_overflow)
    x_scale = _inverse_norm(x_wide, dims, x_floor)  # (B..., 1...)
    y_scale = _inverse_norm(y_wide, dims, y_floor)
    out = (x_wide * y_wide).sum(dims, True) * x_scale * y_scale
    if not may_overflow or norm_dtype.is_complex:  # rounding to a narrower dtype never exceeds 1
        return saturating_cast(out, dtype)
    if exact:
        value = double_double.cosine(x_wide.detach(), y_wide.detach(), dims, x_floor, y_floor)
        return straight_through(out, value).to(dtype)
    return clamp_cosine(out).to(dtype)


def l2_normalize(x: Tensor, dim: int, epsilon: float, dtype: torch.dtype, norm_dtype: torch.dtype) -> Tensor:
    """Return x with its slices along ``dim`` normalized in ``norm_dtype``, cast to ``dtype``; same shape."""
    x_wide, floor = _upcast(x, (dim,), epsilon, norm_dtype, _may_overflow(dtype, norm_dtype))
    return saturating_cast(x_wide * _inverse_norm(x_wide, (dim,), floor), dtype)


def clamp_cosine(cosine: Tensor) -> Tensor:
    """Clamp real cosines to [-1, 1], and keep their derivative.

    The derivative of ``clamp`` is 0 where rounding pushed a value beyond 1; the derivative of the formula
    is not.
    """
    return straight_through(cosine, cosine.detach().clamp(-1, 1))


def saturating_cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``tensor.to(dtype)``, whose derivatives saturate where the narrower dtype cannot hold them.

    A finite derivative that is beyond the range of its dtype becomes the largest number of that dtype.

    The gradient of a cosine with respect to a slice whose norm is the floor is up to 1 / sqrt(epsilon), 1e6,
    times the incoming one: infinite in float16, and NaN where a layer below multiplies it by 0. It is a plain
    cast in programs made by torch.export, which have to run without batchdot, and where torch.compile cannot
    trace a Function: below torch.func, and in `l2_normalize`.
    """
    if tensor.dtype == dtype or tensor.is_complex() or dtype.is_complex or not tensor.is_floating_point():
        return tensor.to(dtype)
    untraceable = is_tracing() or (torch.compiler.is_compiling() and are_transforms_active())
    if torch.compiler.is_exporting() or untraceable or not _is_differentiated(tensor):
        return tensor.to(dtype)
    result: Tensor = _SaturatingCast.apply(tensor, dtype)  # type: ignore[no-untyped-call]
    return result


class _SaturatingCast(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.to(dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.dtypes = inputs[0].dtype, inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _saturated(gradient, ctx.dtypes[0]), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, dtype: None) -> Tensor:
        return _saturated(tangent, ctx.dtypes[1])


def _saturated(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    most = torch.finfo(dtype).max
    if torch.finfo(tensor.dtype).max > most:
        tensor = torch.where(tensor.isfinite(), tensor.clamp(-most, most), tensor)
    return tensor.to(dtype)


def straight_through(tensor: Tensor, value: Tensor) -> Tensor:
    """Return ``value``, a constant, with the derivative of ``tensor``: a straight-through estimator.

    ``tensor - tensor.detach()`` is 0 with a derivative, where ``tensor`` is finite. It is left out where
    nothing can be differentiated.
    """
    return value + (tensor - tensor.detach()) if _is_differentiated(tensor) else value


def _is_differentiated(tensor: Tensor) -> bool:
    """Whether backward, forward mode or torch.func may differentiate through a tensor."""
    return (
        tensor.requires_grad
        or is_tracing()
        or torch.compiler.is_exporting()
        or in_forward_mode(tensor, tensor)
        or are_transforms_active()
    )


def needs_scaling(epsilon: float, dtype: torch.dtype, norm_dtype: torch.dtype) -> bool:
    """Whether squares of ``dtype``, or a lower bound on them, can leave the range of ``norm_dtype``."""
    return _may_overflow(dtype, norm_dtype) or bool(_min_exponent(epsilon, norm_dtype))


def max_abs(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the largest absolute value of slices along ``dims``, without a derivative; 0 if they are empty.

    (B..., K...) -> (B..., 1...). Of complex numbers, the larger of real and imaginary part.
    """
    parts = x.detach()
    largest = parts.real.abs().maximum(parts.imag.abs()) if x.is_complex() else parts.abs()
    return largest.amax(dims, True) if x.numel() else largest.sum(dims, True)


def power_of_two_scale(largest: Tensor, epsilon: float, norm_dtype: torch.dtype) -> Tensor:
    """Return the powers of two by which to scale slices with these largest elements; same shape."""
    min_exponent, step = _min_exponent(epsilon, norm_dtype), _STEP[norm_dtype]
    scale: Tensor = torch.ones_like(largest) * _constant(2.0**-min_exponent, largest)
    for exponent in range(min_exponent + step, _MAX_EXPONENT[norm_dtype] + 1, step):
        above = largest > _constant(2.0 ** (exponent - step // 2), largest)
        scale = scale.masked_fill(above, _constant(2.0**-exponent, largest))
    return scale


def abs_squared(x: Tensor) -> Tensor:
    """Return |x|² of each element, a real tensor."""
    return x.real * x.real + x.imag * x.imag if x.is_complex() else x * x


def _may_overflow(dtype: torch.dtype, norm_dtype: torch.dtype) -> bool:
    """Whether squares of ``dtype`` can leave the range of ``norm_dtype``."""
    return bool(torch.finfo(dtype).max > torch.finfo(norm_dtype).max ** 0.5)


def _min_exponent(epsilon: float, norm_dtype: torch.dtype) -> int:
    """Return the exponent, 0 or less, of the smallest slices that are scaled.

    Slices far below the lower bound on their norm are divided by that bound, and need no scaling. (By
    comparisons instead of a logarithm, because epsilon may be a symbol under torch.compile.)
    """
    step = _STEP[norm_dtype]
    return -step * len([exponent for exponent in (step, 3 * step, 5 * step) if epsilon < 2.0**-exponent])


def _upcast(
    x: Tensor, dims: tuple[int, ...], epsilon: float, norm_dtype: torch.dtype, scale: bool
) -> tuple[Tensor, Tensor | float]:
    """Return x in ``norm_dtype``, scaled where its squares could leave the range, and the floor for it.

    (B..., K...) -> (B..., K...), and a number or (B..., 1...).
    """
    x = saturating_cast(x, norm_dtype)
    floor = _constant(epsilon, x)
    if not (scale or _min_exponent(epsilon, norm_dtype)) or 0 in x.shape:
        return x, floor
    power = power_of_two_scale(max_abs(x, dims), epsilon, norm_dtype)
    return x * power, floor * power * power


def _constant(value: float, x: Tensor) -> Tensor | float:
    """Return a real number; in torch.export as a tensor, because ONNX stores Python floats as float32."""
    if not torch.compiler.is_exporting():
        return value
    return torch.tensor(value, dtype=x.real.dtype if x.is_complex() else x.dtype, device=x.device)


def _inverse_norm(x: Tensor, dims: tuple[int, ...], floor: Tensor | float) -> Tensor:
    """Return 1 / |x| of slices along ``dims``: (B..., K...) -> (B..., 1...)."""
    return abs_squared(x).sum(dims, True).clamp_min(floor).rsqrt()
