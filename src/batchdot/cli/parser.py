"""The arguments of the command line: what each command takes, and how its help says so."""

from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from typing import Any, NoReturn

from batchdot import __version__

AXES_HELP = (
    "axes to sum over: 1 or -1 for both inputs, 1,2 for axis 1 of X and axis 2 of Y, 1+2,2+3 for several "
    "(1 of X with 2 of Y, 2 with 3). Without it, the last axis of X with the second-to-last of Y, or with "
    "the last where Y has two axes"
)

FILE_HELP = "FILE.npy, FILE.safetensors or FILE.safetensors:TENSOR"

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


class _Parser(ArgumentParser):
    """Keeps the lines of its examples; says what is wrong in one, rather than under the whole usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def build_parser() -> ArgumentParser:
    """Return the parser, which gives the name of a command as ``command`` and raises ValueError."""
    parser = _Parser(
        prog="batchdot", description="Keras's dot products in PyTorch, on files and in words.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"batchdot {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def add(name: str, about: str, epilog: str) -> ArgumentParser:
        description = about[0].upper() + about[1:] + "."
        return commands.add_parser(name, help=about, description=description, epilog=epilog)

    _add_dot_arguments(
        add("dot", "contract the arrays of two files, sample by sample, into a third", DOT_EXAMPLE)
    )
    _add_top_k_arguments(
        add("top-k", "find the items with the largest dot products or cosines for each query", TOP_K_EXAMPLE)
    )
    _add_explain_arguments(
        add(
            "explain",
            "draw and say what batch_dot does to two shapes, and write it in plain PyTorch",
            EXPLAIN_EXAMPLE,
        )
    )
    add(
        "demo",
        "recognize real handwritten digits by cosine, and compare with Keras and PyTorch",
        DEMO_EXAMPLE,
    )
    add("info", "list versions, devices and kernels, and why one is unavailable", INFO_EXAMPLE)
    return parser


def _add_dot_arguments(command: ArgumentParser) -> None:
    command.add_argument("x", metavar="X", help=f"array of shape (B, ...): {FILE_HELP}")
    command.add_argument("y", metavar="Y", help="array of shape (B, ...), likewise")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write, likewise")
    _add_contraction_arguments(command)
    _add_work_arguments(command)


def _add_top_k_arguments(command: ArgumentParser) -> None:
    command.add_argument("queries", metavar="QUERIES", help=f"array of shape (Q, d): {FILE_HELP}")
    command.add_argument("items", metavar="ITEMS", help="array of shape (N, d), likewise")
    command.add_argument("-k", metavar="K", type=int, required=True, help="how many items for each query")
    command.add_argument("--scores", metavar="OUT", help="file to write the scores to, (Q, k)")
    command.add_argument("--indices", metavar="OUT", help="file to write the items' indices to, (Q, k) int64")
    command.add_argument(
        "--normalize", action="store_true", help="compare cosines: L2-normalize the rows first"
    )
    _add_work_arguments(command)


def _add_explain_arguments(command: ArgumentParser) -> None:
    command.add_argument(
        "x_shape", metavar="X_SHAPE", help='as "(32, 64, 10)"; None or ? for an unknown size'
    )
    command.add_argument("y_shape", metavar="Y_SHAPE", help="likewise")
    _add_contraction_arguments(command)
    command.add_argument("--svg", metavar="FILE", help="also write the picture to an .svg file, for a slide")


def _add_work_arguments(command: ArgumentParser) -> None:
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
        action=BooleanOptionalAction,
        help="show a progress bar when it takes longer than a second (default: on a terminal)",
    )


def _add_contraction_arguments(command: ArgumentParser) -> None:
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


def join_negative_axes(argv: list[str]) -> list[str]:
    """Write ``--axes -1,-2`` as ``--axes=-1,-2``: argparse takes the value for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--axes" and argument[:1] == "-" and argument[1:2].isdigit():
            joined[-1] = f"--axes={argument}"
        else:
            joined.append(argument)
    return joined
