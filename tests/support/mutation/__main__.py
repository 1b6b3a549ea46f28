"""Change src/batchdot at random, many times, and see which changes the tests let through.

    python -m tests.support.mutation record tests/planning tests/explanation
    python -m tests.support.mutation run --count 30 --under planning explanation
    python -m tests.support.mutation native --count 20

``record`` runs tests and notes which functions each of them calls, in build/mutation, beside what it noted
before. ``run`` makes changes in a copy of the sources, each against the tests that call the changed function
(and those of the same name); where no test is known to, against those that call its module, or else those of
its folder. It prints which test caught each, once that test has passed without the change, and the survivors:
a survivor is a missing test, or a change that changes nothing. ``native`` does the same for csrc/cpu, builds
each change, and runs all tests of kernels, first without a change. The reader of Keras files, ``porting``,
has attacks and a fuzzer instead.
"""

import argparse
import ast
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  # once, for all runs of tests
from tests.support.mutation.changes import Change, random_change
from tests.support.mutation.native import NativeBuild, random_native_change

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src/batchdot"
FOLDER = ROOT / "build/mutation"
TOUCHED = FOLDER / "touched.json"
FAILED = FOLDER / "failed.txt"
NATIVE_TESTS = [  # those of seconds first
    "tests/retrieval/test_native.py",
    *(f"tests/kernels/test_{name}.py" for name in ("cpu", "normalize", "kernels")),
    "tests/ops/test_gradients.py",
    "tests/retrieval/test_search.py",
    "tests/kernels/test_csrc.py",
]
SHORT, LONG = "not slow and not keras", "not keras"  # the long ones of csrc try every kernel with every dtype


def record(tests: list[str]) -> int:
    """Run tests and note the functions that each calls."""
    options = ["-q", "-p", "tests.support.mutation.touched", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "-m", "not slow and not keras", *tests]
    return subprocess.run(command, cwd=ROOT, env=_environment(ROOT), check=False).returncode


def run(count: int, seed: int, under: list[str], seconds: int, skip: int = 0) -> int:
    """Make changes, after those that ``skip`` counts, and return how many survived."""
    generator, survivors = random.Random(seed), []
    table: dict[str, list[str]] = json.loads(TOUCHED.read_text()) if TOUCHED.exists() else {}
    paths = [path for path in sorted(SOURCES.rglob("*.py")) if _is_chosen(path, under)]
    lengths = [path.stat().st_size for path in paths]
    copy = _copy()
    tried = 0
    while tried < skip + count:
        (path,) = generator.choices(paths, lengths)
        change = random_change(path.read_text(), generator)
        if change is None:
            continue
        tried += 1
        if tried <= skip:
            continue
        tests = _tests_of(path, change, table)
        what = f"{path.relative_to(ROOT)}:{change.line}: {change.what}"
        print(f"{tried:4} {what}", flush=True)
        outcome = _try(copy, path, change, tests, seconds)
        print(f"     {outcome} ({len(tests)} tests)", flush=True)
        survivors += [what] * (outcome == "SURVIVED")
    return _report(count, seed, survivors)


def run_native(count: int, seed: int, seconds: int) -> int:
    """Make changes to csrc/cpu, and return how many survived the tests of kernels."""
    generator, survivors = random.Random(seed), []
    paths = [path for path in sorted((ROOT / "csrc/cpu").iterdir()) if path.suffix in (".h", ".cpp")]
    lengths = [path.stat().st_size for path in paths]
    copy = _copy()
    build = NativeBuild(copy)
    if not build.unchanged() or _run_tests(copy, NATIVE_TESTS, seconds, LONG) != pytest.ExitCode.OK:
        sys.exit(f"Some of these do not pass without a change, or are not there: {NATIVE_TESTS}")
    tried = 0
    while tried < count:
        (path,) = generator.choices(paths, lengths)
        change = random_native_change(path.read_text(), generator)
        if change is None:
            continue
        target = copy / path.relative_to(ROOT)
        target.write_text(change.source)
        if build.changed(target):
            tried += 1
            what = f"{path.relative_to(ROOT)}:{change.line}: {change.what}"
            print(f"{tried:4} {what}", flush=True)
            status = _run_tests(copy, NATIVE_TESTS, seconds, LONG)
            failed = FAILED.read_text() if FAILED.exists() else f"status {status} of pytest"
            outcome = {None: "timed out", pytest.ExitCode.OK: "SURVIVED"}.get(status, f"caught by {failed}")
            print(f"     {outcome}", flush=True)
            survivors += [what] * (outcome == "SURVIVED")
        shutil.copy(path, target)
    return _report(count, seed, survivors)


def _report(count: int, seed: int, survivors: list[str]) -> int:
    caught = f"{count - len(survivors)} of {count} changes were caught"
    print(f"\nWith the seed {seed}, {caught}. The others:", *survivors, sep="\n  ")
    return len(survivors)


def _is_chosen(path: Path, under: list[str]) -> bool:
    name = path.relative_to(SOURCES).as_posix()
    return not name.startswith("porting/") and (not under or any(name.startswith(part) for part in under))


def _tests_of(path: Path, change: Change, table: dict[str, list[str]]) -> list[str]:
    """Return the tests that call the innermost function around a change, those that call the least first.

    No test is known to call what runs at import or in another process: then those count that call the module.
    """
    name, function = path.relative_to(SOURCES).as_posix(), None
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.lineno <= change.line <= (node.end_lineno or 0):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            function = f"{name}:{first}"
    touching = [test for test, functions in table.items() if function in functions] or [
        test for test, functions in table.items() if any(f.startswith(f"{name}:") for f in functions)
    ]
    mirror = ROOT / "tests" / Path(name).parent / f"test_{Path(name).stem}.py"
    own = [str(mirror.relative_to(ROOT))] if mirror.exists() else []
    rest = sorted(touching, key=lambda test: len(table[test]))
    folder = "tests/" + Path(name).parts[0]
    return own + [test for test in rest if not own or not test.startswith(own[0])] or [
        folder if (ROOT / folder).is_dir() else "tests"
    ]


def _copy() -> Path:
    """Return a copy of the working tree, in which the changes are made."""
    copy = FOLDER / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def _try(copy: Path, path: Path, change: Change, tests: list[str], seconds: int) -> str:
    """Return what became of a change; where it was caught, by which test."""
    target = copy / path.relative_to(ROOT)
    target.write_text(change.source)
    try:
        status = _run_tests(copy, tests, seconds)
    finally:
        shutil.copy(path, target)
    if status is None:
        return "timed out"
    if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return "SURVIVED"
    failed = FAILED.read_text() if FAILED.exists() else ""
    without = _run_tests(copy, [failed] if failed else ["--collect-only", *tests], seconds)
    if without == pytest.ExitCode.USAGE_ERROR:
        sys.exit(f"Some of these are not there, so record the tests again: {tests}")
    if without != pytest.ExitCode.OK:
        sys.exit(f"This test fails without a change as well: {failed}")
    return f"caught by {failed or f'status {status} of pytest'}"


class _FirstFailure:
    """pytest plugin: notes the name of the first test, or file of tests, that fails."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not FAILED.exists():
            FAILED.write_text(report.nodeid)


def _run_tests(copy: Path, tests: list[str], seconds: int, marked: str = SHORT) -> int | None:
    """Return the status of pytest in a fork, which has torch imported; None after so many seconds of CPU."""
    FAILED.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)  # with the programs that tests run, which end with it
            signal.setitimer(signal.ITIMER_PROF, seconds)  # of CPU time; then it is killed
            signal.alarm(5 * seconds)  # for one that waits
            os.chdir(copy)
            os.environ.update(_environment(copy))
            sys.path[:] = [
                str(copy / "src"),
                *(p for p in sys.path if p not in ("", str(ROOT), str(ROOT / "src"))),
            ]
            for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "batchdot")]:
                del sys.modules[name]
            for number in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            options = ["-qx", "-p", "no:cacheprovider", "-m", marked]
            os._exit(pytest.main([*options, *tests], [_FirstFailure()]))
        finally:
            os._exit(pytest.ExitCode.INTERNAL_ERROR)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return None if status in (-signal.SIGPROF, -signal.SIGALRM) else status


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root / "src"), "BATCHDOT_TOUCHED": str(TOUCHED)}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record").add_argument("tests", nargs="*", default=["tests"])
    runs = commands.add_parser("run")
    runs.add_argument("--count", type=int, default=30)
    runs.add_argument("--skip", type=int, default=0, help="changes of the seed that were tried before")
    runs.add_argument("--under", nargs="*", default=[], help="folders or files of src/batchdot")
    native = commands.add_parser("native")
    for command in (runs, native):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument(
            "--seconds", type=int, default=600, help="a change that takes longer counts as caught"
        )
    native.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.command == "record":
        return record(arguments.tests)
    if arguments.command == "native":
        return min(1, run_native(arguments.count, arguments.seed, arguments.seconds))
    return min(1, run(arguments.count, arguments.seed, arguments.under, arguments.seconds, arguments.skip))


if __name__ == "__main__":
    sys.exit(main())
