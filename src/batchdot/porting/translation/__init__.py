"""Translation: one Keras layer, one function, from its config and weights to sub-modules and statements.

`translates` registers a function under the names of Keras's classes; see docs/developing/new-translation.md.
Files are named after the folders of Keras's layers.
"""

from importlib import import_module

from batchdot.porting.translation.port import Options
from batchdot.porting.translation.registry import Entry, table
from batchdot.porting.translation.translate import translate

__all__ = ["Entry", "Options", "table", "translate"]

FILES = (
    *("activations", "core", "merging", "regularization", "reshaping"),
    *("convolution", "pooling", "spatial", "normalization", "preprocessing"),
    *("attention", "keras1", "operations", "reductions", "rearranging", "indexing"),
    *("bidirectional", "conv_lstm", "recurrent", "time_distributed"),
)
"""The files that hold translations."""

for _file in FILES:
    import_module(f"{__name__}.{_file}")
