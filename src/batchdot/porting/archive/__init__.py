"""Archives: from bytes to a config and arrays by name. Strict, bounded; knows nothing of layers.

Nothing that a file names is imported, executed, unpickled or opened.
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
