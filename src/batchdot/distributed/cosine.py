"""Cosines of slices that are sharded along the contracted axes, which no rank can normalize alone.

For rows, each rank sums x·y, x·x and y·y of its part in the dtype of norms. One all-reduce adds up the three
over the ranks; then every rank computes the same cosine from them, so the backward does not communicate. For
matrices that would be an all-reduce of all products in the wide dtype, so the norms are summed first, and
the products of normalized parts afterwards.

Where the dtype of norms is no wider than the result (float64), slices are scaled by a power of two that the
ranks agree on: one more all-reduce, of the largest elements.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from batchdot.distributed.collectives import all_reduce_max, all_reduce_sum
from batchdot.kernels.aten.normalize import (
    abs_squared,
    clamp_cosine,
    max_abs,
    needs_scaling,
    power_of_two_scale,
    saturating_cast,
)
from batchdot.ops.operation import Operation
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import ACCUMULATION_DTYPE, block_bytes, norm_dtype


def cosine_of_shards(
    operation: Operation,
    contraction: Contraction,
    x: Tensor,
    y: Tensor,
    dtype: torch.dtype,
    mesh: DeviceMesh,
    dims: Sequence[int],
    run: Callable[[Operation, Tensor, Tensor], Tensor],
) -> Tensor:
    """Return the cosines of slices whose parts are on the ranks of some mesh dimensions.

    Args:
        operation: the operation, with its epsilon.
        contraction: the contraction of the whole tensors.
        x: the local shard of x.
        y: the local shard of y.
        dtype: the dtype of the result.
        mesh: the mesh of the DTensors.
        dims: the mesh dimensions along which contracted axes are sharded.
        run: runs an operation on two local shards.
    """
    assert operation.epsilon is not None
    multiply = partial(run, operation.without_normalization())
    wide = norm_dtype(dtype, x.device.type)
    x_axes, y_axes = zip(*contraction.contracted, strict=True)
    floors: list[Tensor | float] = [operation.epsilon] * 2
    if needs_scaling(operation.epsilon, dtype, wide):
        x, y = saturating_cast(x, wide), saturating_cast(y, wide)
        largest = _coalesced(
            partial(all_reduce_max, mesh=mesh, dims=dims), [max_abs(x, x_axes), max_abs(y, y_axes)]
        )
        powers = [power_of_two_scale(part, operation.epsilon, wide) for part in largest]
        x, y = x * powers[0], y * powers[1]
        floors = [operation.epsilon * power * power for power in powers]
    add = partial(all_reduce_sum, mesh=mesh, dims=dims)

    def invert(squares: Sequence[Tensor]) -> list[Tensor]:
        return [s.clamp_min(floor).rsqrt() for s, floor in zip(squares, floors, strict=True)]

    def square(x: Tensor, y: Tensor) -> list[Tensor]:
        return [abs_squared(x).sum(x_axes, True), abs_squared(y).sum(y_axes, True)]

    def sum_rows(x: Tensor, y: Tensor) -> list[Tensor]:
        x, y = saturating_cast(x, wide), saturating_cast(y, wide)
        return [multiply(x, y), *square(x, y)]

    if _is_row_wise(contraction):
        products, *squares = _coalesced(add, _in_blocks(sum_rows, x, y, wide))
        return _rounded(products * _outer_scale(contraction, *invert(squares)), dtype)
    x, y = saturating_cast(x, wide), saturating_cast(y, wide)
    inverses = invert(_coalesced(add, square(x, y)))
    # The norms are constants before the sum. Their part of the derivative comes after it, as the ratio of an
    # inverse norm to its own value, which is 1: there it is the same on every rank.
    constants = [inverse.detach() for inverse in inverses]
    compute = ACCUMULATION_DTYPE.get(dtype, dtype)
    out = add(multiply((x * constants[0]).to(compute), (y * constants[1]).to(compute)))
    if out.requires_grad:
        ratios = [inverse / constant for inverse, constant in zip(inverses, constants, strict=True)]
        out = out * _outer_scale(contraction, *ratios).to(compute)
    return _rounded(out, dtype)


def _in_blocks(
    function: Callable[[Tensor, Tensor], list[Tensor]], x: Tensor, y: Tensor, wide: torch.dtype
) -> list[Tensor]:
    """Apply a function to blocks of samples, so that its copies in the wide dtype stay small."""
    rows = max(1, block_bytes(x.device.type) * x.shape[0] // max(1, x.numel() * wide.itemsize))
    if rows >= x.shape[0]:
        return function(x, y)
    blocks = [function(*pair) for pair in zip(torch.split(x, rows), torch.split(y, rows), strict=True)]
    return [torch.cat(parts) for parts in zip(*blocks, strict=True)]


def _rounded(cosine: Tensor, dtype: torch.dtype) -> Tensor:
    return cosine.to(dtype) if dtype.is_complex else saturating_cast(clamp_cosine(cosine), dtype)


def _is_row_wise(c: Contraction) -> bool:
    """Whether each sample is one row of x and one of y: I and J are 1."""
    return all(c.x_shape[axis] == 1 for axis in c.x_free) and all(c.y_shape[axis] == 1 for axis in c.y_free)


def _outer_scale(c: Contraction, x: Tensor, y: Tensor) -> Tensor:
    """Return the products of a number for each slice of x and one for each of y, in the result's shape.

    Both have the shapes of x and y with contracted axes of size 1: (B..., I..., 1...) and (B..., J..., 1...).
    """
    order = [pair[0] for pair in c.shared] + [*c.x_free] + [pair[0] for pair in c.contracted]
    x = x.permute(order).flatten(len(c.shared) + len(c.x_free)).squeeze(-1)
    order = [pair[1] for pair in c.shared] + [*c.y_free] + [pair[1] for pair in c.contracted]
    y = y.permute(order).flatten(len(c.shared) + len(c.y_free)).squeeze(-1)
    x = x[(...,) + (None,) * len(c.y_free)]
    y = y[(slice(None),) * len(c.shared) + (None,) * len(c.x_free)]
    out = x * y
    return out.unsqueeze(-1) if len(c.output_shape) > out.ndim else out


def _coalesced(reduce: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Reduce several tensors, real or complex, by one collective."""
    real = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    parts = torch.split(reduce(torch.cat([t.flatten() for t in real])), [t.numel() for t in real])
    shaped = [part.reshape(t.shape) for part, t in zip(parts, real, strict=True)]
    return [
        torch.view_as_complex(part) if t.is_complex() else part
        for part, t in zip(shaped, tensors, strict=True)
    ]
