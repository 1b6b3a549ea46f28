"""Source: a program as the text of a Python file, formatted as ``ruff format`` leaves it, and checked.

`library` finds the helpers that a program uses, `layout` breaks lines, `writer` writes the file, and `check`
parses it and compares it with what translations may write. Data flow: Program -> text -> checked text.
"""

from batchdot.porting.source.check import check
from batchdot.porting.source.library import helper_names
from batchdot.porting.source.writer import write

__all__ = ["check", "helper_names", "write"]
