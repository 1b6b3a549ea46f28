"""The command line: one command is one library call, and every error is one line."""

import argparse
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from batchdot import __version__

if TYPE_CHECKING:
    from batchdot.streaming import Written

AXES_HELP = (
    "axes to sum over: 1 or -1 for both inputs, 1,2 for axis 1 of X and axis 2 of Y, 1+2,2+3 for several "
    "(1 of X with 2 of Y, 2 with 3). Without it, the last axis of X with the second-to-last of Y, or with "
    "the last where Y has two axes"
)

DOT_EXAMPLE = """\
examples:
  batchdot dot queries.npy keys.npy --axes 2 -o scores.npy
  batchdot dot a.npy model.safetensors:embedding --axes 1,2 --normalize -o cosines.safetensors:cosine
  batchdot dot x.npy y.npy --axes -1,-2 --dtype float32 -o out.npy

Files are read block by block over their first axis, so they may be larger than the memory. OUT appears
when it is complete: an interrupted run leaves an older OUT as it was.
"""

TOP_K_EXAMPLE = """\
examples:
  batchdot top-k users.npy items.npy -k 10 --indices nearest.npy
  batchdot top-k users.npy model.safetensors:items -k 10 --normalize --scores cosines.npy

The search is exact, in bounded memory: files may be larger than it. Equal scores are in the order of their
indices. For approximate search in many millions of items, the next step is FAISS.
"""

EXPLAIN_EXAMPLE = """\
examples:
  batchdot explain "(32, 64, 10, 128)" "(32, 128, 32, 15)" --axes 3,1
  batchdot explain "(None, 128)" "(None, 128)" --axes 1 --normalize
  batchdot explain "(100, 20)" "(100, 30, 20)" --axes 1,2 --svg picture.svg
"""

DEMO_EXAMPLE = """\
example:
  batchdot demo

It takes some seconds, and exits with 1 if the accuracy or the agreement with Keras is not as promised.
"""

INFO_EXAMPLE = """\
example:
  batchdot info
"""

EPILOG = """\
example:
  batchdot explain "(32, 64, 10, 128)" "(32, 128, 32, 15)" --axes 3,1

`batchdot COMMAND --help` describes a command, with examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0, 1 where `demo` fails, 2 where the user or a file is at fault, 128 and the
        signal's number after a signal.
    """
    try:
        with _stoppable():
            status = _run(sys.argv[1:] if argv is None else list(argv))
            sys.stdout.flush()
            return status
    except SystemExit as stop:  # argparse, after --help or --version
        return int(stop.code or 0)
    except _Stopped as stop:
        return _complain(stop.reason, 128 + stop.signal)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:  # nobody reads on, as in `batchdot info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(error.strerror or str(error), 2)
    except (ValueError, TypeError, MemoryError) as error:
        return _complain(str(error), 2)


def _run(argv: list[str]) -> int:
    parser = _build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(_join_negative_axes(argv))
    status: int = arguments.command(arguments)
    return status


def _dot(arguments: argparse.Namespace) -> int:
    from batchdot.notation import parse_axes
    from batchdot.streaming import dot_files

    written = dot_files(
        arguments.x,
        arguments.y,
        arguments.output,
        None if arguments.axes is None else parse_axes(arguments.axes),
        batch_dims=arguments.batch_dims,
        normalize=arguments.normalize,
        epsilon=arguments.epsilon,
        dtype=arguments.dtype,
        progress=sys.stderr.isatty() if arguments.progress is None else arguments.progress,
    )
    _report(arguments.output, written)
    return 0


def _top_k(arguments: argparse.Namespace) -> int:
    from batchdot.retrieval_files import top_k_files

    for written in top_k_files(
        arguments.queries,
        arguments.items,
        arguments.k,
        scores=arguments.scores,
        indices=arguments.indices,
        normalize=arguments.normalize,
        epsilon=arguments.epsilon,
        dtype=arguments.dtype,
        progress=sys.stderr.isatty() if arguments.progress is None else arguments.progress,
    ):
        _report(written.path, written)
    return 0


def _report(name: str, written: "Written") -> None:
    """Say what was written where."""
    from batchdot.storage import shown

    print(f"{shown(name)}: {written.shape} {str(written.dtype).removeprefix('torch.')}")


def _explain(arguments: argparse.Namespace) -> int:
    from batchdot.explain import explain
    from batchdot.notation import parse_axes, parse_shape
    from batchdot.output import write_file
    from batchdot.storage import shown

    axes = None if arguments.axes is None else parse_axes(arguments.axes)
    shapes = parse_shape(arguments.x_shape), parse_shape(arguments.y_shape)
    explanation = explain(*shapes, axes, batch_dims=arguments.batch_dims, normalize=arguments.normalize)
    if arguments.svg is not None:
        if not arguments.svg.endswith(".svg"):
            raise ValueError(f"the picture is an SVG: {shown(arguments.svg)!r} should end with .svg")
        write_file(arguments.svg, explanation.to_svg().encode())
    width = shutil.get_terminal_size().columns
    print(explanation.to_text(width, ascii_only=not _can_print("┌─│")), explanation, sep="\n\n")
    if arguments.svg is not None:
        print(f"\n{shown(arguments.svg)}: the picture")
    return 0


def _can_print(text: str) -> bool:
    """Whether stdout takes these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _demo(arguments: argparse.Namespace) -> int:
    from batchdot.demo import run

    return 0 if run() else 1


def _info(arguments: argparse.Namespace) -> int:
    from batchdot.info import describe

    print(describe())
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, rather than under the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="batchdot",
        description="Keras's dot products in PyTorch, on files and in words.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"batchdot {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, about: str, epilog: str = "") -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(command=globals()[f"_{name.replace('-', '_')}"])
        return command

    _add_dot_arguments(
        add("dot", "contract the arrays of two files, sample by sample, into a third", DOT_EXAMPLE)
    )
    _add_top_k_arguments(
        add("top-k", "find the items with the largest dot products or cosines for each query", TOP_K_EXAMPLE)
    )
    explain = add(
        "explain",
        "draw and say what batch_dot does to two shapes, and write it in plain PyTorch",
        EXPLAIN_EXAMPLE,
    )
    explain.add_argument(
        "x_shape", metavar="X_SHAPE", help='as "(32, 64, 10)"; None or ? for an unknown size'
    )
    explain.add_argument("y_shape", metavar="Y_SHAPE", help="likewise")
    _add_contraction_arguments(explain)
    explain.add_argument("--svg", metavar="FILE", help="also write the picture to an .svg file, for a slide")
    add(
        "demo",
        "recognize real handwritten digits by cosine, and compare with Keras and PyTorch",
        DEMO_EXAMPLE,
    )
    add("info", "list versions, devices and kernels, and why one is unavailable", INFO_EXAMPLE)
    return parser


def _add_dot_arguments(command: argparse.ArgumentParser) -> None:
    files = "FILE.npy, FILE.safetensors or FILE.safetensors:TENSOR"
    command.add_argument("x", metavar="X", help=f"array of shape (B, ...): {files}")
    command.add_argument("y", metavar="Y", help="array of shape (B, ...), likewise")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write, likewise")
    _add_contraction_arguments(command)
    _add_work_arguments(command)


def _add_top_k_arguments(command: argparse.ArgumentParser) -> None:
    files = "FILE.npy, FILE.safetensors or FILE.safetensors:TENSOR"
    command.add_argument("queries", metavar="QUERIES", help=f"array of shape (Q, d): {files}")
    command.add_argument("items", metavar="ITEMS", help="array of shape (N, d), likewise")
    command.add_argument("-k", metavar="K", type=int, required=True, help="how many items for each query")
    command.add_argument("--scores", metavar="OUT", help="file to write the scores to, (Q, k)")
    command.add_argument("--indices", metavar="OUT", help="file to write the items' indices to, (Q, k) int64")
    command.add_argument(
        "--normalize", action="store_true", help="compare cosines: L2-normalize the rows first"
    )
    _add_work_arguments(command)


def _add_work_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--epsilon",
        metavar="E",
        type=float,
        default=1e-12,
        help="floor on the squared norm of a slice (default: 1e-12; Keras 3 has 1e-14)",
    )
    command.add_argument(
        "--dtype",
        metavar="DTYPE",
        help="convert both inputs first: float32, bfloat16, int64, ... (default: keep)",
    )
    command.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar when it takes longer than a second (default: on a terminal)",
    )


def _add_contraction_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--axes", metavar="AXES", help=AXES_HELP)
    command.add_argument(
        "--batch-dims",
        metavar="K",
        type=int,
        default=1,
        help="leading axes that are shared between the samples (default: 1)",
    )
    command.add_argument(
        "--normalize", action="store_true", help="compute cosines: L2-normalize along the summed axes first"
    )


def _join_negative_axes(argv: list[str]) -> list[str]:
    """Write ``--axes -1,-2`` as ``--axes=-1,-2``: argparse takes the value for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--axes" and argument[:1] == "-" and argument[1:2].isdigit():
            joined[-1] = f"--axes={argument}"
        else:
            joined.append(argument)
    return joined


class _Stopped(BaseException):
    """A signal asked the process to stop."""

    def __init__(self, number: int) -> None:
        self.signal = number
        self.reason = (
            "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        )


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the signals that end a process into an exception, so that what is half-made is removed.

    The first one counts: those after it wait until the removal is done. What the parent process told
    to ignore, as nohup does, stays ignored.
    """
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise _Stopped(number)

    before = [(number, signal.signal(number, stop)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _complain(reason: str, status: int) -> int:
    print("batchdot: " + " ".join(reason.split("\n")), file=sys.stderr)
    return status
