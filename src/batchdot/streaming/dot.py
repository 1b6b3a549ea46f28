"""Streaming: `batch_dot` from files to a file, in constant memory whatever their size."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from batchdot.convert import ARITHMETIC, check_dtypes, dtype_name
from batchdot.errors import FileFormatError
from batchdot.io.array_file import ArrayFile, Name, Place
from batchdot.io.atomic import NewFile
from batchdot.io.regular_file import MAX_BYTES, NUMPY
from batchdot.kernels import select_kernel
from batchdot.ops.functional import EPSILON, batch_dot, batch_dot_operation
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import lower, result_dtype
from batchdot.planning.plan import TensorMeta
from batchdot.streaming.progress import Progress

BLOCK_BYTES = 16 << 20
"""Bytes of x, y and the result together that the blocks at work may take, unless one sample takes more."""

MOST_WORKERS = 4
"""Threads at most that take blocks of their own: more would wait for each other's Python."""

DTYPES = {dtype_name(dtype): dtype for dtype in NUMPY if dtype in ARITHMETIC}
"""The dtypes that inputs can be converted to, by name."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `dot_files` wrote: where, and an array of which shape and dtype."""

    path: str
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Cut:
    """How a contraction is cut into blocks of samples.

    Attributes:
        lead: how many shared axes, seen as one, count the samples.
        count: samples in all.
        step: samples to a block. The last block has the rest too: it has less than twice as many.
        piece: samples to a call; as many as `batch_dot` itself takes at a time, so that the result of
            a row product has the same bits. Nothing shows whether it was streamed.
        workers: blocks that are worked on at the same time.
    """

    lead: int
    count: int
    step: int
    piece: int
    workers: int = 1

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.count // self.step if self.count >= self.step else min(self.count, 1)

    @property
    def largest(self) -> int:
        """Samples in the largest block, the last."""
        return self.count - max(self.blocks - 1, 0) * self.step

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the first sample of each block, and the one behind its last."""
        for block in range(self.blocks):
            start = block * self.step
            yield start, self.count if block == self.blocks - 1 else start + self.step


def dot_files(
    x: Name,
    y: Name,
    out: Name,
    axes: Any = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
    dtype: torch.dtype | str | None = None,
    progress: bool = False,
) -> Written:
    """Write the `batch_dot` of two files to a third, block by block over the samples.

    Files are .npy or .safetensors, mixed as you like; ``file.safetensors:name`` is one tensor of
    several. The result appears whole or not at all: it is written beside its place and renamed, and
    until then a file that is there stays as it is.

    Args:
        x: file of an array of shape (B, ...), rank 2 or more.
        y: file of an array of shape (B, ...), rank 2 or more.
        out: file to write. Its folder exists; it is neither x nor y.
        axes: as in `batch_dot`.
        batch_dims: as in `batch_dot`.
        normalize: as in `batch_dot`.
        epsilon: as in `batch_dot`.
        dtype: dtype that both inputs are converted to first; None to keep theirs.
        progress: whether to show a progress bar on stderr when it takes longer than a second.

    Returns:
        Where the result is, its shape and its dtype.

    Raises:
        AxisError, ValueError, TypeError: as `batch_dot`, before anything is written.
        FileFormatError: an input is malformed, truncated, too long, changed while it was read or not a
            regular file; or the output is an input, or of a format that cannot hold the result.
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
    place = Place.read(out)
    operation = batch_dot_operation(axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon)
    to = named_dtype(dtype)
    with ArrayFile(x) as x_file, ArrayFile(y) as y_file:
        contraction = operation.contract(x_file.layout.shape, y_file.layout.shape)
        x_dtype, y_dtype = (converted(file.layout.dtype, to, n) for n, file in (("x", x_file), ("y", y_file)))
        check_dtypes(x_dtype, y_dtype, "batch_dot")
        job = _Job(contraction, x_dtype, y_dtype, operation.epsilon, x_file, y_file)
        header = place.header(job.shape, job.dtype)
        if (nbytes := prod(job.shape) * job.dtype.itemsize) > MAX_BYTES - len(header):
            raise FileFormatError(f"no file holds a result of shape {job.shape}")
        new = NewFile(place.path, len(header) + nbytes, (x_file.file, y_file.file))
        try:
            with new:
                new.write(header)
                job.run(new, len(header), progress)
                x_file.file.check_unchanged()
                y_file.file.check_unchanged()
        finally:  # again, for the signal that arrives when the first removal has not begun
            new.remove()
    return Written(place.path, job.shape, job.dtype)


def cut(
    contraction: Contraction,
    itemsizes: tuple[int, int, int],
    rows: int | None = None,
    one_axis: bool = False,
    workers: int = 1,
) -> Cut:
    """Decide how many samples make a block.

    Args:
        contraction: what to compute, of known sizes.
        itemsizes: bytes of one number of x, of y and of the result.
        rows: samples that `batch_dot` itself takes at a time, None for all of them.
        one_axis: whether samples can only be counted along the first axis.
        workers: blocks to work on at the same time, unless a single sample takes more than a share.

    Returns:
        Blocks of which one for each worker take about `BLOCK_BYTES`. Where one index into the first axis
        takes more than its share, further shared axes are seen as one with it, and then a block has two
        samples or more: torch sums a lone row by other steps than a row among others.

    >>> from batchdot.planning.contraction import Contraction
    >>> rows = Contraction.batch_dot((100_000, 128), (100_000, 128), 1)
    >>> len(list(cut(rows, (4, 4, 4)))), cut(rows, (4, 4, 4)).step
    (6, 16320)
    """
    shapes = (contraction.x_shape, contraction.y_shape, contraction.output_shape)

    def sample(lead: int) -> int:
        sizes = (prod(shape[lead:]) * size for shape, size in zip(shapes, itemsizes, strict=True))  # type: ignore[arg-type]
        return max(1, sum(sizes))

    lead, room = 1, BLOCK_BYTES // workers
    while not one_axis and lead < len(contraction.shared) and sample(lead) > room:
        lead += 1
    if sample(lead) > room:
        workers, room = 1, BLOCK_BYTES
    count: int = prod(contraction.x_shape[:lead])  # type: ignore[arg-type]
    step = max(1 if lead == 1 else 2, room // sample(lead))
    if lead == 1 and rows is not None:
        step = max(step - step % rows, rows)
        return Cut(lead, count, step, rows, workers)
    return Cut(lead, count, step, max(1, count), workers)


class _Job:
    """One contraction of two open files."""

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
        # Where threads can compute alone, each takes blocks from being read to being written, and none waits
        # for another. In a prototype on 2 idle cores that went at 1.4 times the rate at which one thread
        # reads; in blocks of 256 KiB at half of it, for whose turn Python is has to wake. While others
        # used two thirds of the cores it went at 0.6 of that rate, and blocks in turn, each computed by all
        # of torch's threads, at 0.3.
        # Conversions run on PyTorch's own thread pool.
        self.single_threaded = None if converts else executable.single_threaded
        self.cut = cut(
            contraction,
            (sizes[0], sizes[1], self.dtype.itemsize),
            executable.plan.block_size,
            one_axis=any(file.layout.fortran for file in self.files),
            workers=min(torch.get_num_threads(), MOST_WORKERS) if self.single_threaded is not None else 1,
        )

    def run(self, new: NewFile, offset: int, progress: bool) -> None:
        """Read, contract and write block after block, or several at a time; the first starts at `offset`."""
        if 0 in self.shape:
            return
        cut, files, dtypes = self.cut, self.files, self.dtypes
        nbytes = prod(self.shape[cut.lead :]) * self.dtype.itemsize

        def work(start: int, stop: int) -> int:
            buffers = spare.pop()  # there are as many as threads, until a block fails
            x, y = (
                file.read(start, stop, buffer, cut.lead).to(dtype)
                for file, buffer, dtype in zip(files, buffers, dtypes, strict=True)
            )
            position = offset + start * nbytes
            for piece in zip(*(torch.split(t, cut.piece) for t in (x, y)), strict=True):
                result = self.contract(*piece)
                new.write_tensor(result, position)
                position += result.nbytes
            spare.append(buffers)
            return stop - start

        start_thread = self.single_threaded if cut.workers > 1 else None
        with (
            _in_memory(cut),
            Progress(cut.count, progress) as bar,
            _threads(cut.workers, start_thread) as pool,
        ):
            spare = [[file.buffer(cut.largest, cut.lead) for file in files] for _ in range(cut.workers)]
            waiting: deque[Future[int]] = deque()
            for start, stop in cut:
                if len(waiting) == 2 * cut.workers:
                    bar.advance(waiting.popleft().result())
                waiting.append(pool.submit(work, start, stop))
            while waiting:
                bar.advance(waiting.popleft().result())

    def contract(self, x: Tensor, y: Tensor) -> Tensor:
        """Contract some samples."""
        gone = self.cut.lead - 1
        if gone:  # as one sample of many rows: a call may split samples, down to lone ones, never rows
            x, y, gone = x.unsqueeze(0), y.unsqueeze(0), gone - 1
        pairs = [(x_axis - gone, y_axis - gone) for x_axis, y_axis in self.contraction.contracted]
        axes = tuple(zip(*pairs, strict=True)) or ((), ())
        normalize, epsilon = self.epsilon is not None, self.epsilon or EPSILON
        shared = len(self.contraction.shared) - gone
        result: Tensor = batch_dot(x, y, axes, batch_dims=shared, normalize=normalize, epsilon=epsilon)
        return result


@contextmanager
def _threads(count: int, start: Callable[[], None] | None) -> Iterator[ThreadPoolExecutor]:
    """Give threads that begin with `start`, and that end with the block they are at, whatever happens."""
    pool = ThreadPoolExecutor(count, initializer=start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _in_memory(cut: Cut) -> Iterator[None]:
    """Say in a sentence that a block does not fit in memory, which torch says in several ways."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        samples = "one sample" if cut.largest == 1 else f"{cut.largest} samples"
        raise MemoryError(
            f"there is not enough memory for {samples}, the least that is computed at a time"
        ) from None


def named_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return the dtype that inputs are to be converted to, by its name; None for none.

    Raises:
        ValueError: it is not one of `DTYPES`.
    """
    if dtype is None or dtype in DTYPES.values():
        return dtype  # type: ignore[return-value]
    if dtype not in DTYPES:
        raise ValueError(f"dtype should be one of {', '.join(DTYPES)}. Received: {dtype!r}")
    return DTYPES[dtype]


def converted(dtype: torch.dtype, to: torch.dtype | None, name: str) -> torch.dtype:
    """Return the dtype that an input has after its conversion.

    Raises:
        TypeError: the conversion would lose an imaginary part or a fraction.
    """
    if to is None:
        return dtype
    if not torch.can_cast(dtype, to):
        raise TypeError(
            f"{name} is {dtype_name(dtype)}, and as {dtype_name(to)} it would lose what it holds."
        )
    return to


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
