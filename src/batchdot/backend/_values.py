"""keras.backend functions that create tensors, inspect them, and get and set their values."""

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from batchdot import constraints, initializers
from batchdot.arrays.elementwise import cast
from batchdot.config import float_dtype, floatx
from batchdot.convert import Array, DTypeLike, TensorLike, as_array, as_tensor, dtype_name, parse_dtype
from batchdot.layers.core.input import InputLayer
from batchdot.registry import Identifier
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor
from batchdot.types import Shape

T = TypeVar("T")


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
    to = _dtype_or_floatx(dtype)
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
    made = as_tensor(value).detach().to(_dtype_or_floatx(dtype), copy=True)
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
    return torch.zeros(tuple(shape), dtype=_dtype_or_floatx(dtype))


def ones(shape: Sequence[int], dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return a tensor of ones.

    >>> ones((2,))
    tensor([1., 1.])
    """
    return torch.ones(tuple(shape), dtype=_dtype_or_floatx(dtype))


def eye(size: int | Sequence[int], dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return the identity matrix of a number of rows, or of rows and columns.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return torch.eye(*sizes, dtype=_dtype_or_floatx(dtype))


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
    return initializers.RandomUniform(low, high, seed)(shape, _dtype_or_floatx(dtype))


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
    return initializers.RandomNormal(mean, scale, seed)(shape, _dtype_or_floatx(dtype))


def int_shape(x: TensorLike | KerasTensor) -> Shape:
    """Return the shape as a tuple, with None for an unknown size.

    >>> int_shape(placeholder(shape=(None, 3)))
    (None, 3)
    """
    return tuple(x.shape if hasattr(x, "shape") else as_tensor(x).shape)


def shape(x: TensorLike | KerasTensor) -> Shape:
    """Return the shape as a tuple, as `int_shape` does. In TensorFlow the result is a tensor.

    >>> shape([[1.0, 2.0]])
    (1, 2)
    """
    return int_shape(x)


def ndim(x: TensorLike | KerasTensor) -> int:
    """Return the number of axes.

    >>> ndim(placeholder(shape=(None, 3)))
    2
    """
    return len(int_shape(x))


def dtype(x: TensorLike | KerasTensor) -> str:
    """Return the name of the dtype.

    >>> dtype(ones((2,))), dtype(placeholder((2,), dtype="int64"))
    ('float32', 'int64')
    """
    found = x.dtype if hasattr(x, "dtype") else as_tensor(x).dtype
    return dtype_name(found) if isinstance(found, torch.dtype) else str(found)


@overload
def eval(x: Tensor) -> Array: ...
@overload
def eval(x: T) -> T: ...
def eval(x: Any) -> Any:
    """Return the value of a dense or sparse tensor as a numpy array.

    Raises:
        TypeError: a symbolic tensor, which has no value.

    >>> eval(ones((2,)))
    array([1., 1.], dtype=float32)
    """
    return get_value(x.to_dense() if is_sparse(x) else x)


@overload
def get_value(x: Tensor) -> Array: ...
@overload
def get_value(x: T) -> T: ...
def get_value(x: Any) -> Any:
    """Return the value of a tensor as a numpy array, and any other object as it is.

    bfloat16, which numpy lacks, is returned as float32.

    Raises:
        TypeError: a symbolic tensor, which has no value.

    >>> get_value(zeros((2,))), get_value(3)
    (array([0., 0.], dtype=float32), 3)
    """
    if is_keras_tensor(x):
        raise TypeError(f"A symbolic tensor has no value. Received: {x!r}")
    if not isinstance(x, Tensor):
        return x
    return as_array(x).copy()


def set_value(x: Tensor, value: TensorLike) -> None:
    """Set the value of a tensor in place.

    Raises:
        ValueError: the shape of the value differs.

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


def is_sparse(tensor: object) -> bool:
    """Return whether a tensor is sparse.

    >>> is_sparse(ones((2, 2))), is_sparse(ones((2, 2)).to_sparse())
    (False, True)
    """
    return isinstance(tensor, Tensor) and tensor.layout != torch.strided


def to_dense(tensor: Tensor) -> Tensor:
    """Return a sparse tensor as a dense one, and any other as it is.

    >>> to_dense(ones((2,)).to_sparse())
    tensor([1., 1.])
    """
    return tensor.to_dense() if is_sparse(tensor) else tensor


def count_params(x: TensorLike | KerasTensor) -> int:
    """Return the number of elements.

    Raises:
        TypeError: a symbolic tensor of which a size is unknown.

    >>> count_params(zeros((2, 3)))
    6
    """
    return prod(int_shape(x))  # type: ignore[arg-type]


def cast_to_floatx(x: TensorLike | KerasTensor) -> Tensor | Array | KerasTensor:
    """Return a tensor in the dtype `floatx`, and anything else as a numpy array of it.

    >>> cast_to_floatx(torch.tensor([1])), cast_to_floatx([1])
    (tensor([1.]), array([1.], dtype=float32))
    """
    if is_keras_tensor(x) or isinstance(x, Tensor):
        return cast(x, floatx())
    return as_array(as_tensor(x).to(float_dtype()))


def backend() -> str:
    """Return ``"torch"``, the name that Keras 3 has for PyTorch.

    >>> backend()
    'torch'
    """
    return "torch"


def standardize_dtype(dtype: DTypeLike | None) -> str:
    """Return the name of a dtype; `floatx` for None.

    >>> standardize_dtype(torch.int8), standardize_dtype(None)
    ('int8', 'float32')

    Source: ``keras.backend.standardize_dtype`` of Keras 3.
    """
    return dtype_name(_dtype_or_floatx(dtype))


def is_float_dtype(dtype: DTypeLike) -> bool:
    """Return whether a dtype is floating.

    >>> is_float_dtype("bfloat16"), is_float_dtype("int8")
    (True, False)

    Source: ``keras.backend.is_float_dtype`` of Keras 3.
    """
    return parse_dtype(dtype).is_floating_point


def is_int_dtype(dtype: DTypeLike) -> bool:
    """Return whether a dtype is one of integers.

    >>> is_int_dtype("int8"), is_int_dtype("bool")
    (True, False)

    Source: ``keras.backend.is_int_dtype`` of Keras 3.
    """
    found = parse_dtype(dtype)
    return found != torch.bool and not (found.is_floating_point or found.is_complex)


def _dtype_or_floatx(dtype: DTypeLike | None) -> torch.dtype:
    return float_dtype() if dtype is None else parse_dtype(dtype)
