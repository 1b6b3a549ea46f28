"""Placements: how the shards of two tensors meet, decided for each mesh dimension by one rule.

    rule  x is brought to  y is brought to  result     communication of the contraction itself
    B     Shard(b)         Shard(b)         Shard(b)   none
    I     Shard(i)         Replicate        Shard(i)   none
    J     Replicate        Shard(j)         Shard(j)   none
    K     Shard(k)         Shard(k)         Partial    none: the sum over ranks is the reader's
    R     Replicate        Replicate        Replicate  none

Where rounding once asks for it, K is summed at once and its result is Replicate: cosines, and the dtypes
whose products are not formed in themselves (16-bit floats in float32).

A rule that moves nothing is taken where there is one, cutting a shard out of what is replicated included.
Otherwise the fewest bytes to receive decide, those of summing a Partial result included:

    from         to           bytes a rank receives, of a tensor of S bytes on n ranks
    Shard        other Shard  S (n-1) / n²   all-to-all (gloo has none: torch gathers and cuts)
    Shard        Replicate    S (n-1) / n    all-gather
    Partial      Shard        S (n-1) / n    reduce-scatter
    Partial      Replicate    2 S (n-1) / n  all-reduce

A gradient has the placement of its tensor where that is a Shard. That of a Replicate tensor is left as it
comes, a Shard or a Partial, as torch's own operators leave it: reading it, or an optimizer, sums it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, prod

import torch
from torch.distributed.tensor import Partial, Placement, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import ACCUMULATION_DTYPE, result_dtype


@dataclass(frozen=True, slots=True)
class Match:
    """What one mesh dimension does: a rule of the table above, and the placements it asks for.

    ``moved`` is how many bytes a rank receives to bring both tensors there.
    """

    rule: str
    x: Placement
    y: Placement
    out: Placement
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How two sharded tensors are contracted: a `Match` for each mesh dimension."""

    matches: tuple[Match, ...]

    @property
    def rules(self) -> str:
        """The letters of the rules, one a mesh dimension."""
        return "".join(match.rule for match in self.matches)

    @property
    def x(self) -> tuple[Placement, ...]:
        """The placements x is brought to."""
        return tuple(match.x for match in self.matches)

    @property
    def y(self) -> tuple[Placement, ...]:
        """The placements y is brought to."""
        return tuple(match.y for match in self.matches)

    @property
    def out(self) -> tuple[Placement, ...]:
        """The placements of the result."""
        return tuple(match.out for match in self.matches)

    @property
    def x_grad(self) -> tuple[Placement, ...]:
        """The placements of what each rank computes for the gradient of x."""
        return tuple(_gradient(match.x, match.rule == "J") for match in self.matches)

    @property
    def y_grad(self) -> tuple[Placement, ...]:
        """The placements of what each rank computes for the gradient of y."""
        return tuple(_gradient(match.y, match.rule == "I") for match in self.matches)

    @property
    def summed(self) -> tuple[int, ...]:
        """The mesh dimensions over which the result is summed before it is rounded."""
        return tuple(
            dim for dim, match in enumerate(self.matches) if match.rule == "K" and match.out == Replicate()
        )

    def __str__(self) -> str:
        return "\n".join(
            f"mesh dimension {dim}: {m.rule}, x {m.x}, y {m.y}, result {m.out}, {m.moved} bytes moved"
            + (", summed over the ranks at once" if dim in self.summed else "")
            for dim, m in enumerate(self.matches)
        )


def lay_out(
    contraction: Contraction,
    x: Sequence[Placement],
    y: Sequence[Placement],
    mesh_shape: Sequence[int],
    *,
    x_dtype: torch.dtype = torch.float32,
    y_dtype: torch.dtype = torch.float32,
    normalize: bool = False,
) -> Layout:
    """Decide how to contract two sharded tensors. Asks no tensor and no other rank.

    Args:
        contraction: what to compute, on the shapes of the whole tensors.
        x: the placements of x, one a mesh dimension.
        y: the placements of y.
        mesh_shape: how many ranks each mesh dimension has.
        x_dtype: the dtype of x.
        y_dtype: the dtype of y.
        normalize: whether cosines are asked for.

    >>> rows = Contraction.batch_dot((6, 100), (6, 100), 1)
    >>> print(lay_out(rows, [Shard(1)], [Shard(1)], [2]))
    mesh dimension 0: K, x S(1), y S(1), result P(sum), 0 bytes moved
    >>> lay_out(rows, [Shard(1)], [Shard(1)], [2], normalize=True).out
    (Replicate(),)
    >>> lay_out(rows, [Shard(0)], [Replicate()], [2]).y
    (Shard(dim=0),)
    """
    dtype = result_dtype(x_dtype, y_dtype, normalize)
    once = normalize or dtype in ACCUMULATION_DTYPE
    shapes = contraction.x_shape, contraction.y_shape, contraction.output_shape
    sizes = [
        prod(size or 0 for size in shape) * kind.itemsize
        for shape, kind in zip(shapes, (x_dtype, y_dtype, dtype), strict=True)
    ]
    return Layout(
        tuple(
            _match(contraction, x_is, y_is, ranks, sizes, once, (x[dim + 1 :], y[dim + 1 :]))
            for dim, (x_is, y_is, ranks) in enumerate(zip(x, y, mesh_shape, strict=True))
        )
    )


def _match(
    contraction: Contraction,
    x: Placement,
    y: Placement,
    ranks: int,
    sizes: Sequence[int],
    once: bool,
    later: tuple[Sequence[Placement], Sequence[Placement]],
) -> Match:
    """Choose the rule for one mesh dimension; ``later`` are the placements on those that follow."""
    best, least = None, (inf, inf)
    for match in _matches(contraction, x, y, ranks, once):
        moved = _received(x, match.x, sizes[0], ranks, later[0])
        moved += _received(y, match.y, sizes[1], ranks, later[1])
        total = moved
        if moved and match.rule == "K":
            total += _received(Partial(), Replicate(), sizes[2], ranks, ())
        cost = (total, (x != match.x) + (y != match.y))
        if cost < least:
            best, least = Match(match.rule, match.x, match.y, match.out, int(moved)), cost
    assert best is not None  # R is always there
    return best


def _matches(c: Contraction, x: Placement, y: Placement, ranks: int, once: bool) -> Iterator[Match]:
    """List what a mesh dimension may do: the table of the module, in order of preference."""
    shared, x_free = len(c.shared), len(c.x_free)
    for cut in _cuts(x, y):
        for out, (x_axis, y_axis) in enumerate(c.shared):
            if _may_cut(c.x_shape[x_axis], ranks, x == cut(x_axis) or y == cut(y_axis)):
                yield Match("B", cut(x_axis), cut(y_axis), cut(out))
        for x_axis, y_axis in c.contracted:
            if _may_cut(c.x_shape[x_axis], ranks, x == cut(x_axis) or y == cut(y_axis)):
                yield Match("K", cut(x_axis), cut(y_axis), Replicate() if once else Partial())
        for out, axis in enumerate(c.x_free, shared):
            if _may_cut(c.x_shape[axis], ranks, x == cut(axis)):
                yield Match("I", cut(axis), Replicate(), cut(out))
        for out, axis in enumerate(c.y_free, shared + x_free):
            if _may_cut(c.y_shape[axis], ranks, y == cut(axis)):
                yield Match("J", Replicate(), cut(axis), cut(out))
    yield Match("R", Replicate(), Replicate(), Replicate())


def _cuts(x: Placement, y: Placement) -> list[Callable[[int], Placement]]:
    """List the ways to cut an axis: torch's usual one, and that of FSDP2 over tensor parallelism."""
    factors = {p.split_factor for p in (x, y) if isinstance(p, _StridedShard)}
    return [Shard, *(partial(_StridedShard, split_factor=factor) for factor in sorted(factors))]


def _may_cut(size: int | None, ranks: int, is_cut: bool) -> bool:
    """Whether to shard an axis: one that is already, or one that gives every rank something."""
    return is_cut or (size is not None and size >= ranks)


def _received(
    source: Placement, target: Placement, size: int, ranks: int, later: Sequence[Placement]
) -> float:
    """Return how many bytes a rank receives where a tensor of so many changes its placement."""
    if source == target or (source.is_replicate() and is_shard(target) and target not in later):
        return 0.0
    # What a later mesh dimension has cut into smaller pieces already is put together before it is cut anew.
    if is_shard(source) and source in later:
        return size
    part = size * (ranks - 1) / ranks
    if source.is_partial():
        if isinstance(target, _StridedShard):
            return inf  # torch does not know how
        return part if is_shard(target) else 2 * part
    return part / ranks if is_shard(source) and isinstance(target, Shard) else part


def is_shard(placement: Placement) -> bool:
    """Return whether a placement cuts an axis, in any order."""
    return not (placement.is_replicate() or placement.is_partial())


def _gradient(placement: Placement, partner_differs: bool) -> Placement:
    """Return the placement of a local gradient: what meets other partners on other ranks is to be summed."""
    if is_shard(placement):
        return placement
    return Partial() if partner_differs else Replicate()
