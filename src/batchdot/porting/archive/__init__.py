"""Archives: read the config and the named arrays of a saved Keras model from bytes, within limits.

This package knows nothing of layers. Nothing that a file names is imported, executed, unpickled or opened.
"""

from batchdot.porting.archive.container import Archive, Weights, open_archive, open_weights
from batchdot.porting.archive.json_text import Json
from batchdot.porting.archive.weights import Array, LegacyWeights, ObjectWeights

__all__ = [
    "Archive",
    "Array",
    "Json",
    "LegacyWeights",
    "ObjectWeights",
    "Weights",
    "open_archive",
    "open_weights",
]
