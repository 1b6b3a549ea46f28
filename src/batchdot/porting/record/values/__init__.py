"""The classes of the record: a saved model as frozen values, equal for versions of Keras that agree.

A `ModelRecord` holds layers (`LayerRecord`) and calls that connect them (`Call`). Nothing here knows files.
"""

from batchdot.porting.record.values.call import Call, Mask
from batchdot.porting.record.values.config import (
    Activation,
    Blob,
    EllipsisIndex,
    Penalty,
    Shape,
    Slice,
    TensorRef,
    Value,
    refs_in,
)
from batchdot.porting.record.values.frozen_map import FrozenMap
from batchdot.porting.record.values.layer import LayerRecord, Weight
from batchdot.porting.record.values.model import ModelRecord, Written

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
    "refs_in",
]
