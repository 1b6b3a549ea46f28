"""keras.backend functions that create tensors, and placeholders of tensors."""

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from batchdot import constraints, initializers
from batchdot.convert import DTypeLike, TensorLike, as_tensor, dtype_or_floatx, parse_dtype
from batchdot.layers.core.input import InputLayer
from batchdot.registry import Identifier
from batchdot.symbolic.tensor import KerasTensor


@runtime_checkable
class SupportsToCoo(Protocol):
    """A scipy sparse matrix."""

    def tocoo(self) -> Any:
        """Return the matrix in coordinate format."""
        ...


def placeholder(
    shape: Sequence[int | None] | None = None,
    ndim: int | None = None,
    dtype: DTypeLike | None = None,
    sparse: bool = False,
    name: str | None = None,
    ragged: bool = False,
) -> KerasTensor:
    """Return a symbolic tensor of a shape, or of ``ndim`` unknown sizes, as the input of a graph.

    Raises:
        ValueError: neither is given, or ``sparse`` or ``ragged`` is true.

    >>> placeholder(shape=(2, 3)).shape, placeholder(ndim=2).shape
    ((2, 3), (None, None))
    """
    if shape is None and ndim is None:
        raise ValueError("placeholder needs a shape, or the number of axes as ndim.")
    sizes = (None,) * ndim if shape is None and ndim is not None else shape
    layer = InputLayer(batch_input_shape=sizes, dtype=dtype, sparse=sparse, ragged=ragged)
    (output,) = layer.inbound_nodes[0].outputs
    output.name = name
    return output


def variable(
    value: TensorLike | SupportsToCoo,
    dtype: DTypeLike | None = None,
    name: str | None = None,
    constraint: Identifier = None,
) -> Tensor:
    """Return a tensor with a copy of a value, by default of dtype `floatx`.

    A scipy sparse matrix becomes a sparse tensor. A constraint is stored as an attribute of the tensor.

    >>> variable(np.arange(3))
    tensor([0., 1., 2.])
    """
    to = dtype_or_floatx(dtype)
    if isinstance(value, SupportsToCoo):
        matrix = value.tocoo()
        indices = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
        made = torch.sparse_coo_tensor(indices, matrix.data, matrix.shape, dtype=to, check_invariants=True)
    else:
        made = as_tensor(value).detach().to(to, copy=True)
    if constraint is not None:
        made.constraint = constraints.get(constraint)  # type: ignore[attr-defined]
    return made


def constant(
    value: TensorLike,
    dtype: DTypeLike | None = None,
    shape: Sequence[int] | None = None,
    name: str | None = None,
) -> Tensor:
    """Return a tensor of a value, by default of dtype `floatx`; a single number is repeated to fill a shape.

    Raises:
        ValueError: the value has neither one element nor as many as the shape.

    >>> constant(2, shape=(3,)), constant([[1, 2]], dtype="int64", shape=(2, 1)).tolist()
    (tensor([2., 2., 2.]), [[1], [2]])
    """
    made = as_tensor(value).detach().to(dtype_or_floatx(dtype), copy=True)
    if shape is None:
        return made
    if made.numel() not in (1, prod(shape)):
        raise ValueError(
            f"constant cannot fill the shape {tuple(shape)} with a value of shape {tuple(made.shape)}."
        )
    return (made if made.numel() == prod(shape) else made.flatten().repeat(prod(shape))).reshape(tuple(shape))


def zeros(shape: Sequence[int], dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of zeros.

    >>> zeros((2,)), ones((2,), "int32").dtype
    (tensor([0., 0.]), torch.int32)
    """
    return torch.zeros(tuple(shape), dtype=dtype_or_floatx(dtype))


def ones(shape: Sequence[int], dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of ones.

    >>> ones((2,))
    tensor([1., 1.])
    """
    return torch.ones(tuple(shape), dtype=dtype_or_floatx(dtype))


def eye(size: int | Sequence[int], dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return the identity matrix of a number of rows, or of rows and columns.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return torch.eye(*sizes, dtype=dtype_or_floatx(dtype))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike = "int32") -> Tensor:
    """Return the numbers from start, or 0, up to but without stop.

    >>> arange(3), arange(1, 2, 0.5, dtype="float32")
    (tensor([0, 1, 2], dtype=torch.int32), tensor([1.0000, 1.5000]))
    """
    first, end = (0, max(start, 0)) if stop is None else (start, stop)
    return torch.arange(first, end, step).to(parse_dtype(dtype))


def random_uniform_variable(
    shape: Sequence[int],
    low: float,
    high: float,
    dtype: DTypeLike | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return a tensor of samples from the uniform distribution over [low, high).

    Raises:
        ValueError: the dtype is not floating.

    >>> random_uniform_variable((2, 3), low=0, high=1).shape
    torch.Size([2, 3])
    """
    return initializers.RandomUniform(low, high, seed)(shape, dtype)


def random_normal_variable(
    shape: Sequence[int],
    mean: float,
    scale: float,
    dtype: DTypeLike | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return a tensor of samples from the normal distribution with a mean and a standard deviation ``scale``.

    Raises:
        ValueError: the dtype is not floating.

    >>> random_normal_variable((2, 3), mean=5, scale=0.0)[0]
    tensor([5., 5., 5.])
    """
    return initializers.RandomNormal(mean, scale, seed)(shape, dtype)
