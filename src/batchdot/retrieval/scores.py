"""The prefilter of a search: approximate scores of queries and one block of items after the other."""

from typing import Protocol

import torch
from torch import Tensor

from batchdot._torch import multiplies_bfloat16
from batchdot.kernels.cpu import library
from batchdot.planning.lowering import block_bytes
from batchdot.retrieval.spec import SearchSpec, uses_native_kernels

FEW_QUERIES = 16
"""The most queries whose scores are summed in float64, as products of a matrix and vectors, at the rate of
memory; see `are_few`."""

COARSE_MARGIN = 4
"""k is divided by this for the number of further candidates where scores have the digits of bfloat16."""

COARSE_ERROR = 2.0**-8
"""Bound on the relative error of a score that is rounded to bfloat16: 2^-9, and room for its sum."""

CONVERTED_BYTES = 8 << 20
"""The most bytes of a block of items that is converted to another dtype: it is read again from the cache."""

FUSED_FLOATS = not library.unavailable_reasons() and library.instructions() != "baseline"
"""Whether the C++ operators have fused products of floats, in registers of 8 or more."""


class Scores(Protocol):
    """Scores of the same queries (Q, d) and blocks of items (N, d), in the dtype of the prefilter."""

    def __call__(self, items: Tensor, out: Tensor) -> Tensor:
        """Return the scores (Q, N), in the memory of ``out`` where possible."""
        ...


def searches_natively(spec: SearchSpec, queries: Tensor, items: torch.dtype) -> bool:
    """Return whether one C++ operator scores items of a dtype as they are, and selects among them.

    For many queries only with `FUSED_FLOATS`: without, 1,024 queries of 128 numbers took 1.4 times as long as
    with PyTorch's products.
    """
    if spec.epsilon is not None or not (spec.score_dtype.is_floating_point and items.is_floating_point):
        return False
    if spec.prefilter_dtype == torch.float64:
        return items == torch.float64 and len(queries) <= FEW_QUERIES
    return are_few(*queries.shape) or FUSED_FLOATS


def are_few(queries: int, size: int) -> bool:
    """Return whether products with vectors, of ``size`` numbers, are faster than those of matrices.

    On an AMD Zen 4, with one thread and 100,000 items of 128 numbers, 1 query took 3.6 ms and 16 took 12.9,
    by products of matrices 10.6 and 14.0; of 16 numbers, 1 took 0.3 ms and 4 took 1.0, by these 0.8 and 1.0.
    """
    return queries <= min(FEW_QUERIES, max(4, size // 8))


def scores_of(spec: SearchSpec, queries: Tensor) -> Scores:
    """Return what scores these queries fastest, by the dtypes and the number of queries."""
    if spec.epsilon is not None or spec.prefilter_dtype == torch.int64:
        return BatchDotScores(spec, queries)
    return ProductScores(spec, queries)


def is_coarse(spec: SearchSpec, queries: Tensor, items: torch.dtype) -> bool:
    """Return whether scores with items of a dtype are first computed to the digits of bfloat16."""
    of_bfloat16 = queries.dtype == items == torch.bfloat16 and spec.epsilon is None and queries.numel()
    many = len(queries) > FEW_QUERIES and uses_native_kernels(queries.device)
    return bool(of_bfloat16) and many and multiplies_bfloat16()


def most_items(spec: SearchSpec, items: Tensor, scores: Scores) -> int:
    """Return the most items of a block, besides what the selection allows."""
    if isinstance(scores, Bfloat16Scores) or items.dtype == spec.prefilter_dtype:
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
