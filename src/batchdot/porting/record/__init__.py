"""Records: a saved model as one frozen value that is the same for every version of Keras.

All knowledge of the versions is in this package: code that uses a record never asks for one.
"""

from batchdot.porting.record.build import record_of
from batchdot.porting.record.values import (
    Activation,
    Blob,
    Call,
    EllipsisIndex,
    FrozenMap,
    LayerRecord,
    Mask,
    ModelRecord,
    Penalty,
    Shape,
    Slice,
    TensorRef,
    Value,
    Weight,
    Written,
)

__all__ = [
    "Activation",
    "Blob",
    "Call",
    "EllipsisIndex",
    "FrozenMap",
    "LayerRecord",
    "Mask",
    "ModelRecord",
    "Penalty",
    "Shape",
    "Slice",
    "TensorRef",
    "Value",
    "Weight",
    "Written",
    "record_of",
]
