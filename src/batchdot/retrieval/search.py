"""Exact top-k search in one process, block by block.

The scores of a block of queries (Q, d) and a block of items (N, d) are one matrix product, (Q, N). It is only
a prefilter: its largest values become candidates, which are scored again pair by pair. Only those exact
scores are compared and returned, so that a score does not depend on the place of its item in a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from batchdot._torch import are_transforms_active, in_forward_mode
from batchdot.convert import check_operands
from batchdot.kernels.aten.normalize import l2_normalize, saturating_cast
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.functional import batch_dot
from batchdot.planning.lowering import norm_dtype, result_dtype
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.meta_mode import META

MARGIN = 8
"""Candidates kept beyond k, because the rounding of a matrix product may misplace items around the k-th."""

QUERY_BLOCK, BLOCK_SCORES = 1024, 1 << 22
"""The most queries, and the most scores, of a matrix product: 16 MiB in float32."""

ITEM_BYTES = 16 << 20
"""The most bytes of items of a matrix product: it matters for few queries or long rows."""

GROUP = 16
"""Scores that are first represented by their maximum. They are `count // GROUP` apart, so that the maximum is
an elementwise one of long rows: ten times faster than over neighbours."""

CACHED_BYTES = 1 << 20
"""Bytes of rows, in the dtype of sums, that are normalized or rescored at a time: they stay in cache."""


class TopK(NamedTuple):
    """The result of `top_k`: scores, in descending order, and the indices of their items, int64."""

    scores: Tensor
    indices: Tensor


def top_k_local(queries: Tensor, items: Tensor, k: int, normalize: bool, epsilon: float) -> TopK:
    """Run `batchdot.top_k` on tensors of this process; raises what that raises."""
    if queries.ndim == 1:
        scores, indices = top_k_local(queries.unsqueeze(0), items, k, normalize, epsilon)
        return TopK(scores.squeeze(0), indices.squeeze(0))
    if CONTEXT.in_shape_inference and (queries.is_meta or items.is_meta):
        queries, items = queries.to(META), items.to(META)
    check_operands(queries, items, "top_k", ("queries", "items"))
    check_shapes(tuple(queries.shape), tuple(items.shape), k)
    spec = SearchSpec.of(k, queries, items, normalize, epsilon)
    if queries.is_meta:  # without values, any items will do
        indices = queries.new_empty((len(queries), spec.k), dtype=torch.int64)
        return TopK(_score_chosen(spec, queries, items, indices).to(spec.dtype), indices)
    if are_transforms_active():  # vmap or a derivative of torch.func
        indices = _find(queries.detach(), items.detach(), spec)
        return TopK(_score_chosen(spec, queries, items, indices).to(spec.dtype), indices)
    scores, indices = spec.run(queries.detach(), items.detach())
    has_gradient = torch.is_grad_enabled() and (queries.requires_grad or items.requires_grad)
    if has_gradient or in_forward_mode(queries, items):
        scores = _score_chosen(spec, queries, items, indices)
    return TopK(scores.to(spec.dtype), indices)


def _find(queries: Tensor, items: Tensor, spec: "SearchSpec") -> Tensor:
    """Return the indices of the k best items: (Q, d), (N, d) -> (Q, k)."""
    indices: Tensor = _Search.apply(queries, items, spec)  # type: ignore[no-untyped-call]
    return indices


def _score_chosen(spec: "SearchSpec", queries: Tensor, items: Tensor, indices: Tensor) -> Tensor:
    """Return the scores of the chosen pairs, differentiable: (Q, d), (N, d), (Q, k) -> (Q, k).

    The derivatives of a row that is in several pairs are summed in ``score_dtype``, and saturate once.
    """
    if spec.epsilon is not None:
        queries, items = (saturating_cast(rows, spec.score_dtype) for rows in (queries, items))
    rows = torch.arange(len(queries), device=queries.device).repeat_interleave(spec.k)
    return spec.score_pairs(queries[rows], items[indices.flatten()]).reshape(indices.shape)


class _Search(Function):
    """The indices of the k best items, without a derivative, as a function for transforms of torch.func."""

    @staticmethod
    def forward(queries: Tensor, items: Tensor, spec: "SearchSpec") -> Tensor:
        return spec.run(queries, items)[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, queries: Tensor, items: Tensor, spec: "SearchSpec"
    ) -> tuple[Tensor, int]:
        """Search for all queries at once where the items are shared, else one after the other."""
        queries_dim, items_dim, _ = in_dims
        if items_dim is None:
            queries = queries.movedim(queries_dim, 0)  # (B, Q, d)
            indices = _find(queries.flatten(0, 1), items, spec)
            return indices.reshape(*queries.shape[:2], spec.k), 0
        all_items = items.unbind(items_dim)
        all_queries = [queries] * len(all_items) if queries_dim is None else queries.unbind(queries_dim)
        found = [_find(*pair, spec) for pair in zip(all_queries, all_items, strict=True)]
        return torch.stack(found) if found else queries.new_empty((0,), dtype=torch.int64), 0


def check_shapes(queries: tuple[int, ...], items: tuple[int, ...], k: Any) -> None:
    """Check the shapes and k of a spec.

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
class SearchSpec:
    """The parameters and dtypes of a spec.

    Attributes:
        k: the number of results for each query.
        num_candidates: the number of candidates kept for each query: k and `MARGIN`.
        epsilon: floor on the squared norms, None if scores are products.
        dtype: dtype of the result.
        score_dtype: dtype in which exact scores are compared.
        sum_dtype: dtype in which exact scores and norms are summed.
        prefilter_dtype: dtype of the matrix products.
    """

    k: int
    num_candidates: int
    epsilon: float | None
    dtype: torch.dtype
    score_dtype: torch.dtype
    sum_dtype: torch.dtype
    prefilter_dtype: torch.dtype

    @classmethod
    def of(cls, k: int, queries: Any, items: Any, normalize: bool, epsilon: float) -> "SearchSpec":
        """Return the specification for two tensors, of which dtype, shape and device are read.

        Raises:
            TypeError: a dtype is complex, which has no order, or is uint64, without exact sums.
            ValueError: epsilon is not positive and finite.
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
            prefilter_dtype = torch.float64 if small else torch.int64  # float64 is exact below 2^53
            return cls(index(k), index(k), None, torch.int64, torch.int64, torch.int64, prefilter_dtype)
        dtype = result_dtype(queries.dtype, items.dtype, normalize)
        score_dtype = torch.float32 if dtype.itemsize == 2 else dtype
        sum_dtype = norm_dtype(dtype, queries.device.type)
        num_candidates = min(index(k) + MARGIN, items.shape[0])
        return cls(index(k), num_candidates, floor, dtype, score_dtype, sum_dtype, score_dtype)

    def run(self, queries: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Search all items (N, d) for all queries (Q, d); return exact scores and indices, both (Q, k)."""
        candidates = Candidates(self, queries)
        if self.k and len(queries):
            for start in range(0, len(items), candidates.item_block):
                candidates.add(items[start : start + candidates.item_block], start)
            candidates.rescore(items, 0)
        return candidates.top()

    def prepare(self, rows: Tensor) -> Tensor:
        """Return rows as factors of a matrix product: normalized for cosines, in ``prefilter_dtype``."""
        if self.epsilon is None:
            return rows.to(self.prefilter_dtype)
        out = torch.empty_like(rows, dtype=self.prefilter_dtype, memory_format=torch.contiguous_format)
        for part in self.parts(len(rows), rows.shape[1]):
            out[part] = l2_normalize(rows[part], -1, self.epsilon, self.prefilter_dtype, self.sum_dtype)
        return out

    def parts(self, count: int, size: int) -> Iterator[slice]:
        """Split ``count`` rows of ``size`` numbers into parts that stay in cache."""
        step = max(1, CACHED_BYTES // max(1, size * self.sum_dtype.itemsize))
        return (slice(start, start + step) for start in range(0, count, step))

    def multiply(self, queries: Tensor, items: Tensor, out: Tensor) -> Tensor:
        """Return the matrix product of (Q, d) and (N, d), (Q, N), in the memory of ``out`` where possible."""
        if self.prefilter_dtype == torch.int64:
            return batch_dot(queries[None], items[None], 2)[0]
        out = out[: len(queries) * len(items)].view(len(queries), len(items))
        torch.mm(queries, items.T, out=out)
        # A partial sum beyond the range stays infinite or becomes NaN, and so does the sum of all products.
        if self.epsilon is not None or out.sum().isfinite():
            return out
        return _multiply_wide(queries, items, self.sum_dtype, out)

    def score_pairs(self, queries: Tensor, items: Tensor) -> Tensor:
        """Return the exact scores of rows, (P, d) and (P, d) to (P,), in ``score_dtype``."""
        if self.epsilon is not None:
            queries, items = queries.to(self.score_dtype), items.to(self.score_dtype)
            scores = batch_dot(queries, items, 1, normalize=True, epsilon=self.epsilon)
        else:
            scores = batch_dot(queries.to(self.sum_dtype), items.to(self.sum_dtype), 1)
        return scores.squeeze(1).to(self.score_dtype)


class Candidates:
    """The best candidates so far for each query, in order of ascending index: C of them, (Q, C).

    Args:
        spec: the parameters of the spec.
        queries: tensor of shape (Q, d).

    Attributes:
        prefilter_scores: rounded scores of the candidates, by which they are kept.
        scores: their exact scores, once `rescore` has computed them.
        indices: the indices of their items.
        query_block: the number of queries in a matrix product.
        item_block: the most items that may be added at a time.
    """

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.spec, self.queries = spec, queries
        self.prepared = spec.prepare(queries)
        self.prefilter_scores = queries.new_empty((len(queries), 0), dtype=spec.prefilter_dtype)
        self.scores = queries.new_empty((len(queries), 0), dtype=spec.score_dtype)
        self.indices = queries.new_empty((len(queries), 0), dtype=torch.int64)
        # At least ten groups for each candidate, or the maxima of groups exclude nothing.
        self.query_block = rows = max(
            1, min(QUERY_BLOCK, len(queries), BLOCK_SCORES // (10 * GROUP * max(1, spec.num_candidates)))
        )
        row_bytes = max(1, queries.shape[1] * spec.prefilter_dtype.itemsize)
        self.item_block = max(1, min(BLOCK_SCORES // rows, ITEM_BYTES // row_bytes))
        self.block_buffer = queries.new_empty(rows * self.item_block, dtype=spec.prefilter_dtype)

    def add(self, items: Tensor, first: int) -> None:
        """Prefilter at most ``item_block`` items (N, d), of which the first has index ``first``."""
        prepared = self.spec.prepare(items)
        blocks = [
            self._add(slice(start, start + self.query_block), prepared, first)
            for start in range(0, len(self.queries), self.query_block)
        ]
        self.prefilter_scores, self.scores, self.indices = map(torch.cat, zip(*blocks, strict=True))

    def _add(self, rows: slice, items: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        spec, prefiltered, scores, indices = (
            self.spec,
            self.prefilter_scores[rows],
            self.scores[rows],
            self.indices[rows],
        )
        block = spec.multiply(self.prepared[rows], items, self.block_buffer)
        floor = prefiltered.amin(1, keepdim=True) if prefiltered.shape[1] == spec.num_candidates else None
        new = _prefilter(block, min(spec.num_candidates, len(items)), floor)
        if not new.shape[1]:
            return prefiltered, scores, indices
        prefiltered = torch.cat([prefiltered, block.gather(1, new)], 1)
        indices = torch.cat([indices, new + first], 1)
        scores = torch.cat([scores, scores.new_zeros(new.shape)], 1)
        keep = _topk_positions(prefiltered, min(spec.num_candidates, prefiltered.shape[1]))
        return prefiltered.gather(1, keep), scores.gather(1, keep), indices.gather(1, keep)

    def rescore(self, items: Tensor, first: int) -> None:
        """Score the candidates with indices from ``first`` on exactly; ``items`` begin at that index."""
        query, place = (self.indices >= first).nonzero(as_tuple=True)
        item = self.indices[query, place] - first
        for part in self.spec.parts(len(query), items.shape[1]):
            pairs = self.spec.score_pairs(self.queries[query[part]], items[item[part]])
            self.scores[query[part], place[part]] = pairs

    def top(self) -> tuple[Tensor, Tensor]:
        """Return the k best scores and their indices, the best first: (Q, k)."""
        if not len(self.queries):
            return tuple(t.new_empty((0, self.spec.k)) for t in (self.scores, self.indices))  # type: ignore[return-value]
        order = self.scores.sort(dim=1, descending=True, stable=True).indices[:, : self.spec.k]
        return self.scores.gather(1, order), self.indices.gather(1, order)


def _multiply_wide(queries: Tensor, items: Tensor, sum_dtype: torch.dtype, out: Tensor) -> Tensor:
    """Write the matrix product of (Q, d) and (N, d) to ``out`` (Q, N); only its results may be out of range.

    It is computed in the dtype of sums. Where that is no wider, rows are multiplied by powers of two that
    bring their largest elements to [1, 2), and the products by the inverse of those.
    """
    rows = max(1, len(out) // 8)
    if out.dtype != sum_dtype:
        wide_items = items.to(sum_dtype)
        for start in range(0, len(out), rows):
            out[start : start + rows] = queries[start : start + rows].to(sum_dtype) @ wide_items.T
        return out
    items, item_exponents = _scaled(items)
    queries, query_exponents = _scaled(queries)
    for start in range(0, len(out), rows):
        block = slice(start, start + rows)
        torch.mm(queries[block], items.T, out=out[block])
        exponents = query_exponents[block, None] + item_exponents  # (rows, N)
        half, ones = exponents // 2, torch.ones_like(out[block])  # the whole power may be out of range itself
        out[block].mul_(torch.ldexp(ones, half)).mul_(torch.ldexp(ones, exponents - half))
    return out


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows with a largest element in [1, 2), and the exponents e of the factors 2^e left out: (N,)."""
    largest = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    usual = largest.isfinite() & (largest > 0)
    exponents = torch.where(usual, torch.frexp(largest).exponent - 1, 0)
    half, ones = exponents // 2, torch.ones_like(largest)
    scaled = rows * torch.ldexp(ones, -half)[:, None] * torch.ldexp(ones, half - exponents)[:, None]
    return scaled, exponents


def _prefilter(values: Tensor, k: int, floor: Tensor | None) -> Tensor:
    """Return positions, ascending, that include the k largest values of each row (Q, N); first among equals.

    With a floor (Q, 1), only values above it have to be among them.
    """
    groups = values.shape[1] // GROUP
    if not groups:
        return _topk_positions(values, k)
    maxima = values[:, : groups * GROUP].reshape(-1, GROUP, groups).amax(1)
    rest = torch.arange(groups * GROUP, values.shape[1], device=values.device).expand(len(values), -1)
    wanted = min(k, _count_above(maxima, floor))
    if wanted * 4 > groups:
        return _topk_positions(values, min(k, _count_above(values, floor)))
    # If the (k+1)-th maximum is smaller than the k-th, the k largest values are in the groups of the k
    # largest maxima: those maxima are k values that exceed every value of the other groups.
    best, tied = _topk_with_ties(maxima, wanted, floor)
    steps = torch.arange(GROUP, device=values.device).unsqueeze(1) * groups
    positions = torch.cat([(best.unsqueeze(1) + steps).flatten(1), rest], 1)
    if tied.any():
        positions[tied] = _topk_positions(values[tied], positions.shape[1])
    return positions


def _count_above(values: Tensor, floor: Tensor | None) -> int:
    """Return the number of values above the floor in the row with the most of them; NaN is above."""
    if floor is None or not len(values):
        return values.shape[1]
    return int((~(values <= floor)).sum(1).max())


def _topk_positions(values: Tensor, k: int) -> Tensor:
    """Return the positions, ascending, of the k largest values of each row; first among equals."""
    rows, count = values.shape
    if k == count:
        return torch.arange(count, device=values.device).expand(rows, -1)
    found, tied = _topk_with_ties(values, k)
    if tied.any():
        found[tied] = _break_ties(values[tied], k)
    return found


def _topk_with_ties(values: Tensor, k: int, floor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the positions, ascending, of k largest values of each row; and which rows have ties at the k-th.

    NaN is the largest, as in `torch.topk`. Ties at or below the floor do not count.
    """
    top, at = values.topk(k + 1)
    next_one = top[:, k]
    tied = next_one.isnan() if k == 0 else (top[:, k - 1] == next_one) | next_one.isnan()
    if floor is not None:
        tied &= ~(next_one <= floor[:, 0])
    return at[:, :k].sort(1).values, tied


def _break_ties(values: Tensor, k: int) -> Tensor:
    """Return the positions of the k largest values of each row; of values equal to the k-th, the first."""
    last = values.topk(k).values[:, -1:]
    above = torch.where(last.isnan(), False, (values > last) | values.isnan())
    equal = torch.where(last.isnan(), values.isnan(), values == last)
    missing = k - above.sum(1, keepdim=True)
    return (above | (equal & (equal.cumsum(1) <= missing))).nonzero()[:, 1].view(-1, k)
