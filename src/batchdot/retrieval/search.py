"""Retrieval: the k items with the largest dot products or cosines for each query, block by block.

The scores of a block of queries and a block of items are one matrix product. It is a sieve: what may be
among the best is scored again, pair by pair and exactly, and only those scores are compared and
returned. So a score does not depend on where in a block its item stood.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import Any, NamedTuple

import torch
from torch import Tensor

from batchdot.convert import as_tensor, check_operands, is_sharded
from batchdot.kernels.aten.normalize import l2_normalize
from batchdot.ops.functional import EPSILON, batch_dot, batch_dot_operation
from batchdot.planning.lowering import norm_dtype, result_dtype

SPARE = 8
"""Candidates that are kept beyond k: what a matrix product's rounding may put behind the k-th place."""

QUERY_ROWS, SCORES = 1024, 1 << 22
"""Queries to a matrix product at most, and its scores: 16 MiB in float32."""

ITEM_BYTES = 16 << 20
"""Bytes of items to a matrix product, where there are few queries or long rows."""

GROUP = 16
"""Scores of which only the largest is looked at first. They are `count // GROUP` apart: a maximum
over them is formed of long rows at once, ten times faster than over neighbours."""

CACHED_BYTES = 1 << 20
"""Bytes of rows, in the wide dtype, that are normalized or scored again at a time: they stay in cache."""


class TopK(NamedTuple):
    """What `top_k` returns: scores, the largest first, and the indices of their items, int64."""

    scores: Tensor
    indices: Tensor


def top_k(queries: Any, items: Any, k: int, normalize: bool = False, *, epsilon: float = EPSILON) -> TopK:
    """Find the k items with the largest dot products, or cosines, for each query; exactly.

    The matrix of all scores is never held: beside the inputs and the result there is a block of it, 16
    MiB in float32, the k + 8 best so far of each query, and a copy of the queries where they are
    normalized or cast.

    Args:
        queries: tensor of shape (Q, d), or (d,) for one query. numpy arrays and nested lists are converted.
        items: tensor of shape (N, d); or a DTensor that is sharded over its rows, of which each process
            searches its own: what they exchange is their (Q, k) results, in one all-gather.
        k: how many, at most N.
        normalize: whether scores are cosines, as in `batch_dot`.
        epsilon: floor on the squared norms, as in `batch_dot`.

    Returns:
        Scores and indices of shape (Q, k), or (k,) for one query, in order of descending score; equal
        scores in order of ascending index, whatever the blocks, threads and shards. NaN counts as larger
        than any number, as in `torch.topk`. Only where more than 8 different items lie within the rounding
        of a float matrix product of the k-th score, that rounding can decide which of them is in.

        Scores are those of `batch_dot` on the chosen pairs, of its dtype, but summed in float64 and
        rounded once; where 16-bit numbers are equal they are in the order of their float32 values.
        Integers are not wrapped: their scores are exact in int64. The gradient of the scores is that of
        the dot products of the chosen pairs; results from DTensors have none.

    Raises:
        ValueError: shapes or devices do not fit, or k is negative or larger than N.
        TypeError: k is not an integer, or the inputs are complex, bool, uint64, sparse or not numbers.

    >>> users = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> items = torch.tensor([[0.5, 0.5], [3.0, 4.0], [1.0, 0.0]])
    >>> top_k(users, items, k=2)
    TopK(scores=tensor([[3., 1.],
            [8., 1.]]), indices=tensor([[1, 2],
            [1, 0]]))
    >>> top_k(users, items, k=1, normalize=True).indices.tolist()
    [[2], [1]]
    """
    queries, items = as_tensor(queries), as_tensor(items)
    if is_sharded(queries) or is_sharded(items):
        from batchdot.retrieval.sharded import top_k_sharded

        return top_k_sharded(queries, items, k, normalize, epsilon)
    if queries.ndim == 1:
        scores, indices = top_k(queries.unsqueeze(0), items, k, normalize, epsilon=epsilon)
        return TopK(scores.squeeze(0), indices.squeeze(0))
    check_operands(queries, items, "top_k", ("queries", "items"))
    check_shapes(tuple(queries.shape), tuple(items.shape), k)
    search = Search.read(k, queries, items, normalize, epsilon)
    scores, indices = search.run(queries.detach(), items.detach())
    if torch.is_grad_enabled() and (queries.requires_grad or items.requires_grad):
        rows = torch.arange(len(queries), device=queries.device).repeat_interleave(search.k)
        pairs = search.score_pairs(queries[rows], items[indices.flatten()])
        scores = pairs.reshape(indices.shape)
    return TopK(scores.to(search.dtype), indices)


def check_shapes(queries: tuple[int, ...], items: tuple[int, ...], k: Any) -> None:
    """Refuse shapes and a k that make no search.

    Raises:
        ValueError: as `top_k`.
        TypeError: k is not an integer.
    """
    received = f"Received: queries.shape={queries}, items.shape={items}, k={k!r}."
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"k should be an integer. {received}")
    if len(queries) != 2 or len(items) != 2:
        raise ValueError(f"top_k takes queries of shape (Q, d) and items of shape (N, d). {received}")
    if queries[1] != items[1]:
        raise ValueError(
            f"queries and items have different sizes of a row: {queries[1]} != {items[1]}. {received}"
        )
    if not 0 <= index(k) <= items[0]:
        raise ValueError(f"k should be from 0 to the number of items, {items[0]}. {received}")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and in which dtypes.

    Attributes:
        k: how many.
        kept: how many candidates are kept for each query: k and some to spare.
        epsilon: floor on the squared norms, None where scores are not cosines.
        dtype: dtype of the result.
        rank: dtype in which exact scores are compared.
        wide: dtype in which they are summed.
        sieve: dtype of the matrix products.
    """

    k: int
    kept: int
    epsilon: float | None
    dtype: torch.dtype
    rank: torch.dtype
    wide: torch.dtype
    sieve: torch.dtype

    @classmethod
    def read(cls, k: int, queries: Any, items: Any, normalize: bool, epsilon: float) -> "Search":
        """Decide on dtypes, for two tensors that have a dtype, a shape and a device.

        Raises:
            TypeError: a dtype without an order, or without exact sums.
            ValueError: epsilon is no floor.
        """
        floor = batch_dot_operation(1, normalize=normalize, epsilon=epsilon).epsilon
        for name, tensor in (("queries", queries), ("items", items)):
            if tensor.dtype.is_complex:
                raise TypeError(
                    f"top_k compares scores, and {name} are of {tensor.dtype}, which has no order."
                )
            if tensor.dtype == torch.uint64 and floor is None:
                raise TypeError(
                    f"top_k has exact sums of integers in int64, and {name} are of uint64. Cast them."
                )
        if not (queries.dtype.is_floating_point or items.dtype.is_floating_point or normalize):
            small = all(t.dtype.itemsize <= 2 for t in (queries, items)) and queries.shape[-1] < 1 << 21
            sieve = torch.float64 if small else torch.int64  # float64 has integers below 2^53 exactly
            return cls(index(k), index(k), None, torch.int64, torch.int64, torch.int64, sieve)
        dtype = result_dtype(queries.dtype, items.dtype, normalize)
        rank = torch.float32 if dtype.itemsize == 2 else dtype
        wide = norm_dtype(dtype, queries.device.type)
        return cls(index(k), min(index(k) + SPARE, items.shape[0]), floor, dtype, rank, wide, rank)

    def run(self, queries: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Search all items for all queries: exact scores in ``rank``, and indices."""
        best = Best(self, queries)
        if self.k and len(queries):
            for start in range(0, len(items), best.item_rows):
                best.add(items[start : start + best.item_rows], start)
            best.score(items, 0)
        return best.sorted()

    def prepare(self, rows: Tensor) -> Tensor:
        """Return rows as a matrix product takes them."""
        if self.epsilon is None:
            return rows.to(self.sieve)
        out = torch.empty_like(rows, dtype=self.sieve, memory_format=torch.contiguous_format)
        for part in self.parts(len(rows), rows.shape[1]):
            out[part] = l2_normalize(rows[part], -1, self.epsilon, self.sieve, self.wide)
        return out

    def parts(self, count: int, size: int) -> Iterator[slice]:
        """Cut ``count`` rows of so many numbers into parts that stay in cache."""
        step = max(1, CACHED_BYTES // max(1, size * self.wide.itemsize))
        return (slice(start, start + step) for start in range(0, count, step))

    def multiply(self, queries: Tensor, items: Tensor, out: Tensor) -> Tensor:
        """Return the scores of all pairs, rounded as a matrix product rounds, in ``out`` if that can be."""
        if self.sieve == torch.int64:
            return batch_dot(queries[None], items[None], 2)[0]  # type: ignore[no-any-return]
        out = out[: len(queries) * len(items)].view(len(queries), len(items))
        return torch.mm(queries, items.T, out=out)

    def score_pairs(self, queries: Tensor, items: Tensor) -> Tensor:
        """Return the exact scores of rows, pair by pair, in ``rank``."""
        if self.epsilon is not None:
            queries, items = queries.to(self.rank), items.to(self.rank)
            scores = batch_dot(queries, items, 1, normalize=True, epsilon=self.epsilon)
        else:
            scores = batch_dot(queries.to(self.wide), items.to(self.wide), 1)
        return scores.squeeze(1).to(self.rank)  # type: ignore[no-any-return]


class Best:
    """The best candidates so far of each query, in order of ascending index.

    Args:
        search: what is looked for.
        queries: tensor of shape (Q, d).

    Attributes:
        item_rows: how many items may be added at a time.
    """

    def __init__(self, search: Search, queries: Tensor) -> None:
        self.search, self.queries = search, queries
        self.prepared = search.prepare(queries)
        self.sieved = queries.new_empty((len(queries), 0), dtype=search.sieve)
        self.scores = queries.new_empty((len(queries), 0), dtype=search.rank)
        self.indices = queries.new_empty((len(queries), 0), dtype=torch.int64)
        # Many groups for each that is kept, or they sieve nothing.
        self.query_rows = rows = max(
            1, min(QUERY_ROWS, len(queries), SCORES // (10 * GROUP * max(1, search.kept)))
        )
        row_bytes = max(1, queries.shape[1] * search.sieve.itemsize)
        self.item_rows = max(1, min(SCORES // rows, ITEM_BYTES // row_bytes))
        self.room = queries.new_empty(rows * self.item_rows, dtype=search.sieve)

    def add(self, items: Tensor, first: int) -> None:
        """Look at some more items, of which the first has the index ``first``; at most ``item_rows``."""
        prepared = self.search.prepare(items)
        blocks = [
            self._add(slice(start, start + self.query_rows), prepared, first)
            for start in range(0, len(self.queries), self.query_rows)
        ]
        self.sieved, self.scores, self.indices = map(torch.cat, zip(*blocks, strict=True))

    def _add(self, rows: slice, items: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        search, sieved, scores, indices = (
            self.search,
            self.sieved[rows],
            self.scores[rows],
            self.indices[rows],
        )
        block = search.multiply(self.prepared[rows], items, self.room)
        floor = sieved.amin(1, keepdim=True) if sieved.shape[1] == search.kept else None
        new = _candidates(block, min(search.kept, len(items)), floor)
        if not new.shape[1]:
            return sieved, scores, indices
        sieved = torch.cat([sieved, block.gather(1, new)], 1)
        indices = torch.cat([indices, new + first], 1)
        scores = torch.cat([scores, scores.new_zeros(new.shape)], 1)
        keep = _largest(sieved, min(search.kept, sieved.shape[1]))
        return sieved.gather(1, keep), scores.gather(1, keep), indices.gather(1, keep)

    def score(self, items: Tensor, first: int) -> None:
        """Score the candidates from index ``first`` on exactly, where ``items`` begin with that one."""
        query, place = (self.indices >= first).nonzero(as_tuple=True)
        item = self.indices[query, place] - first
        for part in self.search.parts(len(query), items.shape[1]):
            pairs = self.search.score_pairs(self.queries[query[part]], items[item[part]])
            self.scores[query[part], place[part]] = pairs

    def sorted(self) -> tuple[Tensor, Tensor]:
        """Return the k best scores and their indices, the best first."""
        if not len(self.queries):
            return tuple(t.new_empty((0, self.search.k)) for t in (self.scores, self.indices))  # type: ignore[return-value]
        order = self.scores.sort(dim=1, descending=True, stable=True).indices[:, : self.search.k]
        return self.scores.gather(1, order), self.indices.gather(1, order)


def _candidates(values: Tensor, k: int, floor: Tensor | None) -> Tensor:
    """Return positions, ascending, with the k largest values of each row among them, the first of equals.

    Where there is a floor, only those above it have to be there.
    """
    groups = values.shape[1] // GROUP
    if not groups:
        return _largest(values, k)
    maxima = values[:, : groups * GROUP].reshape(-1, GROUP, groups).amax(1)
    rest = torch.arange(groups * GROUP, values.shape[1], device=values.device).expand(len(values), -1)
    wanted = min(k, _count_above(maxima, floor))
    if wanted * 4 > groups:
        return _largest(values, min(k, _count_above(values, floor)))
    # The k largest are in the groups of the k largest maxima, if the maximum of the next group is smaller:
    # then those maxima are k values before all that it holds.
    best, tied = _top(maxima, wanted, floor)
    steps = torch.arange(GROUP, device=values.device).unsqueeze(1) * groups
    positions = torch.cat([(best.unsqueeze(1) + steps).flatten(1), rest], 1)
    if tied.any():
        positions[tied] = _largest(values[tied], positions.shape[1])
    return positions


def _count_above(values: Tensor, floor: Tensor | None) -> int:
    """Return how many values of a row are above its floor, in the row that has the most; NaN is above."""
    if floor is None or not len(values):
        return values.shape[1]
    return int((~(values <= floor)).sum(1).max())


def _largest(values: Tensor, k: int) -> Tensor:
    """Return the positions, ascending, of the k largest values of each row, the first ones among equals."""
    rows, count = values.shape
    if k == count:
        return torch.arange(count, device=values.device).expand(rows, -1)
    found, tied = _top(values, k)
    if tied.any():
        found[tied] = _first_of_equals(values[tied], k)
    return found


def _top(values: Tensor, k: int, floor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the positions, ascending, of k largest values of each row; and where others are as large.

    NaN is the largest, as `torch.topk` has it. What is not above a floor is as large as nothing.
    """
    top, at = values.topk(k + 1)
    next_one = top[:, k]
    tied = next_one.isnan() if k == 0 else (top[:, k - 1] == next_one) | next_one.isnan()
    if floor is not None:
        tied &= ~(next_one <= floor[:, 0])
    return at[:, :k].sort(1).values, tied


def _first_of_equals(values: Tensor, k: int) -> Tensor:
    """Return the positions of the k largest values of each row, where the k-th is there more than once."""
    last = values.topk(k).values[:, -1:]
    above = torch.where(last.isnan(), False, (values > last) | values.isnan())
    equal = torch.where(last.isnan(), values.isnan(), values == last)
    room = k - above.sum(1, keepdim=True)
    return (above | (equal & (equal.cumsum(1) <= room))).nonzero()[:, 1].view(-1, k)
