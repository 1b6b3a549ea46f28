"""Exact search in the memory of one process, block by block.

The scores of a block of queries (Q, d) and a block of items (N, d), a matrix (Q, N) unless one C++ operator
compares them as it computes them, are only a prefilter: the largest become candidates, which are scored again
pair by pair. Only those exact scores are compared and returned, so that a score does not depend on the place
of its item in a block.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from batchdot.kernels.cpu import library
from batchdot.retrieval.device_selection import DeviceSelection
from batchdot.retrieval.native_selection import NativeSelection
from batchdot.retrieval.scores import (
    COARSE_MARGIN,
    Bfloat16Scores,
    Scores,
    are_few,
    is_coarse,
    most_items,
    scores_of,
    searches_natively,
)
from batchdot.retrieval.selection import Selection
from batchdot.retrieval.spec import SearchSpec, uses_native_kernels
from batchdot.retrieval.wide_product import multiply_wide

AnySelection: TypeAlias = Selection | NativeSelection


class BlockSearch:
    """Searches for the same queries, in any number of tensors of items.

    Args:
        spec: the parameters of the search.
        queries: tensor of shape (Q, d).
    """

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.spec, self.queries = spec, queries
        self.selection: type[AnySelection] = DeviceSelection
        if queries.device.type == "cpu":  # the dtypes of the native kernels are those of all prefilters
            self.selection = NativeSelection if uses_native_kernels(queries.device) else Selection

    def single_threaded(self, dtype: torch.dtype) -> Callable[[], None] | None:
        """Return what makes searches of items of a dtype use the calling thread only; None for nothing."""
        count = len(self.queries)
        if not self._searches_natively(dtype) or is_coarse(self.spec, self.queries, dtype):
            return None
        rows, _ = NativeSelection.block_shape(count, self.spec.k + self.spec.margin)
        return library.set_single_threaded if rows == count else None

    def _searches_natively(self, dtype: torch.dtype) -> bool:
        return self.selection is NativeSelection and searches_natively(self.spec, self.queries, dtype)

    def find(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return exact scores and indices of the best items (N, d), the best first: (Q, min(k, N)) each."""
        k = min(self.spec.k, len(items))
        if not k or not len(self.queries):
            scores = self.queries.new_empty((len(self.queries), k), dtype=self.spec.score_dtype)
            return scores, torch.empty_like(scores, dtype=torch.int64)
        num_candidates = min(k + self.spec.margin, len(items))
        rows, _ = self.selection.block_shape(len(self.queries), num_candidates)
        coarse = is_coarse(self.spec, self.queries, items.dtype)
        search = self._find_coarsely if coarse else self._find
        if rows == len(self.queries):
            return search(self.queries, items, num_candidates, k)
        found = [
            search(self.queries[start : start + rows], items, num_candidates, k)
            for start in range(0, len(self.queries), rows)
        ]
        scores, indices = map(torch.cat, zip(*found, strict=True))
        return scores, indices

    def _find(self, queries: Tensor, items: Tensor, num_candidates: int, k: int) -> tuple[Tensor, Tensor]:
        """Search for a block of queries, in one operator or in blocks of items."""
        if self._searches_natively(items.dtype) and (items.shape[1] < 2 or items.stride(1) == 1):
            return self._find_natively(queries, items, num_candidates, k)
        return self._find_in_blocks(queries, items, num_candidates, k)

    def _find_natively(
        self, queries: Tensor, items: Tensor, num_candidates: int, k: int
    ) -> tuple[Tensor, Tensor]:
        """Search for a block of queries, by scores that are compared as they are computed."""
        sum_dtype = torch.float64 if are_few(*queries.shape) else self.spec.prefilter_dtype
        _, candidates = torch.ops.batchdot.search_rows(
            queries.to(sum_dtype).contiguous(), items, num_candidates
        )
        return rank(self.spec, queries, items, candidates, k)

    def _find_in_blocks(
        self, queries: Tensor, items: Tensor, num_candidates: int, k: int
    ) -> tuple[Tensor, Tensor]:
        """Search for a block of queries; again, with the reference, where a selection is not sure."""
        scores = scores_of(self.spec, queries)
        selection = self._select(self.selection, scores, queries, items, num_candidates)
        if not selection.is_sure():
            selection = self._select(Selection, scores, queries, items, num_candidates)
        return rank(self.spec, queries, items, selection.positions(), k)

    def _find_coarsely(
        self, queries: Tensor, items: Tensor, num_candidates: int, k: int
    ) -> tuple[Tensor, Tensor]:
        """Search for a block of queries by scores of few digits, and again where these do not decide.

        They decide where the k-th exact score exceeds what any item that is no candidate can have.
        """
        wanted = min(num_candidates + k // COARSE_MARGIN, len(items))
        scores = Bfloat16Scores(self.spec, queries)
        selection = self._select(self.selection, scores, queries, items, wanted)
        found = rank(self.spec, queries, items, selection.positions(), k)
        least = selection.least()
        decided = found[0][:, -1] > least + scores.error(least)
        if wanted < len(items) and not decided.all():
            again = (~decided).nonzero()[:, 0]
            for result, right in zip(
                found, self._find(queries[again], items, num_candidates, k), strict=True
            ):
                result[again] = right
        return found

    def _select(
        self, kind: type[AnySelection], scores: Scores, queries: Tensor, items: Tensor, num_candidates: int
    ) -> AnySelection:
        """Return the candidates of a block of queries among all items."""
        like = queries.new_empty(0, dtype=self.spec.prefilter_dtype)
        selection = kind(len(queries), num_candidates, len(items), like)
        _, columns = selection.block_shape(len(queries), num_candidates)
        columns = min(columns, most_items(self.spec, items, scores))
        buffer = queries.new_empty(len(queries) * min(columns, len(items)), dtype=like.dtype)
        for first in range(0, len(items), columns):
            block = items[first : first + columns]
            out = buffer[: len(queries) * len(block)].view(len(queries), len(block))
            values = scores(block, out)
            # A partial sum beyond the range stays infinite or becomes NaN.
            if self.spec.may_overflow and not selection.are_finite(values):
                values = multiply_wide(queries, block, self.spec, out)
            selection.add(values, first)
        return selection


def rank(
    spec: SearchSpec, queries: Tensor, items: Tensor, candidates: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Return exact scores and indices of the k best candidates (Q, C), ascending: (Q, k) each."""
    of_floats = spec.score_dtype.is_floating_point and items.is_floating_point()
    if of_floats and uses_native_kernels(queries.device):
        found: tuple[Tensor, Tensor] = torch.ops.batchdot.rank_pairs(
            queries.to(spec.score_dtype).contiguous(), items, candidates, k, spec.epsilon or 0.0
        )
        return found
    return best(score_candidates(spec, queries, items, candidates), candidates, k)


def score_candidates(spec: SearchSpec, queries: Tensor, items: Tensor, candidates: Tensor) -> Tensor:
    """Return exact scores of candidates (Q, C), in ``score_dtype``, by `batch_dot`."""
    parts = spec.parts(candidates.shape, queries.shape[1], queries.device.type)
    if len(parts) == 1:
        return spec.score_pairs(queries, rows_at(items, candidates))
    scores = queries.new_empty(candidates.shape, dtype=spec.score_dtype)
    for part in parts:
        scores[part] = spec.score_pairs(queries[part[0]], rows_at(items, candidates[part]))
    return scores


def rows_at(items: Tensor, positions: Tensor) -> Tensor:
    """Return ``items[positions]``, (N, d), (Q, C) -> (Q, C, d): whole rows, in a seventh of its time."""
    return items.index_select(0, positions.flatten()).view(*positions.shape, -1)


def best(scores: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of scores (Q, C) and their indices, the best first; first among equals."""
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return scores.gather(1, order), indices.gather(1, order)


def merge(scores: Sequence[Tensor], indices: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of several searches (Q, C), whose indices are in any order; first among equals."""
    every, places = torch.cat(list(scores), 1), torch.cat(list(indices), 1)
    order = places.sort(dim=1).indices
    return best(every.gather(1, order), places.gather(1, order), k)
