"""The functions of keras.backend that dot products are met with, under their names there."""

from typing import Any

import torch
from torch import Tensor

from batchdot.contraction import Shape
from batchdot.functional import batch_dot, dot
from batchdot.graph.tensor import KerasTensor, is_keras_tensor

__all__ = [
    "batch_dot",
    "dot",
    "int_shape",
    "is_keras_tensor",
    "ones",
    "placeholder",
    "random_uniform_variable",
]


def placeholder(
    shape: Any = None, ndim: int | None = None, dtype: str | None = None, name: str | None = None
) -> KerasTensor:
    """Return a symbolic tensor of a shape, or of ``ndim`` unknown sizes.

    Raises:
        ValueError: neither is given.

    >>> placeholder(shape=(2, 3)).shape, placeholder(ndim=2).shape
    ((2, 3), (None, None))
    """
    if shape is None and ndim is None:
        raise ValueError("placeholder needs a shape or a number of axes, ndim.")
    sizes = (None,) * ndim if shape is None and ndim is not None else tuple(shape)
    return KerasTensor(sizes, None if dtype is None else getattr(torch, dtype), name)


def ones(shape: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of ones.

    >>> ones((2,))
    tensor([1., 1.])
    """
    return torch.ones(tuple(shape), dtype=None if dtype is None else getattr(torch, dtype))


def random_uniform_variable(
    shape: Any,
    low: float,
    high: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return a tensor drawn uniformly from [low, high).

    >>> random_uniform_variable((2, 3), low=0, high=1).shape
    torch.Size([2, 3])
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    uniform = torch.rand(
        tuple(shape), generator=generator, dtype=None if dtype is None else getattr(torch, dtype)
    )
    return low + (high - low) * uniform


def int_shape(x: Any) -> Shape:
    """Return a shape as a tuple, of None where a size is unknown.

    >>> int_shape(placeholder(shape=(None, 3)))
    (None, 3)
    """
    return tuple(x.shape)
