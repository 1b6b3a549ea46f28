"""The positions of the largest scores of each row of a matrix that is computed block by block, in C++.

The class is as `selection.Selection`. A block is small enough to be in cache when its scores are read, and
each score is compared with one threshold (csrc/cpu/candidates.h).
"""

import torch
from torch import Tensor

QUERY_BLOCK, BLOCK_SCORES = 512, 1 << 19
"""The most rows, and the most scores, of a block: 2 MiB in float32."""

EXTRA_CANDIDATES = 64
"""Room for candidates beyond 2 C. Where it is full, all but the C largest are dropped."""

CANDIDATE_BYTES = 32 << 20
"""The most bytes of the candidates of a block of rows."""


class NativeSelection:
    """The candidates of R rows: positions of the C largest of the scores so far; first among equals.

    Args:
        rows: R.
        num_candidates: C, at most the number of scores of a row.
        count: the number of scores of a row, of all blocks.
        like: a tensor of the dtype and device of the scores: float32, float64 or int64, on the CPU.
    """

    def __init__(self, rows: int, num_candidates: int, count: int, like: Tensor) -> None:
        self.num_candidates = num_candidates
        capacity = min(_capacity(num_candidates), max(count, num_candidates + 1))
        self.state = (
            like.new_empty((rows, capacity)),
            like.new_empty((rows, capacity), dtype=torch.int64),
            like.new_zeros(rows, dtype=torch.int64),
            like.new_empty(rows),
        )

    @staticmethod
    def block_shape(rows: int, num_candidates: int) -> tuple[int, int]:
        """Return the most rows and the most columns of a block."""
        rows = max(1, min(QUERY_BLOCK, rows, CANDIDATE_BYTES // (16 * _capacity(num_candidates))))
        return rows, max(1, BLOCK_SCORES // rows)

    @staticmethod
    def are_finite(scores: Tensor) -> bool:
        """Return whether no score is infinite or NaN."""
        finite: bool = torch.ops.batchdot.all_finite(scores)
        return finite

    def add(self, scores: Tensor, first: int) -> None:
        """Let the scores of a block (R, N) become candidates; the first has position ``first``."""
        torch.ops.batchdot.select_top(scores, *self.state, self.num_candidates, first)

    def positions(self) -> Tensor:
        """Return the positions of the candidates, ascending: (R, C)."""
        torch.ops.batchdot.cut_top(*self.state, self.num_candidates)
        return self.state[1][:, : self.num_candidates]

    def least(self) -> Tensor:
        """Return the least score of the candidates of each row, once `positions` was called: (R,)."""
        return self.state[3]

    def is_sure(self) -> bool:
        """Return True: ties and numbers out of range were seen to in each block."""
        return True


def _capacity(num_candidates: int) -> int:
    return 2 * num_candidates + EXTRA_CANDIDATES
