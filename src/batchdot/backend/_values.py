"""Tensors made, looked at and set."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchdot import constraints, initializers
from batchdot.config import float_dtype
from batchdot.convert import as_array, as_tensor, dtype_name, read_dtype
from batchdot.layers.core.input import InputLayer
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor
from batchdot.types import Shape


def placeholder(
    shape: Any = None,
    ndim: int | None = None,
    dtype: Any = None,
    sparse: bool = False,
    name: str | None = None,
    ragged: bool = False,
) -> KerasTensor:
    """Return a symbolic tensor of a shape, or of ``ndim`` unknown sizes, to begin a graph with.

    Raises:
        ValueError: neither is given; a sparse or ragged one is asked for.

    >>> placeholder(shape=(2, 3)).shape, placeholder(ndim=2).shape
    ((2, 3), (None, None))
    """
    if shape is None and ndim is None:
        raise ValueError("placeholder needs a shape or a number of axes, ndim.")
    sizes = (None,) * ndim if shape is None and ndim is not None else shape
    layer = InputLayer(batch_input_shape=sizes, dtype=dtype, sparse=sparse, ragged=ragged)
    (output,) = layer.inbound_nodes[0].outputs
    output.name = name
    return output


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Tensor:
    """Return a tensor that holds a copy of a value, of dtype `floatx` where none is given.

    A scipy sparse matrix becomes a sparse tensor. A constraint is kept as an attribute of the tensor.

    >>> variable(np.arange(3))
    tensor([0., 1., 2.])
    """
    kind = _read(dtype)
    if hasattr(value, "tocoo"):
        value = value.tocoo()
        indices = torch.from_numpy(np.stack([value.row, value.col]).astype(np.int64))
        made = torch.sparse_coo_tensor(indices, value.data, value.shape, dtype=kind, check_invariants=True)
    else:
        made = as_tensor(value).detach().to(kind, copy=True)
    if constraint is not None:
        made.constraint = constraints.get(constraint)  # type: ignore[attr-defined]
    return made


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Tensor:
    """Return a tensor of a value, of dtype `floatx` where none is given; a single number fills a shape.

    Raises:
        ValueError: the value has another number of elements than the shape.

    >>> constant(2, shape=(3,)), constant([[1, 2]], dtype="int64", shape=(2, 1)).tolist()
    (tensor([2., 2., 2.]), [[1], [2]])
    """
    made = as_tensor(value).detach().to(_read(dtype), copy=True)
    if shape is None:
        return made
    if made.numel() not in (1, prod(shape)):
        raise ValueError(
            f"constant cannot fill the shape {tuple(shape)} with a value of shape {tuple(made.shape)}."
        )
    return (made if made.numel() == prod(shape) else made.flatten().repeat(prod(shape))).reshape(tuple(shape))


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Return a tensor of zeros.

    >>> zeros((2,)), ones((2,), "int32").dtype
    (tensor([0., 0.]), torch.int32)
    """
    return torch.zeros(tuple(shape), dtype=_read(dtype))


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Return a tensor of ones.

    >>> ones((2,))
    tensor([1., 1.])
    """
    return torch.ones(tuple(shape), dtype=_read(dtype))


def random_uniform_variable(
    shape: Any, low: float, high: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Tensor:
    """Return a tensor drawn uniformly from [low, high).

    Raises:
        ValueError: a dtype that is not floating.

    >>> random_uniform_variable((2, 3), low=0, high=1).shape
    torch.Size([2, 3])
    """
    return initializers.RandomUniform(low, high, seed)(shape, _read(dtype))


def random_normal_variable(
    shape: Any, mean: float, scale: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Tensor:
    """Return a tensor drawn from the normal distribution of a mean and a standard deviation, ``scale``.

    Raises:
        ValueError: a dtype that is not floating.

    >>> random_normal_variable((2, 3), mean=5, scale=0.0)[0]
    tensor([5., 5., 5.])
    """
    return initializers.RandomNormal(mean, scale, seed)(shape, _read(dtype))


def int_shape(x: Any) -> Shape:
    """Return a shape as a tuple, of None where a size is unknown.

    >>> int_shape(placeholder(shape=(None, 3)))
    (None, 3)
    """
    return tuple(x.shape if hasattr(x, "shape") else as_tensor(x).shape)


def shape(x: Any) -> Shape:
    """Return a shape as a tuple, as `int_shape`. TensorFlow's is a tensor.

    >>> shape([[1.0, 2.0]])
    (1, 2)
    """
    return int_shape(x)


def ndim(x: Any) -> int:
    """Return the number of axes.

    >>> ndim(placeholder(shape=(None, 3)))
    2
    """
    return len(int_shape(x))


def dtype(x: Any) -> str:
    """Return the name of the dtype.

    >>> dtype(ones((2,))), dtype(placeholder((2,), dtype="int64"))
    ('float32', 'int64')
    """
    return dtype_name(x.dtype if hasattr(x, "dtype") else as_tensor(x).dtype)


def eval(x: Any) -> Any:
    """Return the value of a tensor as a numpy array, a sparse one as a dense array.

    Raises:
        TypeError: a symbolic tensor, which has none.

    >>> eval(ones((2,)))
    array([1., 1.], dtype=float32)
    """
    return get_value(x.to_dense() if is_sparse(x) else x)


def get_value(x: Any) -> Any:
    """Return the value of a tensor as a numpy array; what is not a tensor as it is.

    bfloat16, which numpy lacks, is returned as float32.

    Raises:
        TypeError: a symbolic tensor, which has none.

    >>> get_value(zeros((2,))), get_value(3)
    (array([0., 0.], dtype=float32), 3)
    """
    if is_keras_tensor(x):
        raise TypeError(f"A symbolic tensor holds no numbers. Received: {x!r}")
    if not isinstance(x, Tensor):
        return x
    return as_array(x).copy()


def set_value(x: Tensor, value: Any) -> None:
    """Set the numbers of a tensor, in place.

    Raises:
        ValueError: a value of another shape.

    >>> x = zeros((2,))
    >>> set_value(x, [1, 2])
    >>> x
    tensor([1., 2.])
    """
    new = as_tensor(value)
    if new.shape != x.shape:
        raise ValueError(
            f"set_value cannot set a tensor of shape {tuple(x.shape)} to a value of shape {tuple(new.shape)}."
        )
    with torch.no_grad():
        x.copy_(new)


def is_sparse(tensor: Any) -> bool:
    """Return whether a tensor is sparse.

    >>> is_sparse(ones((2, 2))), is_sparse(ones((2, 2)).to_sparse())
    (False, True)
    """
    return isinstance(tensor, Tensor) and tensor.layout != torch.strided


def _read(dtype: Any) -> torch.dtype:
    return float_dtype() if dtype is None else read_dtype(dtype)
