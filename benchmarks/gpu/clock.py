"""Times on a GPU: of calls one after another, and of the same calls replayed as a CUDA graph.

A call takes its inputs from several sets in turn, which together outgrow the L2 cache: a large workload
then reads memory at every call, as a program would. Lines are timed in turns, so that a clock that falls or
a neighbour who wakes up meets all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

Inputs: TypeAlias = list[tuple[Tensor, ...]]
"""Sets of inputs of one call."""

L2_FACTOR = 4
"""The sets of inputs together are at least this many times as large as the L2 cache."""


class Machine(Protocol):
    """What runs the calls: a GPU, or in a rehearsal this computer."""

    type: str
    rehearsal: bool
    l2_bytes: int
    block_seconds: float  # the least time of a block of calls
    rounds: int  # blocks of each line

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
    block_seconds = 3e-3
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
    block_seconds = 0.0
    rounds = 2

    def synchronize(self) -> None:
        """Return at once."""

    def graph(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return the call itself."""
        return call


@dataclass(frozen=True)
class Times:
    """Seconds of one call, a number for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def record(self) -> dict[str, Any]:
        """The median and the quartiles in microseconds."""
        first, _, third = quantiles(self.rounds, n=4) if len(self.rounds) > 1 else self.rounds * 3
        return {"median": self.median * 1e6, "quartiles": [first * 1e6, third * 1e6]}


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
) -> dict[str, Times]:
    """Time passes of several lines in turns.

    Args:
        machine: what they run on.
        passes: by name, what runs one pass.
        calls: the calls in a pass.
        until: the time, as of `perf_counter`, after which no further round begins; there is at least one.

    Returns:
        Seconds of a call.
    """
    blocks = {name: _passes_in_a_block(machine, call) for name, call in passes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    order, shuffle = list(passes), Random(0).shuffle
    for done in range(machine.rounds):
        if done and perf_counter() > until:
            break
        shuffle(order)
        for name in order:
            seconds[name].append(_block(machine, passes[name], blocks[name]) / (blocks[name] * calls))
    return {name: Times(tuple(found)) for name, found in seconds.items()}


def _passes_in_a_block(machine: Machine, call: Callable[[], Any]) -> int:
    _block(machine, call, 1)
    count = 1
    while (seconds := _block(machine, call, count)) < machine.block_seconds:
        count = max(count + 1, int(count * min(10.0, 1.2 * machine.block_seconds / seconds)))
    return count


def _block(machine: Machine, call: Callable[[], Any], count: int) -> float:
    machine.synchronize()
    started = perf_counter()
    for _ in range(count):
        call()
    machine.synchronize()
    return perf_counter() - started
