"""Cosines of slices that are sharded themselves: what one rank cannot normalize alone.

Of rows, each rank sums x·y, x·x and y·y in the wide dtype over its part; one all-reduce of the three
makes them whole, and the cosine is a function of them that every rank evaluates for itself, so that its
backward takes no communication. Of matrices the products would be many wide numbers: there the norms are
summed first, and the products of normalized parts afterwards.

Where the wide dtype is no wider (float64), slices are scaled by a power of two that the ranks agree on:
one more all-reduce, of the largest elements.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from batchdot.distributed.collectives import largest_over, sum_over
from batchdot.kernels.aten.normalize import (
    abs_squared,
    clamp_cosine,
    max_abs,
    needs_scaling,
    power_of_two_scale,
)
from batchdot.ops.operation import Operation
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import ACCUMULATION_DTYPE, BLOCK_BYTES, norm_dtype


def cosine_of_shards(
    operation: Operation,
    contraction: Contraction,
    x: Tensor,
    y: Tensor,
    dtype: torch.dtype,
    mesh: DeviceMesh,
    dims: Sequence[int],
) -> Tensor:
    """Return the cosines of slices whose parts are on the ranks of some mesh dimensions.

    Args:
        operation: what was asked for, with its epsilon.
        contraction: of the whole tensors.
        x: the local shard of x.
        y: the local shard of y.
        dtype: of the result.
        mesh: where the shards are.
        dims: the mesh dimensions that share out the contraction.
    """
    assert operation.epsilon is not None
    multiply = Operation(operation.function, operation.rule)
    wide = norm_dtype(dtype, x.device.type)
    x_axes, y_axes = zip(*contraction.contracted, strict=True)
    floors: list[Tensor | float] = [operation.epsilon] * 2
    if needs_scaling(operation.epsilon, dtype, wide):
        x, y = x.to(wide), y.to(wide)
        largest = _together(
            partial(largest_over, mesh=mesh, dims=dims), [max_abs(x, x_axes), max_abs(y, y_axes)]
        )
        powers = [power_of_two_scale(part, operation.epsilon, wide) for part in largest]
        x, y = x.to(wide) * powers[0], y * powers[1]
        floors = [operation.epsilon * power * power for power in powers]
    add = partial(sum_over, mesh=mesh, dims=dims)

    def invert(squares: Sequence[Tensor]) -> list[Tensor]:
        return [s.clamp_min(floor).rsqrt() for s, floor in zip(squares, floors, strict=True)]

    def square(x: Tensor, y: Tensor) -> list[Tensor]:
        return [abs_squared(x).sum(x_axes, True), abs_squared(y).sum(y_axes, True)]

    def sum_rows(x: Tensor, y: Tensor) -> list[Tensor]:
        x, y = x.to(wide), y.to(wide)
        return [multiply(x, y), *square(x, y)]

    if _holds_rows(contraction):
        products, *squares = _together(add, _in_blocks(sum_rows, x, y, wide))
        return _rounded(products * _beside(contraction, *invert(squares)), dtype)
    x, y = x.to(wide), y.to(wide)
    inverses = invert(_together(add, square(x, y)))
    # Normalized by constants: what the norms contribute to the derivative stands behind the sum, as the
    # ratio of an inverse norm and its own value, 1. There it is the same on every rank.
    constants = [inverse.detach() for inverse in inverses]
    compute = ACCUMULATION_DTYPE.get(dtype, dtype)
    out = add(multiply((x * constants[0]).to(compute), (y * constants[1]).to(compute)))
    if out.requires_grad:
        ratios = [inverse / constant for inverse, constant in zip(inverses, constants, strict=True)]
        out = out * _beside(contraction, *ratios).to(compute)
    return _rounded(out, dtype)


def _in_blocks(
    function: Callable[[Tensor, Tensor], list[Tensor]], x: Tensor, y: Tensor, wide: torch.dtype
) -> list[Tensor]:
    """Return what a function of samples returns, whose wide copies are made for some at a time."""
    rows = max(1, BLOCK_BYTES * x.shape[0] // max(1, x.numel() * wide.itemsize))
    if rows >= x.shape[0]:
        return function(x, y)
    blocks = [function(*pair) for pair in zip(torch.split(x, rows), torch.split(y, rows), strict=True)]
    return [torch.cat(parts) for parts in zip(*blocks, strict=True)]


def _rounded(cosine: Tensor, dtype: torch.dtype) -> Tensor:
    return (cosine if dtype.is_complex else clamp_cosine(cosine)).to(dtype)


def _holds_rows(c: Contraction) -> bool:
    """Whether each sample has one row on both sides."""
    return all(c.x_shape[axis] == 1 for axis in c.x_free) and all(c.y_shape[axis] == 1 for axis in c.y_free)


def _beside(c: Contraction, x: Tensor, y: Tensor) -> Tensor:
    """Multiply numbers of the slices of x and of y, contracted axes of size 1, in the result's shape."""
    order = [pair[0] for pair in c.shared] + [*c.x_free] + [pair[0] for pair in c.contracted]
    x = x.permute(order).flatten(len(c.shared) + len(c.x_free)).squeeze(-1)
    order = [pair[1] for pair in c.shared] + [*c.y_free] + [pair[1] for pair in c.contracted]
    y = y.permute(order).flatten(len(c.shared) + len(c.y_free)).squeeze(-1)
    x = x[(...,) + (None,) * len(c.y_free)]
    y = y[(slice(None),) * len(c.shared) + (None,) * len(c.x_free)]
    out = x * y
    return out.unsqueeze(-1) if len(c.output_shape) > out.ndim else out


def _together(reduce: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Reduce several tensors of real or complex numbers as one."""
    real = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    parts = torch.split(reduce(torch.cat([t.flatten() for t in real])), [t.numel() for t in real])
    shaped = [part.reshape(t.shape) for part, t in zip(parts, real, strict=True)]
    return [
        torch.view_as_complex(part) if t.is_complex() else part
        for part, t in zip(shaped, tensors, strict=True)
    ]
