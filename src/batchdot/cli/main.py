"""Entry point of the `batchdot` command: parses arguments, runs a command, prints errors on one line.

Nothing here imports torch or numpy: ``--help``, ``--version`` and invalid arguments are answered without
them. The handlers of signals are set before anything else is imported.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module

from batchdot.cli.commands import COMMANDS, libraries
from batchdot.cli.output import StandardOutput, discard, open_closed_streams, print_error
from batchdot.cli.signals import Terminated, exit_on_signals, raise_on_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 for success, 1 if `demo` fails, 2 for an invalid argument or file, 128 plus
        the number of the signal after a termination signal.
    """
    with exit_on_signals():
        open_closed_streams()
        with redirect_stdout(StandardOutput(sys.stdout)):
            status, reason = _run_with_errors(sys.argv[1:] if argv is None else list(argv))
        if reason:
            print_error(reason)
        return status


def _run_with_errors(argv: list[str]) -> tuple[int, str]:
    """Run a command; return the exit status, and for an error its reason."""
    status = 0
    try:
        try:
            status = _run(argv)
        except SystemExit as stop:  # argparse, after --help or --version
            status = int(stop.code or 0)
        sys.stdout.flush()
        return status, ""
    except Terminated as stop:
        return 128 + stop.signal, stop.reason
    except KeyboardInterrupt:
        return 130, "interrupted"
    except BrokenPipeError:  # the reader has closed the pipe, as in `batchdot info | head -1`
        discard(sys.stdout)
        return status, ""
    except OSError as error:
        discard(sys.stdout)  # a full disk fails again when the process flushes at its end
        reason = error.strerror or str(error)
        if error.filename is not None:
            reason = f"cannot open {error.filename or repr('')}: {_lower(reason)}"
        return 2, reason
    except MemoryError as error:
        return 2, str(error) or "there is not enough memory"
    except (ValueError, TypeError, ImportError) as error:
        return 2, "; ".join(str(error).splitlines())


def _run(argv: list[str]) -> int:
    from batchdot.cli.parser import build_parser, join_negative_axes

    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(join_negative_axes(argv))
    for name in libraries(arguments):
        import_module(name)
    with raise_on_signals():
        return COMMANDS[arguments.command](arguments)


def _lower(reason: str) -> str:
    return reason[:1].lower() + reason[1:]
