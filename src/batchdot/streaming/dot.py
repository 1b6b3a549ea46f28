"""`batch_dot` of arrays in files, streamed block by block in bounded memory (`batchdot dot`)."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from batchdot.convert import AxesLike, check_dtypes
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, PathLike, TensorPath
from batchdot.io.atomic import AtomicFile
from batchdot.io.regular_file import MAX_BYTES, printable
from batchdot.kernels import select_kernel
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.functional import batch_dot
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import lower, result_dtype
from batchdot.planning.plan import TensorMeta
from batchdot.streaming.blocks import Blocks, plan_blocks
from batchdot.streaming.dtypes import cast_dtype, parse_target_dtype
from batchdot.streaming.progress import Progress
from batchdot.types import EPSILON

MOST_WORKERS = 4
"""Upper bound on worker threads: more would only wait for the global interpreter lock."""


@dataclass(frozen=True, slots=True)
class WrittenArray:
    """Path, shape and dtype of an array that was written to a file."""

    path: str
    shape: tuple[int, ...]
    dtype: torch.dtype


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
        # none waits for another. Measured in a prototype, relative to the rate at which one thread reads:
        # 1.4 on 2 idle cores (0.7 with blocks of 256 KiB, because of the interpreter lock); 0.6 with two
        # thirds of the cores busy, where blocks in sequence on torch's thread pool reached 0.3.
        # Casts run on torch's own thread pool.
        self.single_threaded = None if converts else executable.single_threaded
        self.blocks = plan_blocks(
            contraction,
            (sizes[0], sizes[1], self.dtype.itemsize),
            executable.plan.block_size,
            one_axis=any(file.layout.fortran for file in self.files),
            workers=min(torch.get_num_threads(), MOST_WORKERS) if self.single_threaded is not None else 1,
        )

    def run(self, new: AtomicFile, offset: int, progress: bool) -> None:
        """Read, contract and write all blocks; the result starts at byte ``offset`` of the file."""
        if 0 in self.shape:
            return
        blocks, files, dtypes = self.blocks, self.files, self.dtypes
        nbytes = prod(self.shape[blocks.leading_axes :]) * self.dtype.itemsize

        def work(start: int, stop: int) -> int:
            buffers = free_buffers.pop()  # one pair for each worker, until a block fails
            x, y = (
                file.read(start, stop, buffer, blocks.leading_axes).to(dtype)
                for file, buffer, dtype in zip(files, buffers, dtypes, strict=True)
            )
            position = offset + start * nbytes
            for chunk in zip(*(torch.split(t, blocks.chunk_size) for t in (x, y)), strict=True):
                result = self.contract(*chunk)
                new.write_tensor(result, position)
                position += result.nbytes
            free_buffers.append(buffers)
            return stop - start

        start_thread = self.single_threaded if blocks.workers > 1 else None
        with (
            _in_memory(blocks),
            Progress(blocks.count, progress) as bar,
            _threads(blocks.workers, start_thread) as pool,
        ):
            free_buffers = [
                [file.buffer(blocks.largest, blocks.leading_axes) for file in files]
                for _ in range(blocks.workers)
            ]
            waiting: deque[Future[int]] = deque()
            for start, stop in blocks:
                if len(waiting) == 2 * blocks.workers:
                    bar.advance(waiting.popleft().result())
                waiting.append(pool.submit(work, start, stop))
            while waiting:
                bar.advance(waiting.popleft().result())

    def contract(self, x: Tensor, y: Tensor) -> Tensor:
        """Contract a chunk of samples: x (chunk, ...) and y (chunk, ...)."""
        dropped = self.blocks.leading_axes - 1
        if (
            dropped
        ):  # as one sample of many rows: `batch_dot` may split samples down to single ones, never rows
            x, y, dropped = x.unsqueeze(0), y.unsqueeze(0), dropped - 1
        pairs = [(x_axis - dropped, y_axis - dropped) for x_axis, y_axis in self.contraction.contracted]
        axes = tuple(zip(*pairs, strict=True)) or ((), ())
        normalize, epsilon = self.epsilon is not None, self.epsilon or EPSILON
        shared = len(self.contraction.shared) - dropped
        result: Tensor = batch_dot(x, y, axes, batch_dims=shared, normalize=normalize, epsilon=epsilon)
        return result


@contextmanager
def _threads(count: int, start: Callable[[], None] | None) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread pool whose threads call ``start`` first; on exit, pending blocks are cancelled."""
    pool = ThreadPoolExecutor(count, initializer=start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


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
