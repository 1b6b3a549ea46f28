"""The command line: one command is one library call, and every error is one line."""

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchdot.cli.parser import build_parser, join_negative_axes
from batchdot.cli.signals import Stopped, stoppable

if TYPE_CHECKING:
    from batchdot.streaming.dot import Written


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0, 1 where `demo` fails, 2 where the user or a file is at fault, 128 and the
        signal's number after a signal.
    """
    try:
        with stoppable():
            status = _run(sys.argv[1:] if argv is None else list(argv))
            sys.stdout.flush()
            return status
    except SystemExit as stop:  # argparse, after --help or --version
        return int(stop.code or 0)
    except Stopped as stop:
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
    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(join_negative_axes(argv))
    return COMMANDS[arguments.command](arguments)


def _complain(reason: str, status: int) -> int:
    print("batchdot: " + " ".join(reason.split("\n")), file=sys.stderr)
    return status


def _dot(arguments: Namespace) -> int:
    from batchdot.cli.shapes import parse_axes
    from batchdot.streaming.dot import dot_files

    written = dot_files(
        arguments.x,
        arguments.y,
        arguments.output,
        None if arguments.axes is None else parse_axes(arguments.axes),
        batch_dims=arguments.batch_dims,
        normalize=arguments.normalize,
        epsilon=arguments.epsilon,
        dtype=arguments.dtype,
        progress=_shows_progress(arguments),
    )
    _report(arguments.output, written)
    return 0


def _top_k(arguments: Namespace) -> int:
    from batchdot.streaming.top_k import top_k_files

    for written in top_k_files(
        arguments.queries,
        arguments.items,
        arguments.k,
        scores=arguments.scores,
        indices=arguments.indices,
        normalize=arguments.normalize,
        epsilon=arguments.epsilon,
        dtype=arguments.dtype,
        progress=_shows_progress(arguments),
    ):
        _report(written.path, written)
    return 0


def _shows_progress(arguments: Namespace) -> bool:
    return sys.stderr.isatty() if arguments.progress is None else bool(arguments.progress)


def _report(name: str, written: "Written") -> None:
    """Say what was written where."""
    from batchdot.convert import dtype_name
    from batchdot.io.regular_file import shown

    print(f"{shown(name)}: {written.shape} {dtype_name(written.dtype)}")


def _explain(arguments: Namespace) -> int:
    from batchdot.cli.shapes import parse_axes, parse_shape
    from batchdot.explanation.explain import explain
    from batchdot.io.atomic import write_file
    from batchdot.io.regular_file import shown

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


def _demo(arguments: Namespace) -> int:
    from batchdot.cli.demo import run

    return 0 if run() else 1


def _info(arguments: Namespace) -> int:
    from batchdot.cli.info import describe

    print(describe())
    return 0


COMMANDS = {"dot": _dot, "top-k": _top_k, "explain": _explain, "demo": _demo, "info": _info}
