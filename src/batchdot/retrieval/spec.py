"""What a search is asked for: its parameters, and the dtypes that it computes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import index
from typing import Any

import torch
from torch import Tensor

from batchdot import kernels
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.functional import batch_dot
from batchdot.planning.lowering import block_bytes, norm_dtype, result_dtype

MARGIN = 8
"""Candidates kept beyond k, because the rounding of a matrix product may misplace items around the k-th."""

CACHED_BYTES = 1 << 20
"""Bytes of rows, in the dtype of sums, that are scored pair by pair at a time: they stay in cache."""


def uses_native_kernels(device: torch.device) -> bool:
    """Return whether the C++ operators compute on a device."""
    return device.type == "cpu" and any(kernel.name == "native" for kernel in kernels.AVAILABLE)


def check_shapes(queries: tuple[int, ...], items: tuple[int, ...], k: Any, single: bool = False) -> None:
    """Check the shapes and k of a search, where ``single`` queries have the shape (d,).

    Raises:
        ValueError: as `top_k`.
        TypeError: k is not an integer.
    """

    def received() -> str:
        return f"Received: queries.shape={queries}, items.shape={items}, k={k!r}."

    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"k should be an integer. {received()}")
    if len(queries) != (1 if single else 2) or len(items) != 2:
        raise ValueError(f"top_k takes queries of shape (Q, d) and items of shape (N, d). {received()}")
    if queries[-1] != items[1]:
        raise ValueError(
            f"queries and items have different sizes of a row: {queries[-1]} != {items[1]}. {received()}"
        )
    if not 0 <= index(k) <= items[0]:
        raise ValueError(f"k should be from 0 to the number of items, {items[0]}. {received()}")


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """The parameters and dtypes of a search.

    Attributes:
        k: the number of results for each query.
        margin: the number of candidates beyond k.
        epsilon: floor on the squared norms, None if scores are products.
        dtype: dtype of the result.
        score_dtype: dtype in which exact scores are compared.
        pair_dtype: dtype of rows that are multiplied for exact scores. Native kernels sum float32 in float64.
        prefilter_dtype: dtype of the matrix products.
        sum_dtype: dtype of sums that must not overflow.
    """

    k: int
    margin: int
    epsilon: float | None
    dtype: torch.dtype
    score_dtype: torch.dtype
    pair_dtype: torch.dtype
    prefilter_dtype: torch.dtype
    sum_dtype: torch.dtype

    @property
    def may_overflow(self) -> bool:
        """Whether sums may be out of range that cancel; cosines and integers have none."""
        return self.epsilon is None and self.score_dtype.is_floating_point

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
            integer = torch.int64
            return cls(index(k), 0, None, integer, integer, integer, prefilter_dtype, integer)
        dtype = result_dtype(queries.dtype, items.dtype, normalize)
        score_dtype = torch.float32 if dtype.itemsize == 2 else dtype
        sum_dtype = norm_dtype(dtype, queries.device.type)
        sums_wide = floor is not None or uses_native_kernels(queries.device)
        pair_dtype = score_dtype if sums_wide else sum_dtype
        return cls(index(k), MARGIN, floor, dtype, score_dtype, pair_dtype, score_dtype, sum_dtype)

    def score_pairs(self, queries: Tensor, items: Tensor) -> Tensor:
        """Return exact scores (Q, C), in ``score_dtype``, of queries (Q, d) and C items for each."""
        queries = queries.to(self.pair_dtype).unsqueeze(1).expand(items.shape)
        return self.batch_dot(queries, items.to(self.pair_dtype), 2, batch_dims=2).to(self.score_dtype)

    def batch_dot(self, x: Tensor, y: Tensor, axes: int, batch_dims: int = 1) -> Tensor:
        """Return the products or cosines that are the scores."""
        if self.epsilon is None:
            return batch_dot(x, y, axes, batch_dims=batch_dims)
        return batch_dot(x, y, axes, batch_dims=batch_dims, normalize=True, epsilon=self.epsilon)

    def parts(self, shape: Sequence[int], size: int, device: str) -> list[tuple[slice, slice]]:
        """Split a matrix of pairs (Q, C) of rows of ``size`` numbers into parts to compute at a time."""
        most = CACHED_BYTES if device == "cpu" else block_bytes(device)
        pairs = max(1, most // max(1, size * self.sum_dtype.itemsize))
        rows, columns = max(1, pairs // shape[1]), min(pairs, shape[1])
        starts = product(range(0, shape[0], rows), range(0, shape[1], columns))
        return [(slice(row, row + rows), slice(column, column + columns)) for row, column in starts]
