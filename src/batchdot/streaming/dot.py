"""`batch_dot` of arrays in files, streamed block by block in bounded memory (`batchdot dot`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor

from batchdot.convert import AxesLike, check_dtypes
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, PathLike, TensorPath, WrittenArray
from batchdot.io.atomic import AtomicFile
from batchdot.io.layout import MAX_BYTES, bytes_of
from batchdot.io.regular_file import printable
from batchdot.kernels import select_kernel
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.dispatch import run
from batchdot.ops.operation import Operation
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import lower, result_dtype
from batchdot.planning.plan import TensorMeta
from batchdot.streaming.blocks import Blocks, plan_blocks
from batchdot.streaming.dtypes import cast_dtype, parse_target_dtype
from batchdot.streaming.progress import Progress
from batchdot.streaming.workers import SharedIntervals, count_workers, run_workers
from batchdot.types import EPSILON


def dot_files(
    x: PathLike,
    y: PathLike,
    out: PathLike,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
    dtype: torch.dtype | str | None = None,
    progress: bool = False,
) -> WrittenArray:
    """Compute `batch_dot` of two arrays in files and write the result to a third file.

    Files are .npy or .safetensors in any combination; ``file.safetensors:name`` selects one of several
    tensors. Inputs are read block by block over the samples. The write is atomic: the result is written
    to a temporary file that is renamed at the end, so an existing output stays as it is until then.

    Args:
        x: file of an array of shape (B, ...), of rank 2 or more.
        y: file of an array of shape (B, ...), of rank 2 or more.
        out: file to write, in an existing folder; neither x nor y.
        axes: as in `batch_dot`.
        batch_dims: as in `batch_dot`.
        normalize: as in `batch_dot`.
        epsilon: as in `batch_dot`.
        dtype: dtype that both inputs are cast to first; None for no cast.
        progress: whether to show a progress bar on stderr, from the first second on.

    Returns:
        Path, shape and dtype of the result.

    Raises:
        AxisError, ValueError, TypeError: as `batch_dot`, before anything is written.
        FileFormatError: an input is malformed, truncated, too long, not a regular file, or was written
            to meanwhile; or the output is an input, or its format cannot hold the result.
        OSError: a file cannot be read or written.
        MemoryError: a single sample is too large.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     x, y, out = (f"{folder}/{name}.npy" for name in ("x", "y", "out"))
    ...     numpy.save(x, [[3.0, 4.0], [1.0, 0.0]])
    ...     numpy.save(y, [[4.0, 3.0], [0.0, 1.0]])
    ...     shape = dot_files(x, y, out, axes=1).shape
    ...     numpy.load(out).tolist()
    [[24.0], [0.0]]
    """
    place = TensorPath.parse(out)
    operation = batch_dot_operation(axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon)
    to = parse_target_dtype(dtype)
    with ArrayFile(x) as x_file, ArrayFile(y) as y_file:
        contraction = operation.contract(x_file.layout.shape, y_file.layout.shape)
        x_dtype = cast_dtype(x_file.layout.dtype, to, "x")
        y_dtype = cast_dtype(y_file.layout.dtype, to, "y")
        check_dtypes(x_dtype, y_dtype, "batch_dot")
        job = _Job(contraction, x_dtype, y_dtype, operation.epsilon, x_file, y_file)
        header = place.header(job.shape, job.dtype)
        if (nbytes := prod(job.shape) * job.dtype.itemsize) > MAX_BYTES - len(header):
            raise FileFormatError(
                f"cannot write {printable(place.path)}: no file holds a result of shape {job.shape}"
            )
        new = AtomicFile(place.path, len(header) + nbytes, (x_file.file, y_file.file))
        try:
            with new:
                new.write(header)
                job.run(new, len(header), progress)
                x_file.file.check_unchanged()
                y_file.file.check_unchanged()
        finally:  # a signal may arrive before the context manager has begun to remove the file
            new.remove()
    return WrittenArray(place.path, job.shape, job.dtype)


class _Job:
    """One contraction of two open files, planned once and run block by block."""

    def __init__(
        self,
        contraction: Contraction,
        x_dtype: torch.dtype,
        y_dtype: torch.dtype,
        epsilon: float | None,
        x: ArrayFile,
        y: ArrayFile,
    ) -> None:
        self.contraction, self.epsilon = contraction, epsilon
        self.files, self.dtypes = (x, y), (x_dtype, y_dtype)
        self.dtype = result_dtype(x_dtype, y_dtype, epsilon is not None)
        self.shape: tuple[int, ...] = contraction.output_shape  # type: ignore[assignment]  # known here
        operands = [
            TensorMeta(dtype, "cpu", _strides(file.layout.shape))
            for dtype, file in zip(self.dtypes, self.files, strict=True)
        ]
        sizes = [
            max(dtype.itemsize, file.layout.dtype.itemsize)
            for dtype, file in zip(self.dtypes, self.files, strict=True)
        ]
        executable = select_kernel(lower(contraction, operands[0], operands[1], epsilon))
        converts = any(
            dtype != file.layout.dtype for dtype, file in zip(self.dtypes, self.files, strict=True)
        )
        # If the kernel can run single-threaded, each worker reads, computes and writes its own blocks and
        # none waits for another, so that as many reads are in flight as there are workers. Files are read
        # and not mapped, because a mapped file that is truncated ends the process (`io.regular_file`).
        # Casts run on torch's own thread pool.
        self.single_threaded = None if converts else executable.single_threaded
        self.blocks = plan_blocks(
            contraction,
            (sizes[0], sizes[1], self.dtype.itemsize),
            executable.plan.block_size,
            one_axis=any(file.layout.fortran for file in self.files),
            workers=count_workers() if self.single_threaded is not None else 1,
        )
        self.chunk_operation = self._chunk_operation()

    def run(self, new: AtomicFile, offset: int, progress: bool) -> None:
        """Read, contract and write all blocks; the result starts at byte ``offset`` of the file."""
        if 0 in self.shape:
            return
        blocks, files, dtypes = self.blocks, self.files, self.dtypes
        nbytes = prod(self.shape[blocks.leading_axes :]) * self.dtype.itemsize

        def work() -> None:
            # Each worker has its own buffers, which so stay in the cache of its core.
            readers = [file.reader(blocks.largest, blocks.leading_axes) for file in files]
            with intervals:
                for start, stop in intervals:
                    x, y = (
                        reader.read(start, stop).to(dtype)
                        for reader, dtype in zip(readers, dtypes, strict=True)
                    )
                    position = offset + start * nbytes
                    for first in range(0, stop - start, blocks.chunk_size):
                        chunk = slice(first, first + blocks.chunk_size)
                        result = self.contract(x[chunk], y[chunk])
                        new.write(bytes_of(result), position)
                        position += result.nbytes
                    intervals.finish(stop - start)

        start_thread = self.single_threaded if blocks.workers > 1 else None
        intervals = SharedIntervals(blocks)
        with _in_memory(blocks), Progress(blocks.count, progress) as bar:
            run_workers(work, blocks.workers, start_thread, intervals, bar)

    def contract(self, x: Tensor, y: Tensor) -> Tensor:
        """Contract a chunk of samples: x (chunk, ...) and y (chunk, ...)."""
        if self.blocks.leading_axes > 1:
            # As one sample of many rows: `batch_dot` may split samples down to single ones, never rows.
            x, y = x.unsqueeze(0), y.unsqueeze(0)
        result: Tensor = run(self.chunk_operation, x, y)
        return result

    def _chunk_operation(self) -> Operation:
        """Return the operation of a chunk, which has one axis for the leading ones that are flattened."""
        dropped = max(0, self.blocks.leading_axes - 2)
        pairs = [(x_axis - dropped, y_axis - dropped) for x_axis, y_axis in self.contraction.contracted]
        return batch_dot_operation(
            tuple(zip(*pairs, strict=True)) or ((), ()),
            batch_dims=len(self.contraction.shared) - dropped,
            normalize=self.epsilon is not None,
            epsilon=self.epsilon or EPSILON,
        )


@contextmanager
def _in_memory(blocks: Blocks) -> Iterator[None]:
    """Turn the several out-of-memory errors of torch into one MemoryError with a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        samples = "one sample" if blocks.largest == 1 else f"{blocks.largest} samples"
        raise MemoryError(
            f"there is not enough memory for {samples}, the least that is computed at a time"
        ) from None


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
