"""Source: a program as the text of a Python file, formatted as ``ruff format`` leaves it, and checked.

`library` finds the helpers that a program uses, `writer` writes the file with the generator that models use
(`batchdot.codegen`), and `checking` parses it and compares it with what translations may write.
Data flow: program, text, checked text.
"""

from batchdot.porting.source.checking import check
from batchdot.porting.source.library import helper_names
from batchdot.porting.source.writer import write

__all__ = ["check", "helper_names", "write"]
