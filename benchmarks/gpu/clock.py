"""Times on a GPU: of calls one after another, and of the same calls replayed as a CUDA graph.

A call takes its inputs from several sets in turn, which together outgrow the L2 cache: a large workload
then reads memory at every call, as a program would. Lines are timed in turns, so that a clock that falls or
a neighbour who wakes up meets all of them.
"""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from benchmarks import timing
from benchmarks.timing import Timing

Inputs: TypeAlias = list[tuple[Tensor, ...]]
"""Sets of inputs of one call."""

L2_FACTOR = 4
"""The sets of inputs together are at least this many times as large as the L2 cache."""


class Machine(Protocol):
    """What runs the calls: a GPU, or in a rehearsal this computer."""

    type: str
    rehearsal: bool
    l2_bytes: int
    block_seconds: float | None  # the least time of a block of calls; None for that of `benchmarks.timing`
    rounds: int  # blocks of each line, at most

    def synchronize(self) -> None:
        """Wait until everything has run."""
        ...

    def graph(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Capture what a call launches, and return a function that replays it."""
        ...


class Cuda:
    """The current CUDA device."""

    type = "cuda"
    rehearsal = False
    block_seconds: float | None = None
    rounds = 9

    def __init__(self) -> None:
        self.properties = torch.cuda.get_device_properties()
        self.l2_bytes: int = getattr(self.properties, "L2_cache_size", 50 << 20)

    def synchronize(self) -> None:
        """Wait until everything has run."""
        torch.cuda.synchronize()

    def graph(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Capture what a call launches, after a few calls on a side stream, as PyTorch's manual says."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay


class Rehearsal:
    """This computer in the place of a GPU: every line runs, and no time means anything."""

    type = "cpu"
    rehearsal = True
    l2_bytes = 1 << 10
    block_seconds: float | None = 0.0
    rounds = 2

    def synchronize(self) -> None:
        """Return at once."""

    def graph(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return the call itself."""
        return call


def sets_for(machine: Machine, make: Callable[[int], tuple[Tensor, ...]], nbytes: int) -> Inputs:
    """Return as many sets of inputs of ``nbytes`` each as outgrow the L2 cache, from 2 to 64."""
    count = min(64, max(2, -(-L2_FACTOR * machine.l2_bytes // max(1, nbytes))))
    return [make(index) for index in range(2 if machine.rehearsal else count)]


def one_pass(run: Callable[..., Any], inputs: Inputs) -> Callable[[], None]:
    """Return a function that calls ``run`` on each set of inputs once."""

    def call() -> None:
        for tensors in inputs:
            run(*tensors)

    return call


def time_in_turns(
    machine: Machine, passes: Mapping[str, Callable[[], Any]], calls: int, until: float
) -> dict[str, Timing]:
    """Time passes of several lines in turns, as `benchmarks.timing` does.

    Args:
        machine: what they run on.
        passes: by name, what runs one pass.
        calls: the calls in a pass.
        until: the time, as of `perf_counter`, after which rounds are as few as they may be.

    Returns:
        Seconds of a call.
    """
    timings = timing.time_in_turns(
        {name: f"passes[{name!r}]()" for name in passes},
        {"passes": passes},
        machine.rounds,
        machine.synchronize,
        budget=until - perf_counter(),
        block_seconds=machine.block_seconds,
    )
    return {name: found.scaled(1 / calls) for name, found in timings.items()}
