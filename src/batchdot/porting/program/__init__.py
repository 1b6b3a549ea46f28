"""Program: the sub-modules and statements of PyTorch modules, as text that is not laid out yet.

It knows nothing of Keras: `batchdot.porting.translation` makes programs, and `source` prints them.
"""

from batchdot.porting.program.body import Body
from batchdot.porting.program.layout import channels_first, channels_last
from batchdot.porting.program.names import Names
from batchdot.porting.program.shortening import attributes_in
from batchdot.porting.program.values import (
    Array,
    Function,
    Kind,
    Loop,
    ModelClass,
    Program,
    Statement,
    Submodule,
    Value,
    leaves,
)

__all__ = [
    "Array",
    "Body",
    "Function",
    "Kind",
    "Loop",
    "ModelClass",
    "Names",
    "Program",
    "Statement",
    "Submodule",
    "Value",
    "attributes_in",
    "channels_first",
    "channels_last",
    "leaves",
]
