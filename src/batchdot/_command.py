"""The first code of the command line: from here on Ctrl-C ends ``batchdot`` without a traceback.

Python imports the package before `batchdot.cli` can set handlers of signals, which takes a while, and a
KeyboardInterrupt would print what was being imported. Where the package is only used, nothing happens here.
"""

import os
import sys


def _is_command() -> bool:
    """Whether this process is ``batchdot`` or ``python -m batchdot``, not a program that uses the package."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while the module's package is imported
        return not {"batchdot", "-mbatchdot"}.isdisjoint(sys.orig_argv)
    return os.path.splitext(os.path.basename(program))[0] == "batchdot"


if _is_command():
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as by nohup
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        os._exit(130)
