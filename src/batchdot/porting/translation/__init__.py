"""Translation: one Keras layer, one function, from its config and weights to sub-modules and statements.

`translates` registers a function under the names of Keras's classes; see docs/developing/new-translation.md.
`layers` has those of layers, in files named after Keras's folders, and `operations` those of functions of
keras.ops and TensorFlow. Data flow: `saved_model`, `model` (a class: its ``forward``), `building` (its
``__init__``), `registry` (the function of a layer, which gets a `Layer` to build and a `Site` to call).
"""

from importlib import import_module

from batchdot.porting.translation.port import Options
from batchdot.porting.translation.registry import Entry, table
from batchdot.porting.translation.saved_model import translate

__all__ = ["Entry", "Options", "table", "translate"]

LAYERS = (
    *("activations", "core", "merging", "regularization", "reshaping"),
    *("convolution", "pooling", "spatial", "normalization", "preprocessing"),
    *("attention", "keras1", "bidirectional", "conv_lstm", "recurrent", "time_distributed"),
)
OPERATIONS = ("elementwise", "reductions", "shapes", "joining", "indexing")
"""The files that hold translations, in the folders ``layers`` and ``operations``."""

for _file in (*(f"layers.{name}" for name in LAYERS), *(f"operations.{name}" for name in OPERATIONS)):
    import_module(f"{__name__}.{_file}")
