"""The workloads of a GPU run, and their times beside PyTorch's, called and in a CUDA graph."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from time import perf_counter
from typing import Any, TypeAlias

import torch
from torch import Tensor

from batchdot import batch_dot, top_k
from batchdot.kernels import KERNELS, select_kernel
from batchdot.ops.arguments import batch_dot_operation
from benchmarks.baselines import BASELINES
from benchmarks.gpu.clock import Inputs, Machine, one_pass, sets_for, time_in_turns
from benchmarks.measure import first_line, reasons_against, values, why_not_timed
from benchmarks.workloads import Workload

Line: TypeAlias = Callable[..., Any]

OURS, AGAIN, ATEN, COMPILED = "batch_dot", "batch_dot again", "aten", "compiled"


@dataclass(frozen=True)
class Work:
    """A workload, the baselines that it is compared with, and its size in a rehearsal.

    Attributes:
        workload: the call, whose kind names the baselines of `benchmarks.baselines`.
        peers: the names of those to time; the first one is compiled as well.
        more: further statements of x and y by name, which may compute less than we do.
        seconds: what it may take; more for large inputs.
    """

    workload: Workload
    peers: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)
    seconds: float = 5.0

    @property
    def name(self) -> str:
        """The name of the workload."""
        return self.workload.name

    def rehearsed(self) -> "Work":
        """Return the same call on small tensors."""
        x, y = (tuple(min(size, 9) for size in shape) for shape in (self.workload.x, self.workload.y))
        return replace(self, workload=replace(self.workload, x=x, y=y))


_COSINE = {"normalize": True}
_ROW_COSINE, _ROW_DOT = ("cosine_similarity", "elementwise"), ("elementwise", "bmm")


def _cosines(name: str, *shape: int, dtype: str = "float32", backward: bool = False, **more: Any) -> Work:
    return Work(
        Workload(f"row cosine, {name}", shape, shape, 1, _COSINE, dtype, backward), _ROW_COSINE, **more
    )


def _dots(name: str, *shape: int, dtype: str = "float32", backward: bool = False, **more: Any) -> Work:
    return Work(Workload(f"row dot, {name}", shape, shape, 1, {}, dtype, backward), _ROW_DOT, **more)


_MATRIX, _MANY = (32, 128, 64), (1024, 100, 64)

WORKS = (
    _cosines("large", 65536, 128),
    _cosines("large bfloat16", 65536, 128, dtype="bfloat16"),
    _cosines("small", 32, 128),
    _dots("large", 65536, 128),
    _dots("small", 32, 128),
    _cosines("large with gradients", 65536, 128, backward=True),
    _cosines("million", 1 << 20, 128, seconds=8),
    _dots("large with gradients", 65536, 128, backward=True),
    _cosines("small with gradients", 32, 128, backward=True),
    _cosines("large float16", 65536, 128, dtype="float16"),
    _cosines("large float64", 65536, 128, dtype="float64"),
    _dots("large bfloat16", 65536, 128, dtype="bfloat16"),
    _dots("short rows", 65536, 8),
    _dots("factorization", 10000, 50),
    _cosines("two towers", 256, 64),
    _cosines("long rows", 16384, 1024),
    _cosines("longer rows", 4096, 16384),
    _cosines("sixteen rows", 16, 10_000_000, seconds=10),
    Work(Workload("matrix times vector, large", _MANY, (1024, 64), (2, 1)), ("matmul", "elementwise")),
    Work(Workload("matrix times vector, cosine", _MANY, (1024, 64), (2, 1), _COSINE)),
    Work(Workload("cosine matrix", _MATRIX, _MATRIX, 2, _COSINE), ("bmm",), {"bmm alone": "x @ y.mT"}),
    Work(
        Workload("cosine matrix, bfloat16", _MATRIX, _MATRIX, 2, _COSINE, "bfloat16"),
        ("bmm",),
        {"bmm alone": "x @ y.mT"},
    ),
    Work(Workload("cosine matrix, with gradients", _MATRIX, _MATRIX, 2, _COSINE, backward=True), ("bmm",)),
    Work(Workload("Q Kᵀ", _MATRIX, _MATRIX, 2), ("bmm",)),
    Work(
        Workload("Q Kᵀ, int64", _MATRIX, _MATRIX, 2, dtype="int64"),
        more={"bmm of float64": "(x.double() @ y.double().mT).long()"},
    ),
)
"""The most telling ones first: a run that ends early has those."""


def measure_work(work: Work, machine: Machine, bytes_a_second: float, until: float) -> dict[str, Any]:
    """Time a workload and its peers, called and in a graph.

    A peer whose numbers are others is not timed. Ours are timed twice, as two lines: the ratio is the noise.

    Returns:
        The workload, its kernel and the reasons against others; the bytes that have to move, and the
        microseconds of those at ``bytes_a_second``; times by line, ``called`` and ``in a graph``; reasons
        why lines are ``absent``.
    """
    work = work.rehearsed() if machine.rehearsal else work
    load = work.workload
    moved = load.bytes_read * (2 if load.backward else 1) + _result_bytes(load)
    inputs = sets_for(machine, lambda index: _inputs(load, machine, index), load.bytes_read)
    lowered = batch_dot_operation(load.axes, **load.options).lower(*inputs[0][:2])
    kernel = select_kernel(lowered).plan.kernel
    lines = _lines(work, machine, kernel, lowered)
    if load.backward:
        lines = {name: _with_gradients(line) for name, line in lines.items()}
    absent = _drop_wrong(lines, inputs, load.dtype, tuple(work.more))
    until = min(until, perf_counter() + work.seconds)
    passes = {name: one_pass(line, inputs) for name, line in lines.items()}
    half = (perf_counter() + until) / 2
    called = time_in_turns(machine, passes, len(inputs), half)
    graphs: dict[str, Callable[[], Any]] = {}
    for name, call in passes.items():
        try:
            graphs[name] = machine.graph(call)
        except Exception as error:  # what cannot be captured
            absent[f"{name}, in a graph"] = first_line(error)
    replayed = time_in_turns(machine, graphs, len(inputs), until)
    return {
        "name": load.name,
        "x": load.x,
        "y": load.y,
        "dtype": load.dtype,
        "backward": load.backward,
        "kernel": kernel,
        "kernels that did not run": reasons_against(lowered, kernel),
        "sets of inputs": len(inputs),
        "bytes": moved,
        "floor": moved / bytes_a_second * 1e6,
        "called": {name: times.record for name, times in called.items()},
        "in a graph": {name: times.record for name, times in replayed.items()},
        "absent": absent,
    }


def _result_bytes(load: Workload) -> int:
    return prod(load.output_shape) * int(getattr(torch, load.dtype).itemsize)


def _inputs(load: Workload, machine: Machine, index: int) -> tuple[Tensor, ...]:
    """Return x and y, and a gradient of the result where gradients are computed."""
    generator = torch.Generator(machine.type).manual_seed(index)
    dtype = getattr(torch, load.dtype)
    options: dict[str, Any] = {"generator": generator, "device": machine.type}
    if not dtype.is_floating_point:
        x, y = (torch.randint(-99, 99, shape, dtype=dtype, **options) for shape in (load.x, load.y))
        return x, y
    shapes = (load.x, load.y, *([load.output_shape] if load.backward else []))
    tensors = [torch.randn(shape, dtype=dtype, **options) for shape in shapes]
    return tuple(t.requires_grad_(load.backward and i < 2) for i, t in enumerate(tensors))


def _lines(work: Work, machine: Machine, kernel: str, lowered: Any) -> dict[str, Line]:
    load = work.workload
    baselines = BASELINES.get(load.kind, {})
    statements = {name: baselines[name] for name in work.peers} | work.more
    names = {"torch": torch, "batch_dot": batch_dot}
    ours = eval(f"lambda x, y: {load.call}", names)
    lines: dict[str, Line] = {OURS: ours, AGAIN: ours}
    if kernel != ATEN:
        lines[ATEN] = KERNELS[-1].build(lowered).run
    lines |= {name: eval(f"lambda x, y: {line}", names) for name, line in statements.items()}
    if work.peers:
        torch.compiler.reset()
        backend = "eager" if machine.rehearsal else "inductor"
        lines[COMPILED] = torch.compile(lines[work.peers[0]], dynamic=False, backend=backend)
    return lines


def _with_gradients(line: Line) -> Line:
    return lambda x, y, g: torch.autograd.grad(line(x, y), (x, y), g)


def _drop_wrong(
    lines: dict[str, Line], inputs: Inputs, dtype: str, others: tuple[str, ...]
) -> dict[str, str]:
    """Drop lines that raise or give other numbers than ours, and return why; ``others`` may."""
    absent: dict[str, str] = {}
    right = values(lines[OURS](*inputs[0]))
    for name in list(lines):
        call = partial(lines[name], *inputs[0])
        reason = why_not_timed(call, None if name in others else right, dtype)
        if reason is not None:
            absent[name] = reason
            del lines[name]
    return absent


# --- top_k ----------------------------------------------------------------------------------------------

SEARCHES = {
    # name: queries, items, d, k
    "top_k, many items": (1024, 1_000_000, 128, 10),
    "top_k, few queries": (16, 1_000_000, 64, 10),
}

_BLOCK = 1 << 16


def blocked_topk(queries: Tensor, items: Tensor, k: int) -> Tensor:
    """Return the k largest products, as one writes it with PyTorch: a block of items at a time, merged."""
    best = queries.new_empty(len(queries), 0)
    for start in range(0, len(items), _BLOCK):
        block = queries @ items[start : start + _BLOCK].T
        best = torch.cat([best, block.topk(min(k, block.shape[1])).values], 1).topk(k).values
    return best


def measure_search(name: str, machine: Machine, until: float) -> dict[str, Any]:
    """Time `top_k` beside `blocked_topk`; ours has exact scores and breaks ties."""
    count, number, d, k = (min(size, 50) for size in SEARCHES[name]) if machine.rehearsal else SEARCHES[name]
    generator = torch.Generator(machine.type).manual_seed(0)
    queries, items = (torch.randn(n, d, generator=generator, device=machine.type) for n in (count, number))
    lines: dict[str, Line] = {
        OURS: lambda: top_k(queries, items, k).scores,
        AGAIN: lambda: top_k(queries, items, k).scores,
        "matrix products and topk": lambda: blocked_topk(queries, items, k),
    }
    absent = _drop_wrong(lines, [()], "float32", ())
    called = time_in_turns(machine, lines, 1, until)
    return {
        "name": name,
        "x": (count, d),
        "y": (number, d),
        "dtype": "float32",
        "k": k,
        "called": {line: times.record for line, times in called.items()},
        "absent": absent,
    }
