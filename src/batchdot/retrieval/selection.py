"""The positions of the largest scores of each row of a matrix that is computed block by block, by ATen.

The reference, for every device and dtype. `native_selection` has the same class for the CPU, in C++.
"""

import torch
from torch import Tensor

QUERY_BLOCK, BLOCK_SCORES = 1024, 1 << 22
"""The most rows, and the most scores, of a block: 16 MiB in float32."""

GROUP = 16
"""Scores that are first represented by their maximum. They are `count // GROUP` apart, so that the maximum is
an elementwise one of long rows: ten times faster than over neighbours."""


class Selection:
    """The candidates of R rows: positions of the C largest of the scores so far; first among equals.

    Args:
        rows: R.
        num_candidates: C, at most the number of scores of a row.
        count: the number of scores of a row, of all blocks.
        like: a tensor of the dtype and device of the scores.
    """

    def __init__(self, rows: int, num_candidates: int, count: int, like: Tensor) -> None:
        self.num_candidates = num_candidates
        self.scores = like.new_empty((rows, 0))
        self.indices = like.new_empty((rows, 0), dtype=torch.int64)

    @staticmethod
    def block_shape(rows: int, num_candidates: int) -> tuple[int, int]:
        """Return the most rows and the most columns of a block.

        There are at least ten groups for each candidate, or the maxima of groups exclude nothing.
        """
        rows = max(1, min(QUERY_BLOCK, rows, BLOCK_SCORES // (10 * GROUP * max(1, num_candidates))))
        return rows, max(1, BLOCK_SCORES // rows)

    def are_finite(self, scores: Tensor) -> bool:
        """Return whether no score is infinite or NaN; False also where only their sum is."""
        return bool(scores.sum().isfinite())

    def add(self, scores: Tensor, first: int) -> None:
        """Let the scores of a block (R, N) become candidates; the first has position ``first``."""
        full = self.scores.shape[1] == self.num_candidates
        floor = self.scores.amin(1, keepdim=True) if full else None
        new = _prefilter(scores, min(self.num_candidates, scores.shape[1]), floor)
        if not new.shape[1]:
            return
        self.scores = torch.cat([self.scores, scores.gather(1, new)], 1)
        self.indices = torch.cat([self.indices, new + first], 1)
        keep = _topk_positions(self.scores, min(self.num_candidates, self.scores.shape[1]))
        self.scores, self.indices = self.scores.gather(1, keep), self.indices.gather(1, keep)

    def positions(self) -> Tensor:
        """Return the positions of the candidates, ascending: (R, C)."""
        return self.indices

    def least(self) -> Tensor:
        """Return the least score of the candidates of each row: (R,)."""
        return self.scores.amin(1)

    def is_sure(self) -> bool:
        """Return True: ties and numbers out of range were seen to in each block."""
        return True


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
