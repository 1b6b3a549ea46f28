"""Measurement of one workload against its peers, returned as a JSON-compatible record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from batchdot import batch_dot
from batchdot.kernels import AVAILABLE, KERNELS, select_kernel
from batchdot.ops.arguments import batch_dot_operation
from batchdot.planning.plan import Plan
from benchmarks.baselines import BASELINES
from benchmarks.keras_peers import KerasPeers, RemoteBlock, request
from benchmarks.outliers import time_until_settled
from benchmarks.roofline import PEAK, READ, roofline, roofline_statements
from benchmarks.timing import Timing, time_in_turns
from benchmarks.workloads import Workload

Record: TypeAlias = dict[str, Any]

OURS = "batch_dot"
ROOFLINE = "roofline"
COMPILED = "compiled"


@dataclass(frozen=True)
class Settings:
    """Options of a measurement.

    Attributes:
        rounds: blocks of each statement.
        budget: seconds after which no further round of a workload starts.
        device: device of the tensors.
        compile: whether torch.compile is a peer.
    """

    rounds: int = 31
    budget: float = 3.0
    device: str = "cpu"
    compile: bool = True

    @property
    def synchronize(self) -> Callable[[], None] | None:
        """The function that waits for the device; None for the CPU."""
        return None if self.device == "cpu" else torch.get_device_module(self.device).synchronize


def measure(work: Workload, keras_peers: KerasPeers, settings: Settings, peers: Iterable[str] = ()) -> Record:
    """Time a workload, its peers and its roofline in turns.

    A peer whose results differ from ours is not timed.

    Args:
        work: the workload.
        keras_peers: the Keras processes that run.
        settings: rounds, budget and device.
        peers: names of the PyTorch baselines to time; all of them if empty.

    Returns:
        The workload and its kernel; medians and quartiles in microseconds; our time over that of each
        peer; reasons why peers are absent.
    """
    x, y = work.inputs(settings.device)
    lowered = batch_dot_operation(work.axes, **work.options).lower(x, y)
    chosen = select_kernel(lowered).plan
    lines, names, absent = _local_peers(work, lowered, chosen.kernel, settings, peers)
    names |= {"torch": torch, "batch_dot": batch_dot, "x": x, "y": y, "axes": work.axes}
    expected = eval(work.call, names).detach()
    if work.backward:
        generator = torch.Generator().manual_seed(1)
        names["g"] = torch.randn(expected.shape, generator=generator).to(expected.device, expected.dtype)
        lines = {name: f"torch.autograd.grad({line}, (x, y), g)" for name, line in lines.items()}
    right = values(eval(lines[OURS], names))
    for name in list(lines):
        reason = why_not_timed(partial(eval, lines[name], names), right, work.dtype)
        if reason is not None:
            absent[name] = reason
            del lines[name]
    blocks, reasons = _keras_peers(work, keras_peers, settings, x, y, names.get("g"), right)
    rooflines, roofline_names = roofline_statements(work, settings.device)

    def take() -> dict[str, Timing]:
        timings = time_in_turns(
            lines | rooflines,
            names | roofline_names,
            settings.rounds,
            settings.synchronize,
            blocks,
            settings.budget,
        )
        timings[ROOFLINE] = roofline(work, timings)
        return {name: timing for name, timing in timings.items() if name not in (READ, PEAK)}

    return _describe(work, lowered, chosen) | settled(take, floor=ROOFLINE) | {"absent": absent | reasons}


def settled(take: Callable[[], dict[str, Timing]], ours: str = OURS, floor: str | None = None) -> Record:
    """Return the summary of timings, taken until they have settled, with ``unsettled``: see `outliers`."""
    timings, unsettled = time_until_settled(take, ours, floor)
    return summary(timings, ours) | {"unsettled": unsettled}


def summary(timings: dict[str, Timing], ours: str = OURS) -> Record:
    """Return medians and quartiles in microseconds, and our time over each of theirs."""
    return {
        "rounds": len(timings[ours].rounds),
        "microseconds": {name: timing.record for name, timing in timings.items()},
        "our time over theirs": {name: timings[ours].ratio(t) for name, t in timings.items() if name != ours},
    }


def settled_ratios(record: Record, aim: float | None = None) -> dict[str, float]:
    """Return our time over that of each peer, without those that have not settled.

    With an aim, those stay whose noise does not reach it: 5.9 is above 1, if it differs by half or not.
    """
    noise: dict[str, float] = record.get("unsettled", {})

    def has_settled(name: str, ratio: float) -> bool:
        factor = noise.get(name)
        return factor is None or (aim is not None and not ratio / factor <= aim <= ratio * factor)

    ratios: dict[str, float] = record["our time over theirs"]
    return {name: ratio for name, ratio in ratios.items() if has_settled(name, ratio)}


def best_baseline(record: Record) -> str:
    """Return the fastest PyTorch baseline."""
    ratios: dict[str, float] = record["our time over theirs"]
    lines: list[str] = [name for name in record["lines"] if name in ratios]
    return max(lines, key=lambda name: ratios[name])


def why_not_timed(compute: Callable[[], Any], expected: list[Tensor] | None, dtype: str) -> str | None:
    """Return why a peer is not timed, None if it is: it raises, or gives other results than expected ones."""
    try:
        found = values(compute())
    except Exception as error:  # no compiler is installed, or an operator lacks the dtype
        return first_line(error)
    return None if expected is None else difference(found, expected, dtype)


def first_line(error: Exception) -> str:
    """Return the type of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def difference(results: list[Tensor], expected: list[Tensor], dtype: str) -> str | None:
    """Return how the results of a peer differ from ours, or None if they agree."""
    if len(results) != len(expected):
        return f"{len(results)} results instead of {len(expected)}"
    tolerance = {"float64": 1e-7, "float32": 1e-3}.get(dtype, 0.05)
    for result, ours in zip(results, expected, strict=True):
        if result.shape != ours.shape:
            return f"gives other shapes: {tuple(result.shape)} instead of {tuple(ours.shape)}"
        scale = max(1e-30, float(ours.abs().max())) if ours.numel() else 1.0
        error = float((result.double() - ours.double()).abs().max()) / scale if ours.numel() else 0.0
        if not error <= tolerance:
            return f"gives other numbers: by up to {error:.2g} of the largest"
    return None


def _local_peers(
    work: Workload, lowered: Plan, chosen: str, settings: Settings, wanted: Iterable[str]
) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
    """Return our statements and the baselines by name, the names they refer to, and absent peers."""
    wanted = set(wanted)
    baselines = {name: line for name, line in BASELINES[work.kind].items() if not wanted or name in wanted}
    lines, names, absent = {OURS: work.call, **baselines}, {}, {}
    for kernel in AVAILABLE:
        if kernel.name != chosen and not kernel.not_supported_reasons(lowered):
            lines[kernel.name] = f"run_{kernel.name}(x, y)"
            names[f"run_{kernel.name}"] = kernel.build(lowered).run
    if settings.compile:
        line = next(iter(BASELINES[work.kind].values()))
        torch.compiler.reset()
        names["compiled"] = torch.compile(eval(f"lambda x, y: {line}", {"torch": torch}), dynamic=False)
        lines[COMPILED] = "compiled(x, y)"
    else:
        absent[COMPILED] = "left out as asked"
    return lines, names, absent


def _keras_peers(
    work: Workload,
    keras_peers: KerasPeers,
    settings: Settings,
    x: Tensor,
    y: Tensor,
    gradient: Tensor | None,
    right: list[Tensor],
) -> tuple[dict[str, RemoteBlock], dict[str, str]]:
    """Return the timing blocks of the Keras peers by name, and the reasons why others are absent."""
    prepared = request(work, x, y, gradient) if settings.device == "cpu" else "runs on the CPU only"
    if isinstance(prepared, str):
        return {}, dict.fromkeys(
            [*(p.framework for p in keras_peers.processes), *keras_peers.absent], prepared
        )
    values, blocks, reasons = keras_peers.make(prepared)
    for name, arrays in values.items():
        reason = difference([torch.from_numpy(array) for array in arrays], right, work.dtype)
        if reason is not None:
            reasons[name] = reason
            del blocks[name]
    return blocks, reasons


def _describe(work: Workload, lowered: Plan, chosen: Plan) -> Record:
    return {
        "x": work.x,
        "y": work.y,
        "axes": work.axes,
        "options": work.options,
        "dtype": work.dtype,
        "backward": work.backward,
        "kernel": chosen.kernel,
        "kernels that did not run": reasons_against(lowered, chosen.kernel),
        "plan": str(chosen),
        "lines": BASELINES[work.kind],
    }


def reasons_against(lowered: Plan, chosen: str) -> dict[str, list[str]]:
    """Return the reasons why each kernel before the chosen one did not run."""
    before = KERNELS[: [kernel.name for kernel in KERNELS].index(chosen)]
    return {k.name: k.unavailable_reasons() or k.not_supported_reasons(lowered) for k in before}


def values(value: Any) -> list[Tensor]:
    """Return one or several results as detached tensors on the CPU."""
    return [t.detach().cpu() for t in (value if isinstance(value, tuple) else (value,))]
