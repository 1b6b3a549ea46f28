"""Matrix products whose partial sums leave the range of the prefilter's dtype."""

from collections.abc import Iterator

import torch
from torch import Tensor

from batchdot.retrieval.spec import SearchSpec


def multiply_wide(queries: Tensor, items: Tensor, spec: SearchSpec, out: Tensor) -> Tensor:
    """Write the matrix product of (Q, d) and (N, d) to ``out`` (Q, N); only its results may be out of range.

    It is computed in the dtype of sums. Where that is no wider, rows are multiplied by powers of two that
    bring their largest elements to [1, 2), and the products by the inverse of those.
    """
    queries, items, sum_dtype = queries.to(out.dtype), items.to(out.dtype), spec.sum_dtype
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
        for factor in _powers(query_exponents[block, None] + item_exponents, out):  # (rows, N)
            out[block].mul_(factor)
    return out


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows with a largest element in [1, 2), and the exponents e of the factors 2^e left out: (N,)."""
    largest = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    usual = largest.isfinite() & (largest > 0)
    exponents = torch.where(usual, torch.frexp(largest).exponent - 1, 0)
    for factor in _powers(-exponents, rows):
        rows = rows * factor[:, None]
    return rows, exponents


def _powers(exponents: Tensor, like: Tensor) -> Iterator[Tensor]:
    """Yield two factors whose product is 2^exponents: the whole power may be out of range itself."""
    half = exponents // 2
    for part in (half, exponents - half):
        yield torch.ldexp(like.new_ones(part.shape), part)
