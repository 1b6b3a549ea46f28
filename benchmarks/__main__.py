"""Time batchdot beside plain PyTorch and Keras, in turns in one process, and print ratios.

Nothing is asserted: a table is to be read. The numbers also go to benchmarks/results as JSON.
"""

import json
import os
import platform
import warnings
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from batchdot import Dot, __version__, batch_dot
from batchdot.functional import plan
from batchdot.kernels import KERNELS
from batchdot.lowering import Plan
from benchmarks.layers import measure_layers
from benchmarks.timing import Timing, time_in_turns
from benchmarks.workloads import WORKLOADS, Workload

COLUMNS = ("plain", "einsum", "bmm", "vecdot", "cosine_similarity", "tf_keras", "keras")
KERAS = ("tf_keras", "keras")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """A workload with what was measured of it."""

    work: Workload
    plan: Plan
    timings: dict[str, Timing]

    @property
    def ours(self) -> Timing:
        """The timing of `batch_dot`."""
        return self.timings["batch_dot"]

    @property
    def best(self) -> str:
        """The fastest of the lines in plain PyTorch."""
        return min(self.work.peers, key=lambda name: self.timings[name].median)

    def __str__(self) -> str:
        first, third = self.ours.quartiles
        spread = f"{_us(first)} to {_us(third)}"
        cells = [f"{self.ours.ratio(self.timings[c]):.2f}" if c in self.timings else "" for c in COLUMNS]
        ratio = self.ours.ratio(self.timings[self.best])
        return (
            f"{self.work.name:<28}{_us(self.ours.median):>11}{spread:>24}{ratio:>7.2f} "
            + "".join(f"{cell:>{_width(column)}}" for cell, column in zip(cells, COLUMNS, strict=True))
            + f"  {self.plan.kernel}: {self.plan.label}{' cosine' if self.plan.epsilon else ''}"
        )


def main() -> None:
    """Run the benchmarks that the command line chooses."""
    parser = ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads whose name holds this")
    parser.add_argument("--rounds", type=int, default=31, help="blocks of each call (default 31)")
    parser.add_argument("--device", default="cpu", help="device of the tensors (default cpu)")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: as many as it takes)")
    parser.add_argument("--no-keras", action="store_true", help="leave Keras out though it is installed")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds has to be at least 2")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    works = [work for work in WORKLOADS if args.only in work.name]
    if not works:
        parser.error("no such workload; there are: " + "; ".join(work.name for work in WORKLOADS))
    keras = {} if args.no_keras else _import_keras()
    versions = {"batchdot": __version__, "torch": torch.__version__}
    versions |= {name: module.__version__ for name, module in keras.items()}
    machine = _describe_machine(args.device)
    print(f"{machine}\n" + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"\nTimes in microseconds, medians of {args.rounds} rounds in turns, with quartiles.")
    print("Every other number is our time over a peer's: below 1.00 we are faster.\n")
    print(
        f"{'':<28}{'batch_dot':>11}{'quartiles':>24}{'best':>7} "
        + "".join(f"{column:>{_width(column)}}" for column in COLUMNS)
        + "  kernel: kind of work"
    )
    rows = []
    for work in works:
        rows.append(_measure(work, keras, args.rounds, args.device))
        print(rows[-1], flush=True)
    _print_reasons(rows)
    cost = _measure_call_cost(args.rounds, args.device)
    if args.device == "cpu" and not args.only:
        cost["layers"] = measure_layers(keras, args.rounds)
    path = _write(machine, versions, rows, cost)
    print(f"\nWritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _measure(work: Workload, keras: dict[str, Any], rounds: int, device: str) -> Row:
    """Time a workload and its peers, once all are seen to compute the same."""
    x, y = _inputs(work, device)
    names: dict[str, Any] = {"torch": torch, "batch_dot": batch_dot, "x": x, "y": y}
    names |= {"axes": work.axes, "options": work.options}
    arguments = ", ".join(["x", "y", f"axes={work.axes}", *(f"{k}={v}" for k, v in work.options.items())])
    statements = {"batch_dot": f"batch_dot({arguments})", **work.peers}
    expected = eval(statements["batch_dot"], names)
    for name, statement in work.peers.items():
        torch.testing.assert_close(eval(statement, names), expected, rtol=1e-3, atol=1e-3, msg=name)
    if work.backward:
        statements = {
            name: f"torch.autograd.grad(({line}).sum(), (x, y))" for name, line in statements.items()
        }
    elif "batch_dims" not in work.options and device == "cpu":
        for name, module in keras.items():
            names[name] = module.layers.Dot(work.axes, **work.options)
            convert = module.ops.convert_to_tensor if hasattr(module, "ops") else module.backend.constant
            names[f"{name}_inputs"] = [convert(t.numpy()) for t in (x, y)]
            statements[name] = f"{name}({name}_inputs)"
    timings = time_in_turns(statements, names, rounds, _synchronizer(device))
    return Row(work, plan(x, y, work.axes, **work.options), timings)


def _measure_call_cost(rounds: int, device: str) -> dict[str, Any]:
    """Time what a call costs beyond its arithmetic, and print it beside what we aim at."""
    row, products = WORKLOADS[0], next(work for work in WORKLOADS if work.name == "Q Kᵀ")
    (x, y), (q, k) = _inputs(row, device), _inputs(products, device)
    names = {"torch": torch, "batch_dot": batch_dot, "dot": Dot(1), "x": x, "y": y, "q": q, "k": k}
    statements = {"batch_dot": "batch_dot(x, y, 1)", "Dot": "dot(x, y)", "Dot of a list": "dot([x, y])"}
    calls = time_in_turns(statements | row.peers, names, 3 * rounds, _synchronizer(device))
    statements = {"batch_dot": "batch_dot(q, k, 2)", "bmm": "torch.bmm(q, k.mT)"}
    matrices = time_in_turns(statements, names, 3 * rounds, _synchronizer(device))
    best = min(row.peers, key=lambda name: calls[name].median)
    ours = calls["batch_dot"]
    dot, dot_of_list = (calls[name].difference(ours) * 1e6 for name in ("Dot", "Dot of a list"))
    ratio, product = ours.ratio(calls[best]), matrices["batch_dot"].ratio(matrices["bmm"])
    lines = [
        (
            f"row dot {row.x}, batch_dot over the best line, {best} of {_us(calls[best].median)} µs",
            ratio,
            2.0,
        ),
        ("the same, Dot(x, y) less batch_dot, µs", dot, 1.5),
        ("the same, Dot([x, y]) less batch_dot, µs", dot_of_list, 1.5),
        (f"Q Kᵀ {products.x}, batch_dot over torch.bmm", product, 1.05),
    ]
    print("\nCall cost")
    for text, value, aim in lines:
        print(f"  {text:<72}{value:>6.2f}   aim: {aim:g}{'' if value <= aim else ', missed'}")
    return {text: {"measured": value, "aim": aim} for text, value, aim in lines}


def _inputs(work: Workload, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=generator).to(device) for shape in (work.x, work.y))
    return x.requires_grad_(work.backward), y.requires_grad_(work.backward)


def _synchronizer(device: str) -> Callable[[], None] | None:
    return None if device == "cpu" else torch.get_device_module(device).synchronize


def _import_keras() -> dict[str, Any]:
    """Import what there is of tf_keras, and of Keras 3 on its PyTorch backend."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "torch"
    modules = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in KERAS:
            if find_spec(name) is not None:
                modules[name] = __import__(name)
    return modules


def _print_reasons(rows: list[Row]) -> None:
    """Print why a kernel that comes before the one that ran did not."""
    for row in rows:
        for kernel in KERNELS:
            if kernel.name == row.plan.kernel:
                break
            print(f"  {row.work.name}: not {kernel.name}, {'; '.join(kernel.why_not(row.plan))}")


def _describe_machine(device: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    text = f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"
    text += f" (load {os.getloadavg()[0]:.1f})" if hasattr(os, "getloadavg") else ""
    text += f", {torch.get_num_threads()} threads, {platform.system()}, Python {platform.python_version()}"
    return text if device == "cpu" else f"{torch.get_device_module(device).get_device_name()}, {text}"


def _write(machine: str, versions: dict[str, str], rows: list[Row], cost: dict[str, Any]) -> Path:
    now = datetime.now()
    content = {
        "time": now.isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "call cost": cost,
        "workloads": {
            row.work.name: {
                "x": row.work.x,
                "y": row.work.y,
                "axes": row.work.axes,
                "options": row.work.options,
                "plan": str(row.plan),
                "best plain line": row.best,
                "peers": row.work.peers,
                "microseconds": {
                    name: {"median": t.median * 1e6, "quartiles": [q * 1e6 for q in t.quartiles]}
                    for name, t in row.timings.items()
                },
                "our time over theirs": {name: row.ours.ratio(t) for name, t in row.timings.items()},
            }
            for row in rows
        },
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M%S}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _us(seconds: float) -> str:
    us = seconds * 1e6
    return f"{us:,.0f}" if us >= 1000 else f"{us:.3g}"


def _width(column: str) -> int:
    return max(8, len(column) + 2)


if __name__ == "__main__":
    main()
