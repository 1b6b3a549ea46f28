"""`top_k` of queries and items in files, streamed in bounded memory (`batchdot top-k`)."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from math import prod

import torch
from torch import Tensor

from batchdot.convert import check_dtypes
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, BlockReader, PathLike, TensorPath, WrittenArray
from batchdot.io.atomic import AtomicFile
from batchdot.io.layout import bytes_of
from batchdot.io.regular_file import RegularFile, printable
from batchdot.retrieval.block_search import BlockSearch, best, merge
from batchdot.retrieval.spec import SearchSpec, check_shapes
from batchdot.streaming.dtypes import cast_dtype, parse_target_dtype
from batchdot.streaming.progress import Progress
from batchdot.streaming.workers import SharedIntervals, count_workers, run_workers
from batchdot.types import EPSILON

QUERY_BYTES = 64 << 20
"""Memory budget for a block of queries and their results. Each block reads all items once."""

ITEM_BYTES = 16 << 20
"""Memory budget for a block of items. Each thread has one, or one is searched while the next is read."""


def top_k_files(
    queries: PathLike,
    items: PathLike,
    k: int,
    *,
    scores: "PathLike | None" = None,
    indices: "PathLike | None" = None,
    normalize: bool = False,
    epsilon: float = EPSILON,
    dtype: torch.dtype | str | None = None,
    progress: bool = False,
) -> tuple[WrittenArray, ...]:
    """Compute `top_k` of two arrays in files and write the scores, the indices, or both.

    Files are .npy or .safetensors, as in `dot_files`. Both are read block by block; all items are read
    once for each block of queries, 64 MiB of them.

    Args:
        queries: file of an array of shape (Q, d).
        items: file of an array of shape (N, d).
        k: number of items for each query, at most N.
        scores: file to write the scores to, (Q, k).
        indices: file to write the indices to, (Q, k) int64.
        normalize: whether scores are cosines.
        epsilon: lower bound on the squared norms.
        dtype: dtype that both inputs are cast to first; None for no cast.
        progress: whether to show a progress bar on stderr, from the first second on.

    Returns:
        Path, shape and dtype of each result.

    Raises:
        ValueError, TypeError: as `top_k`, before anything is written; or neither output is given.
        FileFormatError, OSError: as `dot_files`.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     q, i, out = (f"{folder}/{name}.npy" for name in ("q", "i", "out"))
    ...     numpy.save(q, [[1.0, 0.0]])
    ...     numpy.save(i, [[0.5, 0.5], [3.0, 4.0], [1.0, 0.0]])
    ...     written = top_k_files(q, i, 2, indices=out)
    ...     numpy.load(out).tolist()
    [[1, 2]]
    """
    places = [None if name is None else TensorPath.parse(name) for name in (scores, indices)]
    _check_places(places)
    to = parse_target_dtype(dtype)
    with ArrayFile(queries) as query_file, ArrayFile(items) as item_file:
        files = (query_file, item_file)
        check_shapes(query_file.layout.shape, item_file.layout.shape, k)
        dtypes = [
            cast_dtype(file.layout.dtype, to, name)
            for file, name in zip(files, ("queries", "items"), strict=True)
        ]
        check_dtypes(dtypes[0], dtypes[1], "top_k", ("queries", "items"))
        metas = [
            torch.empty(file.layout.shape, dtype=dtype, device="meta")
            for file, dtype in zip(files, dtypes, strict=True)
        ]
        spec = SearchSpec.of(k, metas[0], metas[1], normalize, epsilon)
        shape = (query_file.layout.shape[0], spec.k)
        wanted = [
            (number, place, output_dtype)
            for number, (place, output_dtype) in enumerate(
                zip(places, (spec.dtype, torch.int64), strict=True)
            )
            if place is not None
        ]
        inputs = [file.file for file in files]
        with ExitStack() as stack:
            outputs = [
                (number, _new_file(stack, place, output_dtype, shape, inputs))
                for number, place, output_dtype in wanted
            ]
            for results in _Searches(spec, query_file, item_file, dtypes).run(progress):
                for number, output in outputs:
                    output.write(bytes_of(results[number]))
            for file in inputs:
                file.check_unchanged()
    return tuple(WrittenArray(place.path, shape, output_dtype) for _, place, output_dtype in wanted)


def _new_file(
    stack: ExitStack, place: TensorPath, dtype: torch.dtype, shape: tuple[int, ...], inputs: list[RegularFile]
) -> AtomicFile:
    """Open a file and write the header of an array; the stack completes it, or removes it after an error."""
    header = place.header(shape, dtype)
    new = AtomicFile(place.path, len(header) + prod(shape) * dtype.itemsize, inputs)
    stack.callback(new.remove)
    stack.enter_context(new)
    new.write(header)
    return new


def _check_places(places: list[TensorPath | None]) -> None:
    paths = [os.path.realpath(place.path) for place in places if place is not None]
    if not paths:
        raise ValueError("nothing would be written: name a file for the scores, for the indices, or two")
    if len(paths) > len(set(paths)):
        raise FileFormatError(f"scores and indices need a file each, and both are {printable(paths[0])}")


class _Searches:
    """The search of all items, for one block of queries at a time."""

    def __init__(
        self, spec: SearchSpec, queries: ArrayFile, items: ArrayFile, dtypes: list[torch.dtype]
    ) -> None:
        self.spec, self.queries, self.items, self.dtypes = spec, queries, items, dtypes
        self.count, size = queries.layout.shape
        widest = max(8, *(file.layout.dtype.itemsize for file in (queries, items)))
        # A query is held three times: read, cast, as a factor. Results are held twice while they are merged.
        room = 3 * size * widest + 6 * 8 * (spec.k + spec.margin)
        self.rows = max(1, QUERY_BYTES // max(1, room))
        items_size = max(1, items.layout.shape[0])
        self.item_rows = min(items_size, max(1, ITEM_BYTES // max(1, size * widest)))

    def run(self, progress: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield scores (block, k) and indices (block, k) for each block of queries."""
        blocks = -(-self.count // self.rows) if self.spec.k else 0
        with torch.no_grad(), Progress(blocks * self.items.layout.shape[0], progress) as bar:
            reader = self.queries.reader(min(self.rows, self.count))
            for start in range(0, self.count if self.spec.k else 0, self.rows):
                queries = reader.read(start, min(start + self.rows, self.count)).to(self.dtypes[0])
                search = BlockSearch(self.spec, queries)
                single_threaded = search.single_threaded(self.dtypes[1])
                if single_threaded is None:
                    scores, indices = self._read_ahead(search, bar)
                else:
                    scores, indices = self._share(queries, single_threaded, bar)
                yield scores.to(self.spec.dtype), indices

    def _share(
        self, queries: Tensor, start_thread: Callable[[], None], bar: Progress
    ) -> tuple[Tensor, Tensor]:
        """Search in several threads, each of which reads its own blocks."""
        intervals = SharedIntervals(self._intervals())

        def blocks() -> Iterator[tuple[int, Tensor]]:
            reader = self.items.reader(self.item_rows)
            for start, stop in intervals:
                yield start, reader.read(start, stop)

        def work() -> tuple[Tensor, Tensor]:
            with intervals:
                return self._collect(BlockSearch(self.spec, queries), blocks(), intervals.finish)

        found = run_workers(work, count_workers(), start_thread, intervals, bar)
        scores, indices = zip(*found, strict=True)
        return merge(scores, indices, self.spec.k)

    def _read_ahead(self, search: BlockSearch, bar: Progress) -> tuple[Tensor, Tensor]:
        """Search by all threads in one block, while another thread reads the next."""
        readers = cycle([self.items.reader(self.item_rows) for _ in range(2)])

        def read(interval: tuple[int, int], reader: BlockReader) -> tuple[int, Tensor]:
            return interval[0], reader.read(*interval)

        def blocks() -> Iterator[tuple[int, Tensor]]:
            waiting = None
            for interval in self._intervals():
                block = waiting and waiting.result()
                waiting = thread.submit(read, interval, next(readers))
                if block is not None:
                    yield block
            if waiting is not None:
                yield waiting.result()

        with ThreadPoolExecutor(1) as thread:
            return self._collect(search, blocks(), bar.advance)

    def _intervals(self) -> Iterator[tuple[int, int]]:
        count = self.items.layout.shape[0]
        return ((start, min(start + self.item_rows, count)) for start in range(0, count, self.item_rows))

    def _collect(
        self, search: BlockSearch, blocks: Iterable[tuple[int, Tensor]], finish: Callable[[int], None]
    ) -> tuple[Tensor, Tensor]:
        """Return the best of blocks of items, given with the index of their first, in ascending order."""
        queries = search.queries
        scores = queries.new_empty((len(queries), 0), dtype=self.spec.score_dtype)
        indices = queries.new_empty((len(queries), 0), dtype=torch.int64)
        for first, block in blocks:
            found, places = search.find(block.to(self.dtypes[1]))
            # Earlier items stand to the left, so that they come first among equals.
            scores, indices = best(
                torch.cat([scores, found], 1), torch.cat([indices, places + first], 1), self.spec.k
            )
            finish(len(block))
        return scores, indices
