"""Reductions and scans under the names of keras.backend.

``axis`` is an axis, several, or None for all; negative ones count from the end. ``keepdims`` leaves reduced
axes with size 1. Sums and products keep the dtype, those of bools are int64. Means, variances and
deviations of integers and bools are computed in the default float dtype.
"""

import operator
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from batchdot.arrays.operands import of_tensor
from batchdot.config import float_dtype
from batchdot.convert import TensorLike, as_tensor
from batchdot.kernels.aten import normalize
from batchdot.planning.lowering import norm_dtype, result_dtype
from batchdot.types import EPSILON

Axes: TypeAlias = int | Sequence[int] | None


@of_tensor
def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the sum over axes.

    >>> sum([[1, 2], [3, 4]], axis=0)
    tensor([4, 6])
    """
    x = as_tensor(x)
    axes = _axes(x, axis)
    return x.sum(axes, keepdims, dtype=_total_dtype(x)) if axes else x.to(_total_dtype(x))


@of_tensor
def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the product over axes.

    >>> prod([[1, 2], [3, 4]])
    tensor(24)
    """
    x = as_tensor(x)
    kept = x.to(_total_dtype(x))
    for index in _axes(x, axis):  # torch multiplies over one axis at a time
        kept = kept.prod(index, keepdim=True, dtype=kept.dtype)
    return kept if keepdims else _drop(kept, _axes(x, axis))


@of_tensor
def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the mean over axes.

    >>> mean([[1, 2], [3, 4]], axis=1)
    tensor([1.5000, 3.5000])
    """
    x = _as_float(x)
    axes = _axes(x, axis)
    return x.mean(axes, keepdims) if axes else x


@of_tensor
def var(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the variance over axes: the mean of the squared distance from the mean.

    >>> var([1.0, 3.0]), torch.tensor([1.0, 3.0]).var()  # which divides by one less
    (tensor(1.), tensor(2.))
    """
    x = _as_float(x)
    axes = _axes(x, axis)
    return x.var(axes, correction=0, keepdim=keepdims) if axes else torch.zeros_like(x)


@of_tensor
def std(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the standard deviation over axes, the square root of `var`.

    >>> std([1.0, 3.0])
    tensor(1.)
    """
    x = _as_float(x)
    axes = _axes(x, axis)
    return x.std(axes, correction=0, keepdim=keepdims) if axes else torch.zeros_like(x)


@of_tensor
def max(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over axes.

    Raises:
        IndexError: an axis that is reduced has size 0, or is out of range.

    >>> max([[1, 2], [3, 0]], axis=-1)
    tensor([2, 3])
    """
    x = as_tensor(x)
    axes = _axes(x, axis)
    return x.amax(axes, keepdims) if axes else x


@of_tensor
def min(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over axes.

    Raises:
        IndexError: an axis that is reduced has size 0, or is out of range.

    >>> min([[1, 2], [3, 0]], axis=-1)
    tensor([1, 0])
    """
    x = as_tensor(x)
    axes = _axes(x, axis)
    return x.amin(axes, keepdims) if axes else x


@of_tensor
def any(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return whether any element is not 0, over axes.

    >>> any([[0, 2], [0, 0]], axis=1)
    tensor([ True, False])
    """
    x = as_tensor(x).bool()
    axes = _axes(x, axis)
    return x.any(axes, keepdims) if axes else x


@of_tensor
def all(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return whether no element is 0, over axes.

    >>> all([[1, 2], [0, 1]], axis=1)
    tensor([ True, False])
    """
    x = as_tensor(x).bool()
    axes = _axes(x, axis)
    return x.all(axes, keepdims) if axes else x


@of_tensor
def argmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the index of the first largest element along an axis, as int64.

    >>> argmax([[1, 9, 9], [4, 0, 1]])
    tensor([1, 0])
    """
    return _ordered(x).argmax(axis)


@of_tensor
def argmin(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the index of the first smallest element along an axis, as int64.

    >>> argmin([[1, 0, 0], [4, 0, 1]])
    tensor([1, 1])
    """
    return _ordered(x).argmin(axis)


@of_tensor
def cumsum(x: TensorLike, axis: int = 0) -> Tensor:
    """Return the sums of all elements up to each one, along an axis.

    >>> cumsum([[1, 2], [3, 4]], axis=1)
    tensor([[1, 3],
            [3, 7]])
    """
    x = as_tensor(x)
    return x.cumsum(axis, dtype=_total_dtype(x))


@of_tensor
def cumprod(x: TensorLike, axis: int = 0) -> Tensor:
    """Return the products of all elements up to each one, along an axis.

    >>> cumprod([1, 2, 3])
    tensor([1, 2, 6])
    """
    x = as_tensor(x)
    return x.cumprod(axis, dtype=_total_dtype(x))


@of_tensor
def l2_normalize(x: TensorLike, axis: Axes = None) -> Tensor:
    """Return ``x / sqrt(max(sum(x ** 2), 1e-12))``, with the sum over one axis, several, or all.

    The formula is evaluated in a wider dtype, so that squares neither overflow nor underflow. Integers
    are converted to the default float dtype.

    Raises:
        IndexError: the axis is out of range.

    >>> import torch
    >>> l2_normalize(torch.tensor([[3.0, 4.0]]), axis=1)
    tensor([[0.6000, 0.8000]])
    """
    x = as_tensor(x)
    dtype = result_dtype(x.dtype, x.dtype, normalize=True)
    norms = norm_dtype(dtype, x.device.type)
    if isinstance(axis, int):
        return normalize.l2_normalize(x, axis, EPSILON, dtype, norms)
    axes = _axes(x, axis)
    last = [index - len(axes) for index in range(len(axes))]
    moved = x.movedim(axes, last)
    slices = moved.flatten(x.ndim - len(axes)) if axes else moved.unsqueeze(-1)
    flat = normalize.l2_normalize(slices, -1, EPSILON, dtype, norms)
    return flat.reshape(moved.shape).movedim(last, axes)


def _axes(x: Tensor, axis: Axes) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    if isinstance(axis, Sequence):
        return tuple(map(operator.index, axis))
    return (operator.index(axis),)


def _drop(x: Tensor, axes: Sequence[int]) -> Tensor:
    return x.squeeze(tuple(axes)) if axes else x


def _total_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of sums and products: x's own, where torch would widen integers to int64."""
    return torch.int64 if x.dtype == torch.bool else x.dtype


def _ordered(x: TensorLike) -> Tensor:
    """Return x, with bools as integers, of which alone torch has an argmax."""
    x = as_tensor(x)
    return x.to(torch.uint8) if x.dtype == torch.bool else x


def _as_float(x: TensorLike) -> Tensor:
    x = as_tensor(x)
    return x if x.is_floating_point() or x.is_complex() else x.to(float_dtype())
