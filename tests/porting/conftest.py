"""Where the tests of porting find their helpers."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
for folder in (FOLDER, FOLDER / "attacks"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
