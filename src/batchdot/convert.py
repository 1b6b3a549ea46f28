"""Conversion: whatever a user passes for a tensor, turned into one, or refused in a sentence; and back."""

import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_tensor(
    value: Any, device: torch.device | None = None, float_dtype: torch.dtype | None = None
) -> Tensor:
    """Return ``value`` as a dense tensor of numbers.

    Args:
        value: a tensor, which is returned as it is; a numpy array or anything that numpy can read
            as one, whose dtype is kept; a number or nested list of numbers, of the default dtype
            where they are floats and int64 where they are integers.
        device: where to put what was not a tensor.
        float_dtype: the floating dtype of what was not a tensor, if it is not to be kept.

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
    tensor = _from_numbers(value) if _is_plain(value) else _from_array(value)
    if float_dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(float_dtype)
    return tensor if device is None else tensor.to(device)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without "torch.", as numpy and Keras write it.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def as_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return the numbers of a tensor as a numpy array, which shares their memory where it can.

    bfloat16, which numpy lacks, becomes float32.

    >>> as_array(torch.ones(2, dtype=torch.bfloat16))
    array([1., 1.], dtype=float32)
    """
    value = tensor.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def check_operands(x: Tensor, y: Tensor, function: str, names: tuple[str, str] = ("x", "y")) -> None:
    """Refuse tensors that no contraction is defined for; ``names`` are what the function calls them.

    Raises:
        TypeError: a sparse or nested tensor, or the dtypes of `check_dtypes`.
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
    """Refuse dtypes that have no products and sums, or no common dtype.

    Raises:
        TypeError: a dtype is bool, a float of 8 bits or less, quantized or of raw bits; or torch does
            not promote the two to a common one.
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
    if x != y and (_meets_in_no_dtype(x, y) or _meets_in_no_dtype(y, x)):
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
"""The dtypes that are multiplied and summed."""

_UNPROMOTED = frozenset([torch.uint16, torch.uint32, torch.uint64])
"""The integers that torch promotes to nothing but floats."""


def _meets_in_no_dtype(x: torch.dtype, y: torch.dtype) -> bool:
    return x in _UNPROMOTED and not y.is_floating_point


def _holds_tensor(values: Any) -> bool:
    return any(isinstance(v, Tensor) or (isinstance(v, list | tuple) and _holds_tensor(v)) for v in values)


def read_dtype(dtype: Any) -> torch.dtype:
    """Return the torch dtype for a torch dtype, a numpy one, or the name of either.

    Raises:
        TypeError: there is none of that name.

    >>> read_dtype("float32"), read_dtype(np.int64), read_dtype(torch.bool)
    (torch.float32, torch.int64, torch.bool)
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype.removeprefix("torch.") if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"Expected a torch.dtype or the name of one, but got: {dtype!r}")
    return found


def _is_plain(value: Any) -> bool:
    """Whether the first number in nested lists, if there is one, is Python's own."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, bool | int | float | complex | list | tuple) and not isinstance(
        value, np.generic
    )


def _from_numbers(value: Any) -> Tensor:
    try:
        return torch.tensor(value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        text = str(error).partition("\n")[0]
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"Cannot read the nested list as a tensor of numbers: {text}.") from None


def _from_array(value: Any) -> Tensor:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of what is refused below
            array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        text = str(error).partition("\n")[0]
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"Cannot read {type(value).__name__} as a tensor of numbers: {text}") from None
    if array.dtype.name == "bfloat16":  # as ml_dtypes registers it for JAX and TensorFlow
        return torch.from_numpy(array.copy().view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind not in "iufcb" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise TypeError(
            f"Cannot read {type(value).__name__} as a tensor of numbers: its dtype is {array.dtype}."
        )
    # torch shares memory with arrays that are writable, in native order, of strides that count elements.
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    strides = all(stride >= 0 and stride % native.itemsize == 0 for stride in native.strides)
    shareable = native.flags.writeable and strides
    return torch.from_numpy(native if shareable else native.copy())


def is_sharded(value: Any) -> bool:
    """Return whether a value is a DTensor. A program that never loaded them has none.

    >>> is_sharded(torch.ones(2))
    False
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, getattr(module, "DTensor", ()))
