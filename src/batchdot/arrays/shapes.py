"""Functions under the names of keras.backend that change the shape of tensors, or select from them."""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.arrays.operands import of_tensor, of_tensors
from batchdot.config import image_data_format
from batchdot.convert import TensorLike, as_tensor


@of_tensor
def expand_dims(x: TensorLike, axis: int = -1) -> Tensor:
    """Return a tensor with a new axis of size 1.

    Raises:
        IndexError: the axis is out of range.

    >>> import torch
    >>> expand_dims(torch.ones(2, 3), axis=1).shape
    torch.Size([2, 1, 3])
    """
    return as_tensor(x).unsqueeze(axis)


@of_tensor
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


@of_tensor
def permute_dimensions(x: TensorLike, pattern: Sequence[int]) -> Tensor:
    """Return a tensor with its axes in the order of a pattern.

    >>> import torch
    >>> permute_dimensions(torch.ones(2, 3, 4), (0, 2, 1)).shape
    torch.Size([2, 4, 3])
    """
    return as_tensor(x).permute(tuple(pattern))


@of_tensor
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


@of_tensor
def transpose(x: TensorLike) -> Tensor:
    """Return a tensor with its axes in reverse order.

    >>> import torch
    >>> transpose(torch.ones(2, 3, 4)).shape
    torch.Size([4, 3, 2])
    """
    x = as_tensor(x)
    return x.permute(tuple(range(x.ndim))[::-1])


@of_tensor
def flatten(x: TensorLike) -> Tensor:
    """Return all elements in one axis.

    >>> flatten([[1, 2], [3, 4]])
    tensor([1, 2, 3, 4])
    """
    return as_tensor(x).flatten()


@of_tensor
def batch_flatten(x: TensorLike) -> Tensor:
    """Return a tensor of two axes: the first one, and all others in one.

    >>> import torch
    >>> batch_flatten(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])
    """
    x = as_tensor(x)
    return x.reshape(x.shape[0], prod(x.shape[1:]))


@of_tensors
def concatenate(tensors: Sequence[TensorLike], axis: int = -1) -> Tensor:
    """Return tensors joined along an axis.

    >>> concatenate([[[1, 2]], [[3]]])
    tensor([[1, 2, 3]])
    """
    return torch.cat([as_tensor(tensor) for tensor in tensors], axis)


@of_tensors
def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new axis.

    >>> stack([[1, 2], [3, 4]], axis=1)
    tensor([[1, 3],
            [2, 4]])
    """
    return torch.stack([as_tensor(tensor) for tensor in x], axis)


@of_tensor
def tile(x: TensorLike, n: int | Sequence[int]) -> Tensor:
    """Return a tensor that repeats x ``n[i]`` times along each axis i.

    Raises:
        ValueError: n has another length than x has axes.

    >>> tile([[1, 2]], (2, 2))
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    x = as_tensor(x)
    times = (n,) if isinstance(n, int) else tuple(n)
    if len(times) != x.ndim:
        raise ValueError(f"tile takes a number for each axis. Received: n={n!r}, x.shape={tuple(x.shape)}.")
    return x.tile(times)


@of_tensor
def repeat(x: TensorLike, n: int) -> Tensor:
    """Return a tensor of shape (B, n, d) that repeats each row of one of shape (B, d).

    Raises:
        ValueError: x has other than two axes.

    >>> repeat([[1, 2]], 2)
    tensor([[[1, 2],
             [1, 2]]])
    """
    x = as_tensor(x)
    if x.ndim != 2:
        raise ValueError(f"repeat takes a tensor of two axes. Received: x.shape={tuple(x.shape)}.")
    return x.unsqueeze(1).repeat(1, n, 1)


@of_tensor
def repeat_elements(x: TensorLike, rep: int, axis: int) -> Tensor:
    """Return a tensor that repeats each element along an axis.

    >>> repeat_elements([[1, 2]], 2, axis=1)
    tensor([[1, 1, 2, 2]])
    """
    return as_tensor(x).repeat_interleave(rep, axis)


@of_tensor
def reverse(x: TensorLike, axes: int | Sequence[int]) -> Tensor:
    """Return a tensor in the opposite order along axes.

    >>> reverse([[1, 2], [3, 4]], axes=1)
    tensor([[2, 1],
            [4, 3]])
    """
    return as_tensor(x).flip(axes if isinstance(axes, int) else tuple(axes))


@of_tensor
def gather(reference: TensorLike, indices: TensorLike) -> Tensor:
    """Return the rows of a tensor that integers of any shape name.

    Raises:
        IndexError: an index is negative, or not below the number of rows.

    >>> gather([[1.0, 2.0], [3.0, 4.0]], [[1], [0]])
    tensor([[[3., 4.]],
    <BLANKLINE>
            [[1., 2.]]])
    """
    rows = as_tensor(reference)
    index = as_tensor(indices, rows.device)
    # Unlike indexing, `index_select` does not count negative numbers from the end.
    return rows.index_select(0, index.flatten().long()).reshape(index.shape + rows.shape[1:])


@of_tensor
def one_hot(indices: TensorLike, num_classes: int) -> Tensor:
    """Return float32 with a new last axis that is 1 at each index, and 0 elsewhere.

    An index outside ``[0, num_classes)`` gives zeros, where ``torch.nn.functional.one_hot`` raises an error.

    >>> one_hot([0, 2, -1], 3)
    tensor([[1., 0., 0.],
            [0., 0., 1.],
            [0., 0., 0.]])
    """
    index = as_tensor(indices)
    return (index.unsqueeze(-1) == torch.arange(num_classes, device=index.device)).to(torch.float32)


@of_tensor
def temporal_padding(x: TensorLike, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """Return a tensor of shape (B, T, d) with zeros before and after its steps.

    >>> temporal_padding([[[1.0], [2.0]]], (1, 0))[0, :, 0]
    tensor([0., 1., 2.])
    """
    return _pad(as_tensor(x), [padding], "channels_last", 1)


@of_tensor
def spatial_2d_padding(
    x: TensorLike,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1)),
    data_format: str | None = None,
) -> Tensor:
    """Return images with rows and columns of zeros around them.

    Args:
        x: images of shape (B, H, W, C), or (B, C, H, W) with ``channels_first``.
        padding: how many rows above and below, and how many columns left and right.
        data_format: ``channels_last`` or ``channels_first``, by default `image_data_format`.

    >>> import torch
    >>> spatial_2d_padding(torch.ones(1, 2, 2, 3)).shape
    torch.Size([1, 4, 4, 3])
    """
    return _pad(as_tensor(x), padding, data_format, 2)


@of_tensor
def spatial_3d_padding(
    x: TensorLike,
    padding: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1), (1, 1)),
    data_format: str | None = None,
) -> Tensor:
    """Return volumes with zeros around them; see `spatial_2d_padding`.

    >>> import torch
    >>> spatial_3d_padding(torch.ones(1, 2, 2, 2, 3)).shape
    torch.Size([1, 4, 4, 4, 3])
    """
    return _pad(as_tensor(x), padding, data_format, 3)


def channel_axis(data_format: str | None, rank: int) -> int:
    """Return the axis of the channels.

    Raises:
        ValueError: ``data_format`` is neither ``channels_last`` nor ``channels_first``.

    >>> channel_axis("channels_first", 4), channel_axis(None, 4)
    (1, 3)
    """
    given = image_data_format() if data_format is None else data_format
    if given not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format is channels_last or channels_first. Received: {data_format!r}")
    return 1 if given == "channels_first" else rank - 1


def _pad(x: Tensor, padding: Sequence[Sequence[int]], data_format: str | None, spatial: int) -> Tensor:
    """Pad the spatial axes of a tensor of shape (B, *spatial, C) or (B, C, *spatial)."""
    if x.ndim != spatial + 2 or len(padding) != spatial:
        raise ValueError(
            f"Padding takes {spatial + 2} axes and {spatial} pairs of sizes. "
            f"Received: x.shape={tuple(x.shape)}, padding={padding}."
        )
    pairs = [size for pair in reversed(padding) for size in pair]  # torch begins with the last axis
    return F.pad(x, pairs if channel_axis(data_format, x.ndim) == 1 else [0, 0, *pairs])
