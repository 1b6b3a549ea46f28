"""Measure batchdot on a GPU in one run: ``python -m benchmarks.gpu --out gpu.json``.

Needs PyTorch, numpy and the sources on PYTHONPATH; no network, no compiled library, nothing else installed.
In order: values against exact arithmetic, ceilings of the machine, workloads beside PyTorch, and the table.
The file is written anew after each line, and the run ends by itself within its budget, so that one that is
cut short has what it measured. ``--rehearse`` runs every line on the CPU, in seconds.

The exit status is 1 where a value is wrong or a step failed, 2 where there is no CUDA device.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks import published
from benchmarks.gpu import report
from benchmarks.gpu.ceilings import measure_ceilings
from benchmarks.gpu.clock import Cuda, Machine, Rehearsal
from benchmarks.gpu.values import EDGES, cases, measure_case, measure_edge
from benchmarks.gpu.works import SEARCHES, WORKS, measure_search, measure_work
from benchmarks.machine import describe_machine, versions

SPARE = 15.0
"""Seconds before the end of the budget after which nothing begins: the longest step takes less."""


class Run:
    """A run in progress: what it found so far, and when it has to end."""

    def __init__(self, machine: Machine, out: Path, budget: float, started: float) -> None:
        self.machine, self.out, self.started = machine, out, started
        self.until = started + budget - (0 if machine.rehearsal else SPARE)
        self.results: dict[str, Any] = {
            "versions": versions() | {"cuda": torch.version.cuda or "none"},
            "machine": describe_machine(machine.type),
            "device": "rehearsal on the CPU" if machine.rehearsal else torch.cuda.get_device_name(),
            "budget": budget,
            "rehearsal": machine.rehearsal,
            "failed": {},
            "not begun": [],
        }
        self.results["versions"] |= {"triton": _version("triton")}

    def step(self, name: str, measure: Callable[[], Any]) -> Any:
        """Run one step if there is time, and write the file. Return what it found, None if nothing."""
        if perf_counter() > self.until:
            self.results["not begun"].append(name)
            return None
        began = perf_counter()
        try:
            return measure()
        except Exception as error:  # whatever a driver raises: the next step may work
            self.results["failed"][name] = f"{type(error).__name__}: {error}"
            return None
        finally:
            print(
                f"{perf_counter() - self.started:6.1f} s  {name}, {perf_counter() - began:.2f} s", flush=True
            )

    def write(self) -> None:
        """Write the file, complete or not at all."""
        self.results["seconds"] = perf_counter() - self.started
        published.save(self.results, self.out)

    def values(self) -> None:
        """Compare values with exact ones."""
        for key, steps in (
            ("edges", {name: partial(measure_edge, name, self.machine) for name in EDGES}),
            (
                "values",
                {c.name: partial(measure_case, c, self.machine) for c in cases(self.machine.rehearsal)},
            ),
        ):
            found = self.results[key] = []
            for name, measure in steps.items():
                row = self.step(name, measure)
                if row is not None:
                    found.append(row)
                    if row["wrong"]:
                        print(f"          WRONG: {row.get('reason') or row.get('ulp')}", flush=True)
                self.write()

    def times(self) -> None:
        """Measure the ceilings, then every workload."""
        ceilings = self.step("ceilings", lambda: measure_ceilings(self.machine, self.until))
        if ceilings is None:
            return
        self.results["ceilings"] = ceilings
        self.write()
        rate = ceilings["copy, bytes a second"]
        works = self.results["works"] = {}
        steps: dict[str, Callable[[], Any]] = {
            work.name: partial(measure_work, work, self.machine, rate, self.until) for work in WORKS
        }
        steps |= {name: partial(measure_search, name, self.machine, self.until) for name in SEARCHES}
        for name, measure in steps.items():
            record = self.step(name, measure)
            if record is not None:
                works[name] = record
            if not self.machine.rehearsal:
                torch.cuda.empty_cache()
            self.write()


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    started = perf_counter()
    args = _parse(argv)
    if not args.rehearse and not torch.cuda.is_available():
        print("torch sees no CUDA device here; --rehearse runs every line on the CPU", file=sys.stderr)
        return 2
    run = Run(Rehearsal() if args.rehearse else Cuda(), args.out, args.budget, started)
    run.values()
    run.times()
    run.write()
    results = run.results
    print(f"\n{report.table(results)}\n")
    for title, lines in (
        ("Worst errors", report.worst_lines(results)),
        ("Targets", report.target_report(results)),
        ("To mend", report.mend_lines(results) or ["nothing"]),
    ):
        print(f"{title}:", *lines, sep="\n  ")
    if args.publish:
        try:
            print(f"Published as {report.publish(results)}")
        except ValueError as error:
            print(f"Not published: {error}", file=sys.stderr)
    wrong = any(row["wrong"] for key in ("edges", "values") for row in results[key])
    return 1 if wrong or results["failed"] else 0


def _parse(argv: list[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the file to write")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds that the run may take")
    parser.add_argument("--rehearse", action="store_true", help="run every line on the CPU, on small tensors")
    parser.add_argument("--publish", action="store_true", help="also write benchmarks/gpu/results-CARD.json")
    return parser.parse_args(argv)


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
