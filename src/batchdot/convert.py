"""Conversion of user inputs to tensors and dtypes, of tensors to numpy arrays, and checks of operands."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from batchdot import config

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A numpy array of any shape and dtype."""


class SupportsArray(Protocol):
    """An object that numpy can convert, such as a pandas Series or a tensor of another library."""

    def __array__(self) -> Array:
        """Return the object as a numpy array."""
        ...


Number: TypeAlias = bool | int | float | complex | np.generic

TensorLike: TypeAlias = Tensor | SupportsArray | Number | Sequence["TensorLike"]
"""What `as_tensor` converts: tensors, arrays, numbers and nested lists of numbers."""

AxesLike: TypeAlias = int | Sequence[int | Sequence[int]] | None
"""The contracted axes as a user passes them: one for both inputs, or for each input one or several."""

DTypeLike: TypeAlias = torch.dtype | np.dtype[Any] | type | str
"""What `parse_dtype` accepts: a dtype of torch or numpy, or the name of either."""


def as_tensor(
    value: TensorLike, device: torch.device | None = None, float_dtype: torch.dtype | None = None
) -> Tensor:
    """Return ``value`` as a dense tensor of numbers.

    Args:
        value: a tensor, which is returned as it is; an array, whose dtype is kept; or a number or nested
            list of numbers, which becomes int64 for integers and the default dtype for floats.
        device: the device of the result if the value is not a tensor.
        float_dtype: the dtype of the result if the value is floating and not a tensor; None keeps it.

    Raises:
        TypeError: the value does not hold numbers, or holds bools.
        ValueError: the nested lists are ragged.

    >>> as_tensor([[1, 2]]).dtype, as_tensor(np.ones(2)).dtype
    (torch.int64, torch.float64)
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple) and _holds_tensor(value):
        raise TypeError("Expected a tensor, and received a list of tensors. Use torch.stack to make one.")
    tensor = _from_numbers(value, device) if _is_python_number(value) else _from_array(value)
    if float_dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(float_dtype)
    return tensor if device is None else tensor.to(device)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without "torch.", as numpy and Keras write it.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def as_array(tensor: Tensor) -> Array:
    """Return a tensor as a numpy array of the same shape, which shares its memory if it is on the CPU.

    bfloat16, which numpy lacks, becomes float32. A DTensor is gathered, which all ranks take part in.

    >>> as_array(torch.ones(2, dtype=torch.bfloat16))
    array([1., 1.], dtype=float32)
    """
    whole: Any = tensor
    value: Tensor = (whole.full_tensor() if is_sharded(tensor) else tensor).detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def check_operands(x: Tensor, y: Tensor, function: str, names: tuple[str, str] = ("x", "y")) -> None:
    """Check that two tensors can be contracted; ``names`` are their names in error messages.

    Raises:
        TypeError: a sparse or nested tensor, or dtypes that `check_dtypes` refuses.
        ValueError: the tensors are on different devices.
    """
    for name, tensor in zip(names, (x, y), strict=True):
        if tensor.is_nested or tensor.layout != torch.strided:
            kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
            raise TypeError(
                f"{function} takes dense tensors, and {name} is {kind}. Convert it first: "
                f"{'torch.nested.to_padded_tensor' if tensor.is_nested else name + '.to_dense()'}."
            )
    if x.device != y.device:
        raise ValueError(
            f"{function} takes tensors on one device, and {names[0]} is on {x.device}, "
            f"{names[1]} on {y.device}."
        )
    check_dtypes(x.dtype, y.dtype, function, names)


def check_dtypes(x: torch.dtype, y: torch.dtype, function: str, names: tuple[str, str] = ("x", "y")) -> None:
    """Check that two dtypes support products and sums and have a common dtype.

    Raises:
        TypeError: a dtype is bool, a float of at most 8 bits, quantized or raw bits; or torch promotes
            the two to no common dtype.
    """
    for name, dtype in zip(names, (x, y), strict=True):
        if dtype == torch.bool:
            raise TypeError(
                f"{function} takes numbers, and {name} is bool. Say which you mean: {name}.int() counts, "
                f"{name}.float() weighs."
            )
        if dtype not in ARITHMETIC:
            raise TypeError(
                f"{function} cannot multiply {name} of {dtype}. Cast it first, to torch.float32 say."
            )
    if x != y and (_has_no_common_dtype(x, y) or _has_no_common_dtype(y, x)):
        raise TypeError(
            f"{function} finds no common dtype for {names[0]} of {x} and {names[1]} of {y}. Cast one of them."
        )


ARITHMETIC = frozenset(
    [
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex32,
        torch.complex64,
        torch.complex128,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
    ]
)
"""The dtypes that can be contracted."""

_UNPROMOTED = frozenset([torch.uint16, torch.uint32, torch.uint64])
"""The integer dtypes that torch promotes to no other integer dtype."""


def _has_no_common_dtype(x: torch.dtype, y: torch.dtype) -> bool:
    return x in _UNPROMOTED and not y.is_floating_point


def _holds_tensor(values: Any) -> bool:
    return any(isinstance(v, Tensor) or (isinstance(v, list | tuple) and _holds_tensor(v)) for v in values)


def parse_dtype(dtype: DTypeLike) -> torch.dtype:
    """Return the torch dtype for a torch dtype, a numpy dtype, or the name of either.

    Raises:
        TypeError: torch has no dtype of this name.

    >>> parse_dtype("float32"), parse_dtype(np.int64), parse_dtype(torch.bool)
    (torch.float32, torch.int64, torch.bool)
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype.removeprefix("torch.") if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"Expected a torch.dtype or the name of one, but got: {dtype!r}")
    return found


def dtype_or_floatx(dtype: DTypeLike | None) -> torch.dtype:
    """Return the torch dtype for what `parse_dtype` accepts, and `floatx` for None.

    Raises:
        TypeError: torch has no dtype of this name.

    >>> dtype_or_floatx("int8"), dtype_or_floatx(None)
    (torch.int8, torch.float32)
    """
    return config.float_dtype() if dtype is None else parse_dtype(dtype)


def _is_python_number(value: Any) -> bool:
    """Return whether the first number in nested lists is of a Python type (or there is none)."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, bool | int | float | complex | list | tuple) and not isinstance(
        value, np.generic
    )


def _from_numbers(value: Any, device: torch.device | None) -> Tensor:
    try:
        return torch.tensor(value, device=device)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        text = str(error).partition("\n")[0]
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"Cannot convert the nested list to a tensor: {text}.") from None


def _from_array(value: Any) -> Tensor:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are refused below
            array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        text = str(error).partition("\n")[0]
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"Cannot convert {type(value).__name__} to a tensor: {text}") from None
    if array.dtype.name == "bfloat16":  # of ml_dtypes, used by JAX and TensorFlow
        return torch.from_numpy(array.copy().view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind not in "iufcb" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise TypeError(f"Cannot convert {type(value).__name__} to a tensor: its dtype is {array.dtype}.")
    # torch can share memory only if it is writable, in native byte order, and strides are whole elements.
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    strides = all(stride >= 0 and stride % native.itemsize == 0 for stride in native.strides)
    shareable = native.flags.writeable and strides
    return torch.from_numpy(native if shareable else native.copy())


def is_sharded(value: object) -> bool:
    """Return whether a value is a DTensor, without importing torch.distributed.tensor.

    >>> is_sharded(torch.ones(2))
    False
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, getattr(module, "DTensor", ()))


def like_sharded(value: Tensor, other: Tensor) -> Tensor:
    """Return a tensor, whole on all ranks, with the placements of another if that is a DTensor."""
    if not is_sharded(other) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = other
    return distribute_tensor(value.to(other.device), sharded.device_mesh, sharded.placements)
