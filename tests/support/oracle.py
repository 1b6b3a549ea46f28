"""What is right, from the documented rule alone: nothing here comes from the package under test.

Products are formed sample by sample with numpy.tensordot, in float64, complex128 or Python's integers;
cosines row by row in exact rational arithmetic.
"""

import itertools
from fractions import Fraction
from math import isqrt

import numpy as np
import torch

INTEGERS = {
    torch.int8: (8, True),
    torch.int16: (16, True),
    torch.int32: (32, True),
    torch.int64: (64, True),
    torch.uint8: (8, False),
    torch.uint16: (16, False),
    torch.uint32: (32, False),
    torch.uint64: (64, False),
}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return float64, complex128, or an object array of Python integers."""
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    if tensor.dtype in INTEGERS:
        return np.array(tensor.numpy().astype(object))
    if tensor.dtype == torch.complex32:
        tensor = tensor.to(torch.complex64)
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).numpy()


def resolve(axes, x_rank: int, y_rank: int) -> tuple[list[int], list[int]]:
    """Return the contracted axes of both inputs, counted from the front."""
    if axes is None:
        axes = (-1, -1) if y_rank == 2 else (-1, -2)
    pair = (axes, axes) if isinstance(axes, int) else axes
    groups = [[group] if isinstance(group, int) else list(group) for group in pair]
    return [a % x_rank for a in groups[0]], [a % y_rank for a in groups[1]]


def batch_dot(x: np.ndarray, y: np.ndarray, axes, batch_dims: int = 1) -> np.ndarray:
    """Return out[b] = tensordot(x[b], y[b], axes), with a trailing 1 where its rank would be 1."""
    x_axes, y_axes = resolve(axes, x.ndim, y.ndim)
    shared = x.shape[:batch_dims]
    x_free = [n for a, n in enumerate(x.shape) if a >= batch_dims and a not in x_axes]
    y_free = [n for a, n in enumerate(y.shape) if a >= batch_dims and a not in y_axes]
    out = np.zeros((*shared, *x_free, *y_free), dtype=np.result_type(x, y))
    inner = [a - batch_dims for a in x_axes], [a - batch_dims for a in y_axes]
    for index in itertools.product(*map(range, shared)):
        if 0 not in x.shape and 0 not in y.shape:
            out[index] = np.tensordot(x[index], y[index], axes=inner)
    return out[:, None] if out.ndim == 1 else out


def normalized(x: np.ndarray, axes: list[int], epsilon: float) -> np.ndarray:
    """Return x * 1 / sqrt(max(sum(|x|^2), epsilon)) along axes."""
    squares = (np.abs(x) ** 2).sum(axis=tuple(axes), keepdims=True)
    return x / np.sqrt(np.maximum(squares, epsilon))


def cosine(x: np.ndarray, y: np.ndarray, axes, batch_dims: int = 1, epsilon: float = 1e-12) -> np.ndarray:
    """Return batch_dot of both inputs normalized, in float64."""
    x, y = (t.astype(np.float64) if t.dtype == object else t for t in (x, y))
    x_axes, y_axes = resolve(axes, x.ndim, y.ndim)
    return batch_dot(normalized(x, x_axes, epsilon), normalized(y, y_axes, epsilon), axes, batch_dims)


def wrap(value: int, dtype: torch.dtype) -> int:
    """Return an integer as a dtype holds it."""
    bits, signed = INTEGERS[dtype]
    value %= 1 << bits
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def exact_cosine(x: list[float], y: list[float], epsilon: float = 1e-12) -> Fraction:
    """Return the cosine of two rows to some 60 digits, as a fraction."""
    a, b = ([Fraction(v) for v in row] for row in (x, y))
    floor = Fraction(epsilon)
    squares = max(sum(v * v for v in a), floor) * max(sum(v * v for v in b), floor)
    product = sum(v * w for v, w in zip(a, b, strict=True))
    return product / root_of(squares)


def root_of(square: Fraction) -> Fraction:
    """Return the square root of a positive fraction to 200 bits and more."""
    # sqrt(p/q) = sqrt(p q) / q; the radicand is scaled so that isqrt keeps 200 bits and more.
    radicand = square.numerator * square.denominator
    shift = max(0, 400 - radicand.bit_length())
    shift += shift % 2
    return Fraction(isqrt(radicand << shift), square.denominator << (shift // 2))


def ulps(value: float, exact: Fraction, dtype: torch.dtype) -> float:
    """Return the error of a value in units of the dtype's last place at the exact result."""
    info = torch.finfo(dtype)
    digits = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}[dtype]
    if exact == 0:
        return 0.0 if value == 0 else float("inf")
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    spacing = max(Fraction(2) ** (exponent - digits + 1), Fraction(info.smallest_normal) / 2 ** (digits - 1))
    return float(abs(Fraction(value) - exact) / spacing)
