"""Read a chunked HDF5 dataset: undo the filters of each chunk and copy it to its place."""

import zlib
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive.hdf5.bytes_reader import Reader
from batchdot.porting.archive.hdf5.messages import DEFLATE, Layout
from batchdot.porting.archive.hdf5.trees import Chunk, chunks
from batchdot.porting.archive.limits import MAX_CHUNKS, most_inflated
from batchdot.porting.errors import ModelFileError


def read_chunks(
    reader: Reader, layout: Layout, filters: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[np.generic]:
    """Return the array that chunks make up.

    Raises:
        ModelFileError: a chunk is missing, there twice, damaged, or inflates beyond the limits.
    """
    if len(layout.chunk) != len(shape):
        raise ModelFileError("HDF5 chunks of another rank than their dataset")
    size = prod(layout.chunk) * dtype.itemsize
    expected = prod(-(-axis // chunk) for axis, chunk in zip(shape, layout.chunk, strict=True))
    if expected > MAX_CHUNKS:
        raise ModelFileError(f"an HDF5 dataset of {expected:,} chunks", f"{MAX_CHUNKS:,}")
    if layout.single is None:
        found = chunks(reader, layout.address, len(shape), expected)
    else:
        stored = layout.single if filters and layout.single else size
        found = [Chunk((0,) * len(shape), layout.address, stored, 0)]
    if len(found) != expected or len({chunk.start for chunk in found}) != expected:
        raise ModelFileError(f"{len(found):,} chunks of an HDF5 dataset", f"{expected:,}, each once")
    total, stored = prod(shape) * dtype.itemsize, sum(chunk.size for chunk in found)
    if max(total, size) > most_inflated(stored) or stored > reader.source.size:
        raise ModelFileError(
            f"chunks that inflate from {stored:,} to {total:,} bytes", f"{most_inflated(stored):,}"
        )
    array: NDArray[np.generic] = np.empty(shape, dtype)
    for chunk in found:
        aligned = all(
            start % step == 0 and start < axis
            for start, step, axis in zip(chunk.start, layout.chunk, shape, strict=True)
        )
        if not aligned:
            raise ModelFileError("a chunk outside of its HDF5 dataset")
        data = _unfilter(
            reader.source.read(chunk.address, chunk.size), filters, chunk.skipped, size, dtype.itemsize
        )
        whole = np.frombuffer(data, dtype).reshape(layout.chunk)
        place = tuple(
            slice(start, start + step) for start, step in zip(chunk.start, layout.chunk, strict=True)
        )
        inside = tuple(slice(0, axis - start) for start, axis in zip(chunk.start, shape, strict=True))
        array[place] = whole[inside]
    return array


def _unfilter(data: bytes, filters: tuple[int, ...], skipped: int, size: int, itemsize: int) -> bytes:
    """Undo the filters of one chunk, the last one first."""
    for number in reversed(range(len(filters))):
        if skipped >> number & 1:
            continue
        data = _inflate(data, size) if filters[number] == DEFLATE else _unshuffle(data, itemsize)
    if len(data) != size:
        raise ModelFileError(f"a chunk of {len(data):,} bytes", f"{size:,}")
    return data


def _inflate(data: bytes, size: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        result = engine.decompress(data, size + 1)
    except zlib.error:
        raise ModelFileError("a gzipped chunk that is damaged") from None
    if not engine.eof:
        raise ModelFileError("a gzipped chunk that is cut off, or longer than its dataset")
    return result


def _unshuffle(data: bytes, itemsize: int) -> bytes:
    """Undo shuffle: the first bytes of all numbers, then their second bytes, and so on."""
    if len(data) % itemsize:
        raise ModelFileError("a shuffled chunk of broken numbers")
    planes: NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
    return bytes(planes.T.tobytes())
