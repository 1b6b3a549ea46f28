"""The commands of the command line: each is one library call, and what it prints about the result.

The library is imported inside each command, so that the module itself loads without torch.
"""

import shutil
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchdot.streaming.dot import WrittenArray


def dot(arguments: Namespace) -> int:
    """Run ``batchdot dot``: `dot_files`."""
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
    _print_written(arguments.output, written)
    return 0


def top_k(arguments: Namespace) -> int:
    """Run ``batchdot top-k``: `top_k_files`."""
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
        _print_written(written.path, written)
    return 0


def explain(arguments: Namespace) -> int:
    """Run ``batchdot explain``: `batchdot.explain`."""
    from batchdot.cli.shapes import parse_axes, parse_shape
    from batchdot.explanation.explain import explain
    from batchdot.io.regular_file import printable

    axes = None if arguments.axes is None else parse_axes(arguments.axes)
    shapes = parse_shape(arguments.x_shape), parse_shape(arguments.y_shape)
    explanation = explain(*shapes, axes, batch_dims=arguments.batch_dims, normalize=arguments.normalize)
    if arguments.svg is not None:
        _write_svg(arguments.svg, explanation.to_svg())
    width = shutil.get_terminal_size().columns
    print(explanation.to_text(width, ascii_only=not _can_print("┌─│")), explanation, sep="\n\n")
    if arguments.svg is not None:
        print(f"\n{printable(arguments.svg)}: the picture")
    return 0


def inspect(arguments: Namespace) -> int:
    """Run ``batchdot inspect``: `batchdot.porting.inspect`."""
    import json

    from batchdot.porting import inspect

    report = inspect(arguments.model, weights=arguments.weights)
    if arguments.svg is not None:
        _write_svg(arguments.svg, report.svg())
    print(json.dumps(report.data(), indent=2, allow_nan=False) if arguments.json else _printable(str(report)))
    return 0


def demo(arguments: Namespace) -> int:
    """Run ``batchdot demo``; the exit status is 1 if the results are not as promised."""
    from batchdot.cli.demo import run

    return 0 if run() else 1


def info(arguments: Namespace) -> int:
    """Run ``batchdot info``."""
    from batchdot.cli.info import describe

    print(describe())
    return 0


COMMANDS = {"dot": dot, "top-k": top_k, "explain": explain, "inspect": inspect, "demo": demo, "info": info}
"""The function of each command, by the name in `batchdot.cli.parser`."""


def _shows_progress(arguments: Namespace) -> bool:
    return sys.stderr.isatty() if arguments.progress is None else bool(arguments.progress)


def _print_written(name: str, written: "WrittenArray") -> None:
    """Print the path, shape and dtype of an output file."""
    from batchdot.convert import dtype_name
    from batchdot.io.regular_file import printable

    print(f"{printable(name)}: {written.shape} {dtype_name(written.dtype)}")


def _write_svg(path: str, svg: str) -> None:
    """Write a picture to a file with the suffix .svg."""
    from batchdot.io.atomic import write_file
    from batchdot.io.regular_file import printable

    if not path.endswith(".svg"):
        raise ValueError(f"the picture is an SVG: {printable(path)!r} should end with .svg")
    write_file(path, svg.encode())


def _printable(text: str) -> str:
    """Return text in the encoding of stdout: our own signs in ASCII, other characters as escapes."""
    if _can_print(text):
        return text
    return text.replace("·", "*").replace("…", "...").encode("ascii", "backslashreplace").decode("ascii")


def _can_print(text: str) -> bool:
    """Return whether the encoding of stdout has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
