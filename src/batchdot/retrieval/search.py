"""`top_k` of tensors of one process, with its derivatives and under transforms of torch.func."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from batchdot._torch import are_transforms_active, in_forward_mode
from batchdot.convert import check_operands
from batchdot.kernels.aten.normalize import saturating_cast
from batchdot.retrieval.block_search import BlockSearch
from batchdot.retrieval.spec import SearchSpec, check_shapes
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.meta_mode import META


class TopK(NamedTuple):
    """The result of `top_k`: scores, in descending order, and the indices of their items, int64."""

    scores: Tensor
    indices: Tensor


def top_k_local(queries: Tensor, items: Tensor, k: int, normalize: bool, epsilon: float) -> TopK:
    """Run `batchdot.top_k` on tensors of this process; raises what that raises."""
    single = queries.ndim == 1
    if CONTEXT.in_shape_inference and (queries.is_meta or items.is_meta):
        queries, items = queries.to(META), items.to(META)
    check_operands(queries, items, "top_k", ("queries", "items"))
    check_shapes(tuple(queries.shape), tuple(items.shape), k, single)
    if not single:
        return _top_k(queries, items, k, normalize, epsilon)
    scores, indices = _top_k(queries.unsqueeze(0), items, k, normalize, epsilon)
    return TopK(scores.squeeze(0), indices.squeeze(0))


def _top_k(queries: Tensor, items: Tensor, k: int, normalize: bool, epsilon: float) -> TopK:
    """Search for queries (Q, d) that were checked."""
    spec = SearchSpec.of(k, queries, items, normalize, epsilon)
    if queries.is_meta:  # without values, any items will do
        indices = queries.new_empty((len(queries), spec.k), dtype=torch.int64)
        return TopK(_score_chosen(spec, queries, items, indices).to(spec.dtype), indices)
    if are_transforms_active():  # vmap or a derivative of torch.func
        indices = _find(queries.detach(), items.detach(), spec)
        return TopK(_score_chosen(spec, queries, items, indices).to(spec.dtype), indices)
    scores, indices = BlockSearch(spec, queries.detach()).find(items.detach())
    has_gradient = torch.is_grad_enabled() and (queries.requires_grad or items.requires_grad)
    if has_gradient or in_forward_mode(queries, items):
        scores = _score_chosen(spec, queries, items, indices)
    return TopK(scores.to(spec.dtype), indices)


def _find(queries: Tensor, items: Tensor, spec: SearchSpec) -> Tensor:
    """Return the indices of the k best items: (Q, d), (N, d) -> (Q, k)."""
    indices: Tensor = _Search.apply(queries, items, spec)  # type: ignore[no-untyped-call]
    return indices


def _score_chosen(spec: SearchSpec, queries: Tensor, items: Tensor, indices: Tensor) -> Tensor:
    """Return the scores of the chosen pairs, differentiable: (Q, d), (N, d), (Q, k) -> (Q, k).

    The derivatives of a row that is in several pairs are summed in ``score_dtype``, and saturate once.
    """
    if spec.epsilon is not None:
        queries, items = (saturating_cast(rows, spec.score_dtype) for rows in (queries, items))
    return spec.score_pairs(queries, items[indices])


class _Search(Function):
    """The indices of the k best items, without a derivative, as a function for transforms of torch.func."""

    @staticmethod
    def forward(queries: Tensor, items: Tensor, spec: SearchSpec) -> Tensor:
        return BlockSearch(spec, queries).find(items)[1]

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
    def vmap(info: Any, in_dims: Any, queries: Tensor, items: Tensor, spec: SearchSpec) -> tuple[Tensor, int]:
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
