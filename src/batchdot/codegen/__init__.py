"""Code generation: Python functions as text, for models to run and for ported files to be read.

`names` makes identifiers, `functions` writes a function statement by statement, `lines` breaks what is too
long as ``ruff format`` does. What the statements are is the caller's matter: `models/program.py` calls layers
that exist and checks its tensors, `porting/source` builds layers and says shapes. Data flow: names and
expressions, `Function`, text or callable.
"""

from batchdot.codegen.functions import Function, Structure, write_structure
from batchdot.codegen.lines import INDENT, WIDTH
from batchdot.codegen.names import identifier

__all__ = ["INDENT", "WIDTH", "Function", "Structure", "identifier", "write_structure"]
