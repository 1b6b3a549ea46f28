"""The commands of the command line: each is one library call, and what it prints about the result.

The library is imported inside each command, so that the module itself loads without torch.
"""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from batchdot.io.array_file import WrittenArray


def dot(arguments: "Namespace") -> int:
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


def top_k(arguments: "Namespace") -> int:
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


def explain(arguments: "Namespace") -> int:
    """Run ``batchdot explain``: `batchdot.explain`."""
    import os
    import shutil

    from batchdot.cli.shapes import parse_axes, parse_shape
    from batchdot.cli.wrapping import wrap_text
    from batchdot.explanation.explain import explain
    from batchdot.io.regular_file import printable

    width = shutil.get_terminal_size().columns
    axes = None if arguments.axes is None else parse_axes(arguments.axes)
    shapes = parse_shape(arguments.x_shape), parse_shape(arguments.y_shape)
    explanation = explain(*shapes, axes, batch_dims=arguments.batch_dims, normalize=arguments.normalize)
    if arguments.svg is not None:
        _write_svg(arguments.svg, explanation.to_svg())
    text = f"{explanation.to_text(width, ascii_only=not _can_print('┌─│'))}\n\n{explanation}"
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):  # a program that reads a pipe gets whole lines
        text = wrap_text(text, width)
    print(text)
    if arguments.svg is not None:
        print(f"\n{printable(arguments.svg)}: the picture")
    return 0


def inspect(arguments: "Namespace") -> int:
    """Run ``batchdot inspect``: `batchdot.porting.inspect`."""
    import json

    from batchdot.porting import inspect

    report = inspect(arguments.model, weights=arguments.weights)
    if arguments.svg is not None:
        _write_svg(arguments.svg, report.svg())
    print(json.dumps(report.data(), indent=2, allow_nan=False) if arguments.json else _printable(str(report)))
    return 0


def port(arguments: "Namespace") -> int:
    """Run ``batchdot port``: `batchdot.porting.port`."""
    import shutil

    from batchdot.cli.translations import parse_translations
    from batchdot.cli.wrapping import wrap_text
    from batchdot.io.regular_file import printable
    from batchdot.porting import port

    ported = port(
        arguments.model,
        weights=arguments.weights,
        custom=parse_translations(arguments.custom),
        channels=arguments.channels,
        with_batchdot=arguments.with_batchdot,
    )
    ported.save(arguments.output)
    print(ported)
    for note in ported.notes:
        print("", wrap_text(f"Note: {note}", shutil.get_terminal_size().columns), sep="\n")
    name = printable(arguments.output)
    print(f"\n{name}: class {ported.class_name}\n{name.removesuffix('.py')}.safetensors: its weights")
    return 0


def verify(arguments: "Namespace") -> int:
    """Run ``batchdot verify``: `batchdot.porting.verify`. The exit status is 1 if an output differs."""
    from batchdot.cli.translations import parse_translations
    from batchdot.porting import verify

    if (arguments.data is None) == (arguments.against is None):
        raise ValueError("give either --data IO.npz or --against keras (see batchdot verify --help)")
    result = verify(
        arguments.model,
        weights=arguments.weights,
        custom=parse_translations(arguments.custom),
        channels=arguments.channels,
        data=arguments.data,
        against=arguments.against,
    )
    with suppress(BrokenPipeError):  # the exit status says it too
        print(result)
    return 0 if result.agrees else 1


def demo(arguments: "Namespace") -> int:
    """Run ``batchdot demo``; the exit status is 1 if the results are not as promised."""
    from batchdot.cli.demo import run

    return 0 if run() else 1


def info(arguments: "Namespace") -> int:
    """Run ``batchdot info``."""
    from batchdot.cli.info import describe

    print(describe())
    return 0


COMMANDS = {
    "dot": dot,
    "top-k": top_k,
    "explain": explain,
    "inspect": inspect,
    "port": port,
    "verify": verify,
    "demo": demo,
    "info": info,
}
"""The function of each command, by the name in `batchdot.cli.parser`."""

LIBRARIES = {
    "dot": "batchdot.streaming.dot",
    "top-k": "batchdot.streaming.top_k",
    "explain": "batchdot.explanation.explain",
    "inspect": "batchdot.porting",
    "port": "batchdot.porting.ported",
    "verify": "batchdot.porting.verification",
    "demo": "batchdot.cli.demo",
    "info": "batchdot.cli.info",
}
"""The module that each command runs."""


def libraries(arguments: "Namespace") -> list[str]:
    """Return the modules to import before a command runs, while a signal can end the process at once."""
    writes_picture = getattr(arguments, "svg", None) is not None
    return [LIBRARIES[arguments.command], *["batchdot.io.atomic"] * writes_picture]


def _shows_progress(arguments: "Namespace") -> bool:
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

    if not path.lower().endswith(".svg"):
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
