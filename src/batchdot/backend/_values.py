"""keras.backend functions that inspect tensors and dtypes, and get and set values."""

from math import prod
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from batchdot.arrays.elementwise import cast
from batchdot.config import float_dtype, floatx
from batchdot.convert import (
    Array,
    DTypeLike,
    TensorLike,
    as_array,
    as_tensor,
    dtype_name,
    dtype_or_floatx,
    parse_dtype,
)
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor
from batchdot.types import Shape

T = TypeVar("T")


def int_shape(x: TensorLike | KerasTensor) -> Shape:
    """Return the shape as a tuple, with None for an unknown size.

    >>> from batchdot import Input
    >>> int_shape(Input((3,)))
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

    >>> ndim(torch.ones(2, 3))
    2
    """
    return len(int_shape(x))


def dtype(x: TensorLike | KerasTensor) -> str:
    """Return the name of the dtype.

    >>> from batchdot import Input
    >>> dtype(torch.ones(2)), dtype(Input((2,), dtype="int64"))
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

    >>> eval(torch.ones(2))
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

    >>> get_value(torch.zeros(2)), get_value(3)
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

    >>> x = torch.zeros(2)
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

    >>> is_sparse(torch.ones(2, 2)), is_sparse(torch.ones(2, 2).to_sparse())
    (False, True)
    """
    return isinstance(tensor, Tensor) and tensor.layout != torch.strided


def to_dense(tensor: Tensor) -> Tensor:
    """Return a sparse tensor as a dense one, and any other as it is.

    >>> to_dense(torch.ones(2).to_sparse())
    tensor([1., 1.])
    """
    return tensor.to_dense() if is_sparse(tensor) else tensor


def count_params(x: TensorLike | KerasTensor) -> int:
    """Return the number of elements.

    Raises:
        TypeError: a symbolic tensor of which a size is unknown.

    >>> count_params(torch.zeros(2, 3))
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
    return dtype_name(dtype_or_floatx(dtype))


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
