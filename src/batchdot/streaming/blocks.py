"""Block planning: how many samples of a contraction are in memory at the same time."""

from collections.abc import Iterator
from dataclasses import dataclass

from batchdot.planning.contraction import Contraction, product

BLOCK_BYTES = 16 << 20
"""Memory budget for x, y and the result of all blocks in flight; a single larger sample exceeds it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A partition of the samples of a contraction into blocks, iterated as (start, stop) intervals.

    Attributes:
        leading_axes: number of shared axes that are flattened into the sample axis.
        count: number of samples.
        block_size: samples in a block. The last block also takes the remainder, so it has less than
            twice as many.
        chunk_size: samples in one call of `batch_dot`. Equal to the block size that `batch_dot` uses
            internally, so that a streamed result has the same bits as one computed in memory.
        workers: blocks that are computed at the same time.
    """

    leading_axes: int
    count: int
    block_size: int
    chunk_size: int
    workers: int = 1

    def __len__(self) -> int:
        return self.count // self.block_size if self.count >= self.block_size else min(self.count, 1)

    @property
    def largest(self) -> int:
        """Samples in the last block, which is the largest."""
        return self.count - max(len(self) - 1, 0) * self.block_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for block in range(len(self)):
            start = block * self.block_size
            yield start, self.count if block == len(self) - 1 else start + self.block_size


def plan_blocks(
    contraction: Contraction,
    itemsizes: tuple[int, int, int],
    rows: int | None,
    one_axis: bool,
    workers: int,
) -> Blocks:
    """Choose the number of samples in a block.

    Args:
        contraction: what to compute; all sizes are known.
        itemsizes: bytes of one element of x, of y and of the result.
        rows: samples that `batch_dot` itself takes at a time, None if it takes all of them.
        one_axis: whether samples are counted along the first axis only.
        workers: blocks in flight; reduced to 1 if a single sample exceeds a worker's share.

    Returns:
        Blocks such that one per worker takes about `BLOCK_BYTES` in all. If one index into the first
        axis exceeds its share, further shared axes are flattened into the sample axis, and a block then
        has at least two samples: torch sums a single row in another order than a row among others.

    >>> rows = Contraction.batch_dot((100_000, 128), (100_000, 128), 1)
    >>> blocks = plan_blocks(rows, (4, 4, 4), rows=None, one_axis=False, workers=1)
    >>> len(blocks), blocks.block_size
    (6, 16320)
    """
    shapes = (contraction.x_shape, contraction.y_shape, contraction.output_shape)

    def sample_bytes(leading_axes: int) -> int:
        sizes = zip(shapes, itemsizes, strict=True)
        return max(1, sum((product(shape[leading_axes:]) or 0) * size for shape, size in sizes))

    leading_axes, share = 1, BLOCK_BYTES // workers
    while not one_axis and leading_axes < len(contraction.shared) and sample_bytes(leading_axes) > share:
        leading_axes += 1
    if sample_bytes(leading_axes) > share:
        workers, share = 1, BLOCK_BYTES
    count = product(contraction.x_shape[:leading_axes]) or 0
    block_size = max(1 if leading_axes == 1 else 2, share // sample_bytes(leading_axes))
    if leading_axes == 1 and rows is not None:
        block_size = max(block_size - block_size % rows, rows)
        return Blocks(leading_axes, count, block_size, rows, workers)
    return Blocks(leading_axes, count, block_size, max(1, count), workers)
