"""The positions of the largest scores of each row of a matrix that is computed block by block, on a GPU.

Nothing is read from the device before the last block: to wait for it at each would leave it idle between
them. So candidates are kept as if there were neither ties nor numbers out of range. What could prove that
wrong is kept on the device too, and read once, by `is_sure`.
"""

import torch
from torch import Tensor

from batchdot.retrieval.selection import Selection

QUERY_BLOCK, BLOCK_SCORES = 1 << 14, 1 << 26
"""The most rows, and the most scores, of a block: 256 MiB in float32, for memory rather than a cache."""


class DeviceSelection(Selection):
    """The candidates of R rows, as in `Selection`, without waiting for the device before `is_sure`."""

    def __init__(self, rows: int, num_candidates: int, count: int, like: Tensor) -> None:
        super().__init__(rows, num_candidates, count, like)
        lowest = -torch.inf if like.is_floating_point() else torch.iinfo(like.dtype).min
        self.largest_left_out = like.new_full((rows,), lowest)
        self.all_finite = like.new_ones((), dtype=torch.bool)

    @staticmethod
    def block_shape(rows: int, num_candidates: int) -> tuple[int, int]:
        """Return the most rows and the most columns of a block: ten for each candidate at least."""
        rows = max(1, min(QUERY_BLOCK, rows, BLOCK_SCORES // (10 * max(1, num_candidates))))
        return rows, max(1, BLOCK_SCORES // rows)

    def are_finite(self, scores: Tensor) -> bool:
        """Return True; whether all scores were finite is part of `is_sure`."""
        self.all_finite &= scores.sum().isfinite()
        return True

    def add(self, scores: Tensor, first: int) -> None:
        """Let the scores of a block (R, N) become candidates; the first has position ``first``."""
        new_scores, new = self._largest(scores)
        self.scores = torch.cat([self.scores, new_scores], 1)
        self.indices = torch.cat([self.indices, new + first], 1)
        if self.scores.shape[1] > self.num_candidates:
            self.scores, keep = self._largest(self.scores)
            self.indices = self.indices.gather(1, keep)

    def _largest(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the C largest scores of each row and their positions, ascending: (R, C) each."""
        top, at = scores.topk(min(self.num_candidates + 1, scores.shape[1]))
        if top.shape[1] > self.num_candidates:
            self.largest_left_out = self.largest_left_out.maximum(top[:, self.num_candidates])
            top, at = top[:, : self.num_candidates], at[:, : self.num_candidates]
        at, order = at.sort(1)
        return top.gather(1, order), at

    def is_sure(self) -> bool:
        """Return whether the candidates are those of `Selection`: no score equals what was left out.

        Waits for the device. NaN, which is no number above another, makes it False.
        """
        return bool(((self.largest_left_out < self.least()) & self.all_finite).all())
