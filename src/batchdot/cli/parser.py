"""The argument parser of the `batchdot` command, with the help text of every command."""

import shutil
from argparse import Action, ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from batchdot._version import __version__
from batchdot.cli.wrapping import wrap_help
from batchdot.types import EPSILON

AXES_HELP = (
    "axes to contract: 1 or -1 for both inputs, 1,2 for axis 1 of X with axis 2 of Y, 1+2,2+3 for several "
    "pairs (1 of X with 2 of Y, 2 with 3). Default: the last axis of X with the second-to-last of Y, or "
    "with the last if Y has two axes"
)

FILE_HELP = "FILE.npy, FILE.safetensors or FILE.safetensors:TENSOR"

DOT_EXAMPLE = """\
examples:
  batchdot dot queries.npy keys.npy --axes 2 -o scores.npy
  batchdot dot a.npy model.safetensors:embedding --axes 1,2 --normalize -o cosines.safetensors:cosine
  batchdot dot x.npy y.npy --axes -1,-2 --dtype float32 -o out.npy

Files are read block by block over their first axis, so they may be larger than memory. OUT is written \
atomically: an interrupted run leaves an older OUT unchanged.
"""

TOP_K_EXAMPLE = """\
examples:
  batchdot top-k users.npy items.npy -k 10 --indices nearest.npy
  batchdot top-k users.npy model.safetensors:items -k 10 --normalize --scores cosines.npy

The search is exact and takes bounded memory: files may be larger than memory. Equal scores are in the \
order of their indices. For approximate search in many millions of items, use FAISS.
"""

EXPLAIN_EXAMPLE = """\
examples:
  batchdot explain "(32, 64, 10, 128)" "(32, 128, 32, 15)" --axes 3,1
  batchdot explain "(None, 128)" "(None, 128)" --axes 1 --normalize
  batchdot explain "(100, 20)" "(100, 30, 20)" --axes 1,2 --svg picture.svg
"""

INSPECT_EXAMPLE = """\
examples:
  batchdot inspect model.h5
  batchdot inspect model.keras --svg graph.svg
  batchdot inspect model.json --weights model.weights.h5 --json

It reads what Keras 1.2 to 3.15 saved, without Keras and TensorFlow, and runs nothing that a file holds.
"""

PORT_EXAMPLE = """\
examples:
  batchdot port model.h5 -o tower.py
  batchdot port model.json --weights model.weights.h5 -o tower.py
  batchdot port model.keras -o tower.py --custom double=layers:double --with-batchdot

tower.py needs PyTorch alone; tower.safetensors, beside it, has the weights. Neither Keras nor TensorFlow \
is needed, and nothing that MODEL holds is run.
"""

VERIFY_EXAMPLE = """\
examples:
  batchdot verify model.h5 --data recorded.npz
  batchdot verify model.keras --against keras

recorded.npz has the inputs x0, x1, ... and the outputs y0, y1, ... that Keras computed. The exit \
status is 0 if all outputs agree, 1 if one differs, and 2 if they could not be compared.
"""

DEMO_EXAMPLE = """\
example:
  batchdot demo

It takes a few seconds. The exit status is 1 if accuracy or agreement with Keras is not as promised.
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


class _Parser(ArgumentParser):
    """Wraps all of its help, and reports an invalid argument on one line without the usage."""

    def __init__(self, **options: Any) -> None:
        self._names: list[str] = []
        super().__init__(formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def add_argument(self, *args: Any, **options: Any) -> Action:
        action = super().add_argument(*args, **options)
        self._names += action.option_strings
        return action

    def format_help(self) -> str:
        """Return the help at the terminal's width; argparse wraps neither examples nor long usages."""
        width = shutil.get_terminal_size().columns - 2  # as argparse does
        return "".join(f"{wrap_help(line, width)}\n" for line in super().format_help().splitlines())

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse the arguments of this parser, and refuse those that it does not know.

        argparse would first complain of what is missing, and name the help of the main parser.
        """
        before_dashes = list(takewhile("--".__ne__, args or []))
        if not self._subparsers:
            for argument in before_dashes:
                self._check_name(argument)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def _check_name(self, argument: str) -> None:
        name = argument.partition("=")[0]
        if name[:2] != "--" or name in self._names:
            return
        close = get_close_matches(name, self._names, 1)
        self.error(f"unrecognized arguments: {argument}" + (f"; did you mean {close[0]}?" if close else ""))

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def build_parser() -> ArgumentParser:
    """Build the parser. It stores the command as ``command`` and raises ValueError for invalid arguments."""
    parser = _Parser(
        prog="batchdot",
        description="Keras's dot products and saved models in PyTorch, on files and in words.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"batchdot {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def add(name: str, about: str, epilog: str) -> ArgumentParser:
        description = about[0].upper() + about[1:] + "."
        return commands.add_parser(name, help=about, description=description, epilog=epilog)

    _add_dot_arguments(
        add("dot", "compute the batch_dot of two arrays in files and write it to a file", DOT_EXAMPLE)
    )
    _add_top_k_arguments(
        add("top-k", "find the items with the largest dot products or cosines for each query", TOP_K_EXAMPLE)
    )
    _add_explain_arguments(
        add(
            "explain",
            "explain batch_dot of two shapes as a diagram, in words and in plain PyTorch",
            EXPLAIN_EXAMPLE,
        )
    )
    _add_inspect_arguments(
        add("inspect", "describe a model that Keras saved: its layers, shapes and weights", INSPECT_EXAMPLE)
    )
    _add_port_arguments(
        add("port", "port a model that Keras saved to a PyTorch module, as source and weights", PORT_EXAMPLE)
    )
    _add_verify_arguments(
        add("verify", "compare a ported model with what Keras computes, output by output", VERIFY_EXAMPLE)
    )
    add(
        "demo",
        "classify real handwritten digits by cosine, and compare with Keras and PyTorch",
        DEMO_EXAMPLE,
    )
    add(
        "info",
        "list versions, devices and kernels, with the reasons why a kernel is unavailable",
        INFO_EXAMPLE,
    )
    return parser


def _add_dot_arguments(command: ArgumentParser) -> None:
    command.add_argument("x", metavar="X", help=f"first array, of shape (B, ...): {FILE_HELP}")
    command.add_argument("y", metavar="Y", help="second array, of shape (B, ...), likewise")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write, likewise")
    _add_contraction_arguments(command)
    _add_work_arguments(command)


def _add_top_k_arguments(command: ArgumentParser) -> None:
    command.add_argument("queries", metavar="QUERIES", help=f"array of shape (Q, d): {FILE_HELP}")
    command.add_argument("items", metavar="ITEMS", help="array of shape (N, d), likewise")
    command.add_argument("-k", metavar="K", type=int, required=True, help="number of items for each query")
    command.add_argument("--scores", metavar="OUT", help="file to write the scores to, (Q, k)")
    command.add_argument("--indices", metavar="OUT", help="file to write the items' indices to, (Q, k) int64")
    command.add_argument(
        "--normalize", action="store_true", help="use cosines as scores: L2-normalize the rows first"
    )
    _add_work_arguments(command)


def _add_explain_arguments(command: ArgumentParser) -> None:
    command.add_argument(
        "x_shape", metavar="X_SHAPE", help='such as "(32, 64, 10)"; None or ? for an unknown size'
    )
    command.add_argument("y_shape", metavar="Y_SHAPE", help="likewise")
    _add_contraction_arguments(command)
    command.add_argument("--svg", metavar="FILE", help="also write the diagram to an .svg file")


def _add_model_arguments(command: ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="an .h5 or .keras file, or the JSON of to_json()")
    command.add_argument("--weights", metavar="FILE", help="file with the weights of a MODEL without weights")


def _add_translation_arguments(command: ArgumentParser) -> None:
    command.add_argument(
        "--custom",
        metavar="NAME=MODULE:FUNCTION",
        action="append",
        default=[],
        help="your translation of a layer, class or activation that Keras does not have; may be given again",
    )
    command.add_argument(
        "--channels", choices=["first"], help="take and return images as (B, C, H, W) (default: as in Keras)"
    )


def _add_port_arguments(command: ArgumentParser) -> None:
    _add_model_arguments(command)
    command.add_argument("-o", "--output", metavar="NAME.py", required=True, help="file to write")
    _add_translation_arguments(command)
    command.add_argument(
        "--with-batchdot", action="store_true", help="write batchdot.Dot for Dot layers, not plain PyTorch"
    )


def _add_verify_arguments(command: ArgumentParser) -> None:
    _add_model_arguments(command)
    command.add_argument("--data", metavar="IO.npz", help="inputs and outputs that Keras computed")
    command.add_argument(
        "--against", choices=["keras", "tf_keras"], help="run this Keras, if installed, on random inputs"
    )
    _add_translation_arguments(command)


def _add_inspect_arguments(command: ArgumentParser) -> None:
    _add_model_arguments(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.add_argument("--svg", metavar="FILE", help="also write the graph to an .svg file")


def _add_work_arguments(command: ArgumentParser) -> None:
    command.add_argument(
        "--epsilon",
        metavar="E",
        type=float,
        default=EPSILON,
        help=f"lower bound on the squared norm of a slice (default: {EPSILON:g}; Keras 3 has 1e-14)",
    )
    command.add_argument(
        "--dtype",
        metavar="DTYPE",
        help="cast both inputs first: float32, bfloat16, int64, ... (default: no cast)",
    )
    command.add_argument(
        "--progress",
        action=BooleanOptionalAction,
        help="show a progress bar after one second (default: if stderr is a terminal)",
    )


def _add_contraction_arguments(command: ArgumentParser) -> None:
    command.add_argument("--axes", metavar="AXES", help=AXES_HELP)
    command.add_argument(
        "--batch-dims",
        metavar="K",
        type=int,
        default=1,
        help="number of leading shared (batch) axes (default: 1)",
    )
    command.add_argument(
        "--normalize",
        action="store_true",
        help="compute cosines: L2-normalize along the contracted axes first",
    )


def join_negative_axes(argv: list[str]) -> list[str]:
    """Rewrite ``--axes -1,-2`` as ``--axes=-1,-2``: argparse would parse the value as an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--axes" and argument[:1] == "-" and argument[1:2].isdigit():
            joined[-1] = f"--axes={argument}"
        else:
            joined.append(argument)
    return joined
