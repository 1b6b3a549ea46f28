"""`top_k` of queries and items in files, streamed in bounded memory (`batchdot top-k`)."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod

import torch
from torch import Tensor

from batchdot.convert import check_dtypes
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, PathLike, TensorPath
from batchdot.io.atomic import AtomicFile
from batchdot.io.regular_file import printable
from batchdot.retrieval.search import Candidates, SearchSpec, check_shapes
from batchdot.streaming.dot import WrittenArray
from batchdot.streaming.dtypes import cast_dtype, parse_target_dtype
from batchdot.streaming.progress import Progress
from batchdot.types import EPSILON

QUERY_BYTES = 64 << 20
"""Memory budget for a block of queries and their candidates. Each block reads all items once."""


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
        search = SearchSpec.of(k, metas[0], metas[1], normalize, epsilon)
        shape = (query_file.layout.shape[0], search.k)
        with ExitStack() as stack:
            outputs: list[AtomicFile | None] = []
            written = []
            for place, kind in zip(places, (search.dtype, torch.int64), strict=True):
                if place is None:
                    outputs.append(None)
                    continue
                header = place.header(shape, kind)
                nbytes = len(header) + prod(shape) * kind.itemsize
                new = AtomicFile(place.path, nbytes, [file.file for file in files])
                stack.callback(new.remove)
                outputs.append(stack.enter_context(new))
                new.write(header)
                written.append(WrittenArray(place.path, shape, kind))
            for results in _Searches(search, query_file, item_file, dtypes).run(progress):
                for new_file, result in zip(outputs, results, strict=True):
                    if new_file is not None:
                        new_file.write_tensor(result)
            for file in files:
                file.file.check_unchanged()
    return tuple(written)


def _check_places(places: list[TensorPath | None]) -> None:
    paths = [os.path.realpath(place.path) for place in places if place is not None]
    if not paths:
        raise ValueError("nothing would be written: name a file for the scores, for the indices, or two")
    if len(paths) > len(set(paths)):
        raise FileFormatError(f"scores and indices need a file each, and both are {printable(paths[0])}")


class _Searches:
    """The search of all items, for one block of queries at a time."""

    def __init__(
        self, search: SearchSpec, queries: ArrayFile, items: ArrayFile, dtypes: list[torch.dtype]
    ) -> None:
        self.search, self.queries, self.items, self.dtypes = search, queries, items, dtypes
        self.count, size = queries.layout.shape
        widest = max(8, *(file.layout.dtype.itemsize for file in (queries, items)))
        # A query is held three times: read, cast, prepared. Candidates are held twice while they are merged.
        room = 3 * size * widest + 6 * 8 * search.num_candidates
        self.rows = max(1, QUERY_BYTES // max(1, room))
        self.item_bytes = max(1, size * widest)

    def run(self, progress: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield scores (block, k) and indices (block, k) for each block of queries."""
        items = self.items.layout.shape[0]
        blocks = -(-self.count // self.rows) if self.search.k else 0
        with torch.no_grad(), Progress(blocks * items, progress) as bar:
            query_buffer = self.queries.buffer(min(self.rows, self.count))
            for start in range(0, self.count if self.search.k else 0, self.rows):
                stop = min(start + self.rows, self.count)
                queries = self.queries.read(start, stop, query_buffer).to(self.dtypes[0])
                best = Candidates(self.search, queries)
                buffer = self.items.buffer(min(best.item_block, items))
                for first in range(0, items, best.item_block):
                    last = min(first + best.item_block, items)
                    block = self.items.read(first, last, buffer).to(self.dtypes[1])
                    best.add(block, first)
                    best.rescore(block, first)
                    bar.advance(last - first)
                scores, indices = best.top()
                yield scores.to(self.search.dtype), indices
