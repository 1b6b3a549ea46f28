"""keras.backend functions that reshape, permute, cast or normalize a tensor, also a symbolic one."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, overload
from typing import cast as typing_cast

from torch import Tensor

from batchdot.convert import DTypeLike, TensorLike, as_tensor, parse_dtype
from batchdot.kernels.aten import normalize
from batchdot.planning.lowering import norm_dtype, result_dtype
from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tensor import KerasTensor
from batchdot.types import EPSILON

P = ParamSpec("P")


class _TensorFunction(Protocol[P]):
    """A function of a tensor, with a symbolic result for a symbolic argument."""

    @overload
    def __call__(self, x: KerasTensor, /, *args: P.args, **kwargs: P.kwargs) -> KerasTensor: ...
    @overload
    def __call__(self, x: TensorLike, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


def _accepts_symbolic(function: Callable[Concatenate[TensorLike, P], Tensor]) -> _TensorFunction[P]:
    """Apply `symbolic`, with the types that follow from it."""
    return typing_cast(_TensorFunction[P], symbolic(function))


@_accepts_symbolic
def l2_normalize(x: TensorLike, axis: int | Sequence[int] | None = None) -> Tensor:
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
    kind = result_dtype(x.dtype, x.dtype, normalize=True)
    wide = norm_dtype(kind, x.device.type)
    if isinstance(axis, int):
        return normalize.l2_normalize(x, axis, EPSILON, kind, wide)
    axes = range(x.ndim) if axis is None else axis
    last = [index - len(axes) for index in range(len(axes))]
    moved = x.movedim(tuple(axes), last)
    slices = moved.flatten(x.ndim - len(axes)) if axes else moved.unsqueeze(-1)
    flat = normalize.l2_normalize(slices, -1, EPSILON, kind, wide)
    return flat.reshape(moved.shape).movedim(last, tuple(axes))


@_accepts_symbolic
def expand_dims(x: TensorLike, axis: int = -1) -> Tensor:
    """Return a tensor with a new axis of size 1.

    Raises:
        IndexError: the axis is out of range.

    >>> import torch
    >>> expand_dims(torch.ones(2, 3), axis=1).shape
    torch.Size([2, 1, 3])
    """
    return as_tensor(x).unsqueeze(axis)


@_accepts_symbolic
def squeeze(x: TensorLike, axis: int) -> Tensor:
    """Return a tensor without an axis of size 1.

    Raises:
        ValueError: the size of the axis is not 1.
        IndexError: the axis is out of range.

    >>> import torch
    >>> squeeze(torch.ones(2, 1, 3), 1).shape
    torch.Size([2, 3])
    """
    x = as_tensor(x)
    if x.shape[axis] != 1:
        raise ValueError(f"squeeze needs an axis of size 1. Received: axis={axis}, x.shape={tuple(x.shape)}.")
    return x.squeeze(axis)


@_accepts_symbolic
def permute_dimensions(x: TensorLike, pattern: Sequence[int]) -> Tensor:
    """Return a tensor with its axes in the order of a pattern.

    >>> import torch
    >>> permute_dimensions(torch.ones(2, 3, 4), (0, 2, 1)).shape
    torch.Size([2, 4, 3])
    """
    return as_tensor(x).permute(tuple(pattern))


@_accepts_symbolic
def reshape(x: TensorLike, shape: Sequence[int | None]) -> Tensor:
    """Return a tensor with another shape, in which one size may be -1 or None, to be inferred.

    Raises:
        ValueError: more than one size is -1 or None.
        RuntimeError: the number of elements differs.

    >>> import torch
    >>> reshape(torch.ones(2, 6), (-1, 3)).shape
    torch.Size([4, 3])
    """
    sizes = [-1 if size is None else int(size) for size in shape]
    if sizes.count(-1) > 1:
        raise ValueError(
            f"reshape can infer one size only. Received: shape={tuple(shape)}. "
            "layers.Reshape keeps the batch axis."
        )
    return as_tensor(x).reshape(sizes)


@_accepts_symbolic
def transpose(x: TensorLike) -> Tensor:
    """Return a tensor with its axes in reverse order.

    >>> import torch
    >>> transpose(torch.ones(2, 3, 4)).shape
    torch.Size([4, 3, 2])
    """
    x = as_tensor(x)
    return x.permute(tuple(range(x.ndim))[::-1])


@_accepts_symbolic
def cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """Return a tensor in another dtype.

    Raises:
        TypeError: torch has no such dtype.

    >>> cast([1, 0], "bool")
    tensor([ True, False])
    """
    return as_tensor(x).to(parse_dtype(dtype))
