"""Plan the sharding of a dot product of two DTensors: one rule for each mesh dimension.

    rule  x becomes  y becomes  result     communication of the contraction itself
    B     Shard(b)   Shard(b)   Shard(b)   none
    I     Shard(i)   Replicate  Shard(i)   none
    J     Replicate  Shard(j)   Shard(j)   none
    K     Shard(k)   Shard(k)   Partial    none; reading the result sums it over the ranks
    R     Replicate  Replicate  Replicate  none

For cosines, and for dtypes whose products are accumulated in a wider dtype (16-bit floats in float32), the
sum over the ranks must precede rounding: rule K sums at once, and its result is Replicate.

A rule without communication is chosen if there is one; taking a shard of a replicated tensor is free.
Otherwise the rule with the fewest received bytes is chosen, with those of summing a Partial result:

    from         to           bytes that a rank receives, of a tensor of S bytes on n ranks
    Shard        other Shard  S (n-1) / n²   all-to-all (gloo has none: torch gathers and slices)
    Shard        Replicate    S (n-1) / n    all-gather
    Partial      Shard        S (n-1) / n    reduce-scatter
    Partial      Replicate    2 S (n-1) / n  all-reduce

The gradient of a sharded tensor has its placement. That of a Replicate tensor stays a Shard or a Partial,
as with torch's own operators: reading it, or an optimizer step, sums it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, prod

import torch
from torch.distributed.tensor import Partial, Placement, Replicate, Shard

from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import ACCUMULATION_DTYPE, result_dtype


@dataclass(frozen=True, slots=True)
class DimPlan:
    """The rule of one mesh dimension, the placements it needs, and the bytes that a rank receives."""

    rule: str
    x: Placement
    y: Placement
    out: Placement
    comm_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ShardingPlan:
    """How two sharded tensors are contracted: a rule and placements for each mesh dimension.

    >>> from torch.distributed.tensor import Replicate, Shard
    >>> rows = Contraction.batch_dot((6, 100), (6, 100), 1)
    >>> plan = plan_sharding(rows, [Shard(0)], [Replicate()], [2])
    >>> plan.rules, plan.x, plan.y
    ('B', (Shard(dim=0),), (Shard(dim=0),))
    """

    dims: tuple[DimPlan, ...]

    @property
    def rules(self) -> str:
        """The letters of the rules, one for each mesh dimension."""
        return "".join(dim_plan.rule for dim_plan in self.dims)

    @property
    def x(self) -> tuple[Placement, ...]:
        """The placements that x is redistributed to."""
        return tuple(dim_plan.x for dim_plan in self.dims)

    @property
    def y(self) -> tuple[Placement, ...]:
        """The placements that y is redistributed to."""
        return tuple(dim_plan.y for dim_plan in self.dims)

    @property
    def out(self) -> tuple[Placement, ...]:
        """The placements of the result."""
        return tuple(dim_plan.out for dim_plan in self.dims)

    @property
    def x_grad(self) -> tuple[Placement, ...]:
        """The placements of the local gradients of x."""
        return tuple(_gradient(dim_plan.x, dim_plan.rule == "J") for dim_plan in self.dims)

    @property
    def y_grad(self) -> tuple[Placement, ...]:
        """The placements of the local gradients of y."""
        return tuple(_gradient(dim_plan.y, dim_plan.rule == "I") for dim_plan in self.dims)

    @property
    def summed(self) -> tuple[int, ...]:
        """The mesh dimensions over which the result is summed before it is rounded."""
        return tuple(
            dim
            for dim, dim_plan in enumerate(self.dims)
            if dim_plan.rule == "K" and dim_plan.out == Replicate()
        )

    def __str__(self) -> str:
        return "\n".join(
            f"mesh dimension {dim}: {m.rule}, x {m.x}, y {m.y}, result {m.out}, {m.comm_bytes} bytes moved"
            + (", summed over the ranks at once" if dim in self.summed else "")
            for dim, m in enumerate(self.dims)
        )


def plan_sharding(
    contraction: Contraction,
    x: Sequence[Placement],
    y: Sequence[Placement],
    mesh_shape: Sequence[int],
    *,
    x_dtype: torch.dtype = torch.float32,
    y_dtype: torch.dtype = torch.float32,
    normalize: bool = False,
) -> ShardingPlan:
    """Decide how to contract two sharded tensors, from their shapes and placements alone.

    Args:
        contraction: what to compute, on the shapes of the whole tensors.
        x: the placements of x, one for each mesh dimension.
        y: the placements of y.
        mesh_shape: the number of ranks along each mesh dimension.
        x_dtype: the dtype of x.
        y_dtype: the dtype of y.
        normalize: whether the result is cosines.

    Raises:
        TypeError: a placement of a kind that is not known here.

    >>> rows = Contraction.batch_dot((6, 100), (6, 100), 1)
    >>> print(plan_sharding(rows, [Shard(1)], [Shard(1)], [2]))
    mesh dimension 0: K, x S(1), y S(1), result P(sum), 0 bytes moved
    >>> plan_sharding(rows, [Shard(1)], [Shard(1)], [2], normalize=True).out
    (Replicate(),)
    >>> plan_sharding(rows, [Shard(0)], [Replicate()], [2]).y
    (Shard(dim=0),)
    """
    for placement in (*x, *y):
        _check_known(placement)
    dtype = result_dtype(x_dtype, y_dtype, normalize)
    once = normalize or dtype in ACCUMULATION_DTYPE
    shapes = contraction.x_shape, contraction.y_shape, contraction.output_shape
    sizes = [
        prod(size or 0 for size in shape) * own.itemsize
        for shape, own in zip(shapes, (x_dtype, y_dtype, dtype), strict=True)
    ]
    return ShardingPlan(
        tuple(
            _plan_dim(contraction, x_is, y_is, ranks, sizes, once, (x[dim + 1 :], y[dim + 1 :]))
            for dim, (x_is, y_is, ranks) in enumerate(zip(x, y, mesh_shape, strict=True))
        )
    )


def _plan_dim(
    contraction: Contraction,
    x: Placement,
    y: Placement,
    ranks: int,
    sizes: Sequence[int],
    once: bool,
    later: tuple[Sequence[Placement], Sequence[Placement]],
) -> DimPlan:
    """Choose the rule for one mesh dimension; ``later`` are the placements on those that follow."""
    best, least = None, (inf, inf)
    for dim_plan in _candidates(contraction, x, y, ranks, once):
        comm_bytes = _received_bytes(x, dim_plan.x, sizes[0], ranks, later[0])
        comm_bytes += _received_bytes(y, dim_plan.y, sizes[1], ranks, later[1])
        total = comm_bytes
        if comm_bytes and dim_plan.rule == "K":
            total += _received_bytes(Partial(), Replicate(), sizes[2], ranks, ())
        cost = (total, (x != dim_plan.x) + (y != dim_plan.y))
        if cost < least:
            best, least = DimPlan(dim_plan.rule, dim_plan.x, dim_plan.y, dim_plan.out, int(comm_bytes)), cost
    assert best is not None  # R is always there
    return best


def _candidates(c: Contraction, x: Placement, y: Placement, ranks: int, once: bool) -> Iterator[DimPlan]:
    """Yield the possible rules of a mesh dimension (table at the top of this file), preferred ones first."""
    shared, x_free = len(c.shared), len(c.x_free)
    for shard in _shard_types(x, y):
        for out, (x_axis, y_axis) in enumerate(c.shared):
            if _may_shard(c.x_shape[x_axis], ranks, x == shard(x_axis) or y == shard(y_axis)):
                yield DimPlan("B", shard(x_axis), shard(y_axis), shard(out))
        for x_axis, y_axis in c.contracted:
            if _may_shard(c.x_shape[x_axis], ranks, x == shard(x_axis) or y == shard(y_axis)):
                yield DimPlan("K", shard(x_axis), shard(y_axis), Replicate() if once else Partial())
        for out, axis in enumerate(c.x_free, shared):
            if _may_shard(c.x_shape[axis], ranks, x == shard(axis)):
                yield DimPlan("I", shard(axis), Replicate(), shard(out))
        for out, axis in enumerate(c.y_free, shared + x_free):
            if _may_shard(c.y_shape[axis], ranks, y == shard(axis)):
                yield DimPlan("J", Replicate(), shard(axis), shard(out))
    yield DimPlan("R", Replicate(), Replicate(), Replicate())


def _shard_types(x: Placement, y: Placement) -> list[Callable[[int], Placement]]:
    """Return Shard and the strided shards of x and y, which torch makes of FSDP2 over tensor parallelism."""
    strided: dict[int, Callable[..., Placement]] = {}
    for placement in (x, y):
        if (factor := _split_factor(placement)) is not None:
            strided[factor] = type(placement)
    return [Shard, *(partial(strided[factor], split_factor=factor) for factor in sorted(strided))]


def _split_factor(placement: Placement) -> int | None:
    # torch has no public name for the class of a strided shard.
    return getattr(placement, "split_factor", None)


def _check_known(placement: Placement) -> None:
    if is_shard(placement) and not isinstance(placement, Shard) and _split_factor(placement) is None:
        raise TypeError(
            f"Cannot contract DTensors placed as {placement!r}: redistribute them to Shard or Replicate."
        )


def _may_shard(size: int | None, ranks: int, is_sharded: bool) -> bool:
    """Whether to shard an axis: it is sharded already, or has something for every rank."""
    return is_sharded or (size is not None and size >= ranks)


def _received_bytes(
    source: Placement, target: Placement, size: int, ranks: int, later: Sequence[Placement]
) -> float:
    """Return how many bytes a rank receives when a tensor of ``size`` bytes changes its placement."""
    if source == target or (source.is_replicate() and is_shard(target) and target not in later):
        return 0.0
    # Shards that a later mesh dimension shards further are gathered before they are sharded again.
    if is_shard(source) and source in later:
        return size
    part = size * (ranks - 1) / ranks
    if source.is_partial():
        if _split_factor(target) is not None:
            return inf  # torch does not support it
        return part if is_shard(target) else 2 * part
    return part / ranks if is_shard(source) and isinstance(target, Shard) else part


def is_shard(placement: Placement) -> bool:
    """Return whether a placement is a shard, strided or not."""
    return not (placement.is_replicate() or placement.is_partial())


def _gradient(placement: Placement, partner_differs: bool) -> Placement:
    """Return the placement of a local gradient: a sum over the ranks if the other tensor differs on them."""
    if is_shard(placement):
        return placement
    return Partial() if partner_differs else Replicate()
