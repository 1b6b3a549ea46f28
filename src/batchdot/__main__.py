"""``python -m batchdot`` is the command line."""

import sys

from batchdot.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
