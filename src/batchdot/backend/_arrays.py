"""Tensors in other shapes, orders, dtypes and lengths; symbolic ones too."""

from typing import Any

from batchdot.convert import as_tensor, read_dtype
from batchdot.kernels.aten import normalize
from batchdot.ops.functional import EPSILON
from batchdot.planning.lowering import norm_dtype, result_dtype
from batchdot.symbolic.functions import symbolic


@symbolic
def l2_normalize(x: Any, axis: Any = None) -> Any:
    """Return ``x / sqrt(max(sum(x ** 2), 1e-12))``, summed over an axis, several, or all.

    The formula is evaluated in a wider dtype and rounded once: neither overflow nor underflow of the
    squares changes it. Integers are computed in the default float dtype.

    Raises:
        IndexError: there is no such axis.

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


@symbolic
def expand_dims(x: Any, axis: int = -1) -> Any:
    """Return a tensor with a new axis of size 1.

    Raises:
        IndexError: there is no such place.

    >>> import torch
    >>> expand_dims(torch.ones(2, 3), axis=1).shape
    torch.Size([2, 1, 3])
    """
    return as_tensor(x).unsqueeze(axis)


@symbolic
def squeeze(x: Any, axis: int) -> Any:
    """Return a tensor without an axis of size 1.

    Raises:
        ValueError: its size is another.
        IndexError: there is no such axis.

    >>> import torch
    >>> squeeze(torch.ones(2, 1, 3), 1).shape
    torch.Size([2, 3])
    """
    x = as_tensor(x)
    if x.shape[axis] != 1:
        raise ValueError(f"squeeze removes an axis of size 1, and axis {axis} of {tuple(x.shape)} is not.")
    return x.squeeze(axis)


@symbolic
def permute_dimensions(x: Any, pattern: Any) -> Any:
    """Return a tensor with its axes in the order of a pattern.

    >>> import torch
    >>> permute_dimensions(torch.ones(2, 3, 4), (0, 2, 1)).shape
    torch.Size([2, 4, 3])
    """
    return as_tensor(x).permute(tuple(pattern))


@symbolic
def reshape(x: Any, shape: Any) -> Any:
    """Return a tensor in another shape; one size may be -1, or None as `shape` has it, and is found out.

    Raises:
        ValueError: several sizes are to be found out.
        RuntimeError: the sizes do not fit.

    >>> import torch
    >>> reshape(torch.ones(2, 6), (-1, 3)).shape
    torch.Size([4, 3])
    """
    sizes = [-1 if size is None else int(size) for size in shape]
    if sizes.count(-1) > 1:
        raise ValueError(
            f"reshape finds out one size at most. Received: shape={tuple(shape)}. "
            "layers.Reshape leaves the batch axis as it is."
        )
    return as_tensor(x).reshape(sizes)


@symbolic
def transpose(x: Any) -> Any:
    """Return a tensor with its axes in reverse order.

    >>> import torch
    >>> transpose(torch.ones(2, 3, 4)).shape
    torch.Size([4, 3, 2])
    """
    x = as_tensor(x)
    return x.permute(tuple(range(x.ndim))[::-1])


@symbolic
def cast(x: Any, dtype: Any) -> Any:
    """Return a tensor in another dtype.

    Raises:
        TypeError: there is none of that name.

    >>> cast([1, 0], "bool")
    tensor([ True, False])
    """
    return as_tensor(x).to(read_dtype(dtype))
