"""The operands of functions, symbolic tensors among them: types, decorators and conversion."""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, cast, overload

from torch import Tensor

from batchdot.convert import TensorLike, as_tensor
from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tensor import KerasTensor

P = ParamSpec("P")

Operand: TypeAlias = TensorLike | KerasTensor
"""A tensor, something that becomes one, or a symbolic tensor."""


class OfTensor(Protocol[P]):
    """A function of a tensor and other arguments, with a symbolic result for symbolic tensors."""

    @overload
    def __call__(self, x: KerasTensor, /, *args: P.args, **kwargs: P.kwargs) -> KerasTensor: ...
    @overload
    def __call__(self, x: TensorLike, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


class OfTensors(Protocol[P]):
    """A function of a list of tensors and other arguments, likewise."""

    @overload
    def __call__(self, x: Sequence[KerasTensor], /, *args: P.args, **kwargs: P.kwargs) -> KerasTensor: ...
    @overload
    def __call__(self, x: Sequence[TensorLike], /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


def of_tensor(function: Callable[Concatenate[Any, P], Tensor]) -> OfTensor[P]:
    """Let a function whose first argument is a tensor take symbolic tensors.

    >>> from batchdot import Input
    >>> @of_tensor
    ... def twice(x):
    ...     return as_tensor(x) * 2
    >>> twice([1, 2]), twice(Input((3,))).shape
    (tensor([2, 4]), (None, 3))
    """
    return cast(OfTensor[P], symbolic(function))


def of_tensors(function: Callable[Concatenate[Any, P], Tensor]) -> OfTensors[P]:
    """Let a function whose first argument is a list of tensors take symbolic tensors."""
    return cast(OfTensors[P], symbolic(function))


def as_tensors(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return two operands as tensors; what is no tensor takes the dtype and the device of the other.

    As in Keras, an array of float64 beside a tensor of float32 becomes float32. Floats beside a tensor of
    integers are not rounded: they stay floats.

    >>> import numpy as np, torch
    >>> [value.dtype for value in as_tensors(torch.ones(2), np.ones(2))]
    [torch.float32, torch.float32]
    """
    if isinstance(x, Tensor):
        return x, (y if isinstance(y, Tensor) else constant_like(y, x))
    if isinstance(y, Tensor):
        return constant_like(x, y), y
    return as_tensor(x), as_tensor(y)


def constant_like(value: TensorLike, tensor: Tensor) -> Tensor:
    """Return a number, list or array as a tensor for arithmetic with another tensor; see `as_tensors`."""
    constant = as_tensor(value, tensor.device, tensor.dtype if tensor.is_floating_point() else None)
    rounds = constant.is_floating_point() and not tensor.is_floating_point()
    widens = constant.is_complex() and not tensor.is_complex()
    return constant if rounds or widens else constant.to(tensor.dtype)
