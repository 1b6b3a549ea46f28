"""The prefilter of a search: approximate scores of queries and one block of items after the other."""

from typing import Protocol

import torch
from torch import Tensor

from batchdot._torch import multiplies_bfloat16
from batchdot.planning.lowering import block_bytes
from batchdot.retrieval.spec import SearchSpec, uses_native_kernels

FEW_QUERIES = 16
"""The most queries whose scores are products of a matrix and vectors, at the rate of memory. On an AMD Zen 4,
with 100,000 items, 1 query of 128 numbers took 2.7 ms and 16 took 8.7, as products of matrices 8.0 and 13.9;
of 16 numbers, 0.1 and 2.6 ms, as products of matrices 0.3 and 1.7."""

COARSE_MARGIN = 4
"""k is divided by this for the number of further candidates where scores have the digits of bfloat16."""

COARSE_ERROR = 2.0**-8
"""Bound on the relative error of a score that is rounded to bfloat16: 2^-9, and room for its sum."""

CONVERTED_BYTES = 8 << 20
"""The most bytes of a block of items that is converted to another dtype: it is read again from the cache."""


class Scores(Protocol):
    """Scores of the same queries (Q, d) and blocks of items (N, d), in the dtype of the prefilter."""

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Return the scores (Q, N), in the memory of ``out`` where possible."""
        ...


def uses_vector_scores(spec: SearchSpec, queries: int, device: torch.device, items: torch.dtype) -> bool:
    """Return whether items of a dtype are scored as they are, as a matrix times few vectors."""
    is_sum = spec.epsilon is None and spec.score_dtype.is_floating_point and items.is_floating_point
    fits = (items == torch.float64) == (spec.prefilter_dtype == torch.float64)
    return is_sum and fits and queries <= FEW_QUERIES and uses_native_kernels(device)


def scores_of(spec: SearchSpec, queries: Tensor, items: Tensor) -> Scores:
    """Return what scores these queries fastest, by the dtypes and the number of queries."""
    if spec.epsilon is not None or spec.prefilter_dtype == torch.int64:
        return BatchDotScores(spec, queries)
    if uses_vector_scores(spec, len(queries), queries.device, items.dtype):
        return VectorScores(spec, queries)
    return ProductScores(spec, queries)


def is_coarse(spec: SearchSpec, queries: Tensor, items: Tensor) -> bool:
    """Return whether scores are first computed to the digits of bfloat16."""
    of_bfloat16 = queries.dtype == items.dtype == torch.bfloat16 and spec.epsilon is None and queries.numel()
    many = len(queries) > FEW_QUERIES and uses_native_kernels(queries.device)
    return bool(of_bfloat16) and many and multiplies_bfloat16()


def most_items(spec: SearchSpec, items: Tensor, scores: Scores) -> int:
    """Return the most items of a block, besides what the selection allows."""
    if isinstance(scores, VectorScores | Bfloat16Scores) or items.dtype == spec.prefilter_dtype:
        return max(1, len(items))
    most = CONVERTED_BYTES if items.device.type == "cpu" else block_bytes(items.device.type)
    return max(1, most // max(1, items.shape[1] * spec.prefilter_dtype.itemsize))


class BatchDotScores:
    """Cosines, and products of large integers."""

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.spec, self.queries = spec, queries.to(spec.prefilter_dtype)

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Return the scores as a new tensor."""
        return self.spec.batch_dot(self.queries[None], items.to(self.spec.prefilter_dtype)[None], 2)[0]


class ProductScores:
    """Products of matrices."""

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.spec, self.queries = spec, queries.to(spec.prefilter_dtype)

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Write the scores to ``out``."""
        return torch.mm(self.queries, items.to(self.spec.prefilter_dtype).T, out=out)


class Bfloat16Scores:
    """Products of matrices of bfloat16, rounded to bfloat16: fast where the processor multiplies it."""

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.queries, self.largest = queries, _largest(queries)

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Write the scores to ``out``."""
        self.largest = torch.maximum(self.largest, _largest(items))
        return out.copy_(torch.mm(self.queries, items.T))

    def error(self, scores: Tensor) -> Tensor:
        """Return a bound on the errors of scores: of rounding, and of subnormal numbers taken for zero.

        x86's instructions do so with factors and sums. Each loses less than 2^-126 times the other factor.
        """
        lost = 2.0**-126 * self.queries.shape[1] * (2 * self.largest.view(torch.bfloat16).item() + 1)
        return scores.abs() * COARSE_ERROR + 2 * lost


def _largest(rows: Tensor) -> Tensor:
    """Return the bits of the largest magnitude of bfloat16 numbers: 6 times as fast as by the numbers."""
    return rows.view(torch.int16).bitwise_and(0x7FFF).amax()


class VectorScores:
    """Products of a matrix and few vectors, in C++: summed in float64, from items of any float dtype."""

    def __init__(self, spec: SearchSpec, queries: Tensor) -> None:
        self.vectors = queries.to(torch.float64).contiguous()

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Write the scores to ``out``."""
        packed = items.shape[1] < 2 or items.stride(1) == 1
        torch.ops.batchdot.score_rows(self.vectors, items if packed else items.contiguous(), out)
        return out
