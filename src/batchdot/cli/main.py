"""Entry point of the `batchdot` command: parses arguments, runs a command, prints errors on one line.

Nothing here imports torch or numpy: ``--help`` and ``--version`` answer without them.
"""

import os
import sys
from collections.abc import Sequence

from batchdot.cli.commands import COMMANDS
from batchdot.cli.parser import build_parser, join_negative_axes
from batchdot.cli.signals import Terminated, raise_on_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 for success, 1 if `demo` fails, 2 for an invalid argument or file, 128 plus
        the number of the signal after a termination signal.
    """
    try:
        with raise_on_signals():
            status = _run(sys.argv[1:] if argv is None else list(argv))
            sys.stdout.flush()
            return status
    except SystemExit as stop:  # argparse, after --help or --version
        return int(stop.code or 0)
    except Terminated as stop:
        return _print_error(stop.reason, 128 + stop.signal)
    except KeyboardInterrupt:
        return _print_error("interrupted", 130)
    except BrokenPipeError:  # the reader has closed the pipe, as in `batchdot info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        reason = error.strerror or str(error)
        return _print_error(reason if error.filename is None else f"{error.filename}: {reason}", 2)
    except (ValueError, TypeError, MemoryError) as error:
        return _print_error(str(error), 2)


def _run(argv: list[str]) -> int:
    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(join_negative_axes(argv))
    return COMMANDS[arguments.command](arguments)


def _print_error(reason: str, status: int) -> int:
    print("batchdot: " + " ".join(reason.split("\n")), file=sys.stderr)
    return status
