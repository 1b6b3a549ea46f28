"""Benchmarks of batchdot against PyTorch, torch.compile and Keras: times, ratios and targets (`make bench`).

No time is asserted. Results are printed as tables and written to benchmarks/results as JSON, after each
section: a run that was stopped continues with --resume.
"""

import json
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn
from warnings import catch_warnings, simplefilter

import torch

from benchmarks import plots, published, report, tables
from benchmarks.accuracy import measure_accuracy
from benchmarks.calls import measure_calls
from benchmarks.compiled import measure_compiled
from benchmarks.keras_peers import KerasPeers, start_keras_peers
from benchmarks.layers import measure_layers
from benchmarks.machine import describe_machine, versions
from benchmarks.measure import Settings, measure
from benchmarks.memory import ROWS, measure_memory
from benchmarks.ported.measure import measure_ported
from benchmarks.reading import measure_reading
from benchmarks.scaling import measure_scaling
from benchmarks.stream import measure_files
from benchmarks.targets import evaluate
from benchmarks.top_k import measure_top_k
from benchmarks.workloads import WORKLOADS

FOLDER = Path(__file__).parent
RUNS = FOLDER / "results"
"""Where every run writes its results; not committed."""


class Bench:
    """A benchmark run: its options and the results so far.

    Attributes:
        args: the parsed command line.
        settings: number of rounds, time budget and device.
        keras_peers: the Keras processes that run.
        results: results so far, in the structure of the JSON file.
    """

    def __init__(self, args: Namespace, started: KerasPeers) -> None:
        self.args = args
        self.keras_peers = started
        rounds = args.rounds or (3 if args.quick else 31)
        budget = 0.2 if args.quick else 2.0
        self.settings = Settings(rounds, budget, args.device, compile=not args.no_compile)
        self.results: dict[str, Any] = args.resumed or {
            "time": datetime.now().isoformat(timespec="minutes"),
            "machine": describe_machine(args.device),
            "versions": versions() | started.versions,
            "rounds": rounds,
            "quick": args.quick,
            "absent": dict(started.absent),
            "seconds": {},
        }

    def workloads(self) -> dict[str, Any]:
        """Time the chosen workloads."""
        print("Times in microseconds, medians with quartiles; every other number is our time over a peer's,")
        print("the median of rounds in turns: below 1 we are faster.\n")
        print(tables.WORK_HEADER)
        records = {}
        for work in self.args.works:
            records[work.name] = measure(work, self.keras_peers, self.settings)
            print(tables.work_line(work.name, records[work.name]), flush=True)
        print("\nPeers and kernels that did not run, and why")
        print("".join(f"  {line}\n" for line in tables.reason_lines(records)), end="")
        return records

    def calls(self) -> dict[str, Any]:
        """Time calls whose arithmetic is negligible."""
        records = measure_calls(self.settings)
        for table, record in records.items():
            print(f"{table}{'µs':>34}{'over the first':>18}{'µs more':>12}")
            for name, times in record["microseconds"].items():
                over, more = record["time over the first"][name], record["µs more than the first"][name]
                print(f"  {name:<28}{tables.microseconds(times['median']):>10}{over:>18.2f}{more:>12.2f}")
        return records

    def layers(self) -> dict[str, Any]:
        """Time the overhead of layers."""
        modules = {}
        for name in ("tf_keras", "keras"):
            if find_spec(name) is not None and not self.args.no_keras:
                with catch_warnings():
                    simplefilter("ignore")
                    modules[name] = import_module(name)
            else:
                print(f"{name}: {'left out as asked' if self.args.no_keras else 'not installed'}")
        return measure_layers(modules, self.settings.rounds)

    def compiled(self) -> dict[str, Any]:
        """Time compiled calls against compiled baselines."""
        record = measure_compiled(self.settings)
        print("\n".join(tables.compiled_lines(record)))
        return record

    def scaling(self) -> dict[str, Any]:
        """Time calls against the number of rows, their length and the number of threads."""
        record = measure_scaling(self.keras_peers, self.settings, 1000 if self.args.quick else 1_000_000)
        for by in ("rows", "length", "threads"):
            for kind, points in record[by].items():
                cells = (
                    f"{p['at']:,}: {tables.microseconds(p['microseconds']['batch_dot']['median'])}"
                    for p in points
                )
                print(f"{kind}, µs by {by}: {', '.join(cells)}")
                rooflines = (
                    f"{p['at']:,}: {tables.ratio(p['our time over theirs']['roofline'])}" for p in points
                )
                print(f"{'':<{len(kind)}}  over the roofline: {', '.join(rooflines)}")
        for line in record["left out"]:
            print(f"left out: {line}")
        return record

    def memory(self) -> dict[str, Any]:
        """Measure the peak memory of a call beyond its inputs and output."""
        record = measure_memory((1000, 4000) if self.args.quick else ROWS)
        for work, row in record.items():
            cells = (
                f"{name} {' to '.join(f'{b / 1e6:.2f}' for b in extra)}"
                for name, extra in row["extra bytes"].items()
            )
            print(f"{work}, {row['rows'][0]:,} to {row['rows'][1]:,} rows, MB: {', '.join(cells)}")
        return record

    def files(self) -> dict[str, Any]:
        """Time commands on files."""
        mebibytes = self.args.file_mib or (4 if self.args.quick else 512)
        record = measure_files(mebibytes, 2 if self.args.quick else 5)
        for work, row in record["works"].items():
            print(
                f"{work}: files of {mebibytes:,} MiB at {row['GB/s']:.2f} GB/s, read at "
                f"{row['GB/s reading']:.2f} GB/s, {row['our rate over reading']:.2f} of it; "
                f"{row['resident MB']:.0f} MB resident"
            )
        return record

    def ported(self) -> dict[str, Any]:
        """Time ported Keras models beside hand-written modules and Keras."""
        return measure_ported(self.keras_peers, self.settings)

    def reading(self) -> dict[str, Any]:
        """Time reading Keras files."""
        record = measure_reading(512 if self.args.quick else 8192, 2 if self.args.quick else 5)
        print("\n".join(tables.reading_lines(record)))
        return record

    def top_k(self) -> dict[str, Any]:
        """Time `top_k` against other exact searches."""
        record = measure_top_k(self.settings)
        for work, row in record["works"].items():
            times = (f"{name} {tables.microseconds(t['median'])}" for name, t in row["microseconds"].items())
            print(f"{work}, {row['queries']} of {row['items']:,}, µs: {', '.join(times)}")
            for name, reason in row["absent"].items():
                print(f"  {name}: {reason}")
        return record

    def accuracy(self) -> dict[str, Any]:
        """Measure errors in ulp."""
        record = measure_accuracy(self.keras_peers, self.args.quick)
        print("Largest errors in ulp, each against its own formula in exact arithmetic")
        print(tables.accuracy_table({"accuracy": record}))
        return record


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "workloads": Bench.workloads,
    "calls": Bench.calls,
    "layers": Bench.layers,
    "compiled": Bench.compiled,
    "scaling": Bench.scaling,
    "memory": Bench.memory,
    "files": Bench.files,
    "ported": Bench.ported,
    "reading": Bench.reading,
    "top_k": Bench.top_k,
    "accuracy": Bench.accuracy,
}
_CPU_ONLY = ("layers", "memory", "files", "ported", "reading", "accuracy")


def main(argv: list[str] | None = None) -> int:
    """Run the chosen sections; return 1 if one failed or a peer computed something else, otherwise 0."""
    args = _parse_arguments(argv)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    with start_keras_peers(not args.no_keras) as started:
        bench = Bench(args, started)
        print(tables.machine_line(bench.results))
        for name, reason in started.absent.items():
            print(f"{name}: {reason}")
        failed = [name for name in args.sections if not _run_section(name, bench)]
    results = bench.results
    results["targets"] = evaluate(results)
    print("\n== targets" + (" (with fewer rounds and smaller sizes than intended)" if args.quick else ""))
    measured = [target for target in results["targets"] if target["measured"] is not None]
    print("\n".join(tables.target_lines(measured)))
    print(f"\nSeconds: {', '.join(f'{k} {v}' for k, v in results['seconds'].items())}")
    _write(results, args, publish=args.publish and not failed)
    if failed:
        print(f"failed: {', '.join(failed)}; --resume {args.output} runs them again", file=sys.stderr)
    return int(_any_wrong(results) or bool(failed))


def _run_section(name: str, bench: Bench) -> bool:
    """Run a section and keep its results; return False where it failed, which does not end the run."""
    print(f"\n== {name}")
    args, results = bench.args, bench.results
    if name in results:
        print("measured before")
        return True
    if args.device != "cpu" and name in _CPU_ONLY:
        print("left out: runs on the CPU only")
        return True
    before = perf_counter()
    try:
        section = SECTIONS[name](bench)
    except Exception:
        traceback.print_exc()
        return False
    results["seconds"][name] = round(perf_counter() - before, 1)
    results[name] = section
    published.save(results, args.output)
    return True


def _parse_arguments(argv: list[str] | None) -> Namespace:
    parser = ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help=f"one section ({', '.join(SECTIONS)}), or workloads whose name holds this",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes, for a trial run")
    parser.add_argument("--rounds", type=int, help="maximal number of rounds (default 31, quick 3)")
    parser.add_argument("--device", default="cpu", help="device of the tensors (default cpu)")
    parser.add_argument(
        "--threads", type=int, help="threads of PyTorch; leaves Keras out, which has its own thread pools"
    )
    parser.add_argument("--no-keras", action="store_true", help="leave Keras out even if it is installed")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--file-mib", type=int, help="size of each file to stream (default 512, quick 4)")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: one of benchmarks/results)")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="JSON",
        help="continue a run that was stopped, from the file that it wrote",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="also update the results of this processor, RESULTS.md, figures/ and the tables in documents",
    )
    args = parser.parse_args(argv)
    for name, least in (("rounds", 2), ("threads", 1), ("file_mib", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            _refuse(parser, f"--{name.replace('_', '-')} has to be at least {least}")
    if args.publish and (args.only or args.quick or args.threads or args.no_keras or args.device != "cpu"):
        _refuse(
            parser, "--publish goes with a whole run: no --only, --quick, --threads, --no-keras, --device"
        )
    args.resumed = _resumed(parser, args)
    args.output = args.output or args.resume or RUNS / f"{datetime.now():%Y-%m-%d-%H%M%S}.json"
    args.no_keras = args.no_keras or args.threads is not None
    args.sections = list(SECTIONS)
    args.works = WORKLOADS
    if args.only:
        args.sections = [args.only] if args.only in SECTIONS else ["workloads"]
        args.works = [work for work in WORKLOADS if args.only == "workloads" or args.only in work.name]
        if not args.works and args.sections == ["workloads"]:
            kinds = dict.fromkeys(work.kind for work in WORKLOADS)
            _refuse(parser, f"nothing named {args.only!r}; there are: {'; '.join([*SECTIONS, *kinds])}")
    return args


def _resumed(parser: ArgumentParser, args: Namespace) -> dict[str, Any] | None:
    """Return the results of a run to continue, which have to be of this processor and this torch."""
    if args.resume is None:
        return None
    try:
        results: dict[str, Any] = json.loads(args.resume.read_text(encoding="utf-8"))
        before = published.processor(results), results["versions"]["torch"], results["quick"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(parser, f"cannot continue {args.resume}: {error}")
    this = published.processor({"machine": describe_machine(args.device)})
    now = this, versions()["torch"], args.quick
    if before != now:
        _refuse(parser, f"cannot continue {args.resume}: it is of {before}, and this is {now}")
    return results


def _refuse(parser: ArgumentParser, reason: str) -> NoReturn:
    """Exit with one line, without the usage that argparse would print."""
    parser.exit(2, f"{parser.prog}: error: {reason}\n")


def _write(results: dict[str, Any], args: Namespace, publish: bool) -> None:
    """Write the JSON file, the figures and, to publish, the results of this processor and the documents."""
    paths = [args.output, *([published.path_of(published.processor(results))] if publish else [])]
    for place in paths:
        published.save(results, place)
    if "scaling" in results and plots.why_not() is not None:
        print(f"no figures: {plots.why_not()}")
    elif "scaling" in results:
        paths += plots.draw(results, plots.FOLDER if publish else args.output.parent)
    if publish:
        paths += report.write(published.load())
    for place in paths:
        print(f"Written to {place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place}")


def _any_wrong(results: dict[str, Any]) -> bool:
    """Return whether a peer computed something else than we did, and print which."""
    records = dict(results.get("workloads", {}))
    for model, batches in results.get("ported", {}).get("batches", {}).items():
        records |= {f"{model}, batch {batch}": record for batch, record in batches.items()}
    wrong = [
        f"{work}: {peer} {reason}"
        for work, record in records.items()
        for peer, reason in record["absent"].items()
        if reason.startswith("gives other")
    ]
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
