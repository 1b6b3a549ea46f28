"""Records: from an archive to one frozen value; all knowledge of versions of Keras ends here."""

from batchdot.porting.record.build import record_of
from batchdot.porting.record.values import (
    Activation,
    Blob,
    Call,
    Ellipsis_,
    FrozenMap,
    LayerRecord,
    Mask,
    ModelRecord,
    Penalty,
    Slice,
    TensorRef,
    Weight,
    Written,
)

__all__ = [
    "Activation",
    "Blob",
    "Call",
    "Ellipsis_",
    "FrozenMap",
    "LayerRecord",
    "Mask",
    "ModelRecord",
    "Penalty",
    "Slice",
    "TensorRef",
    "Weight",
    "Written",
    "record_of",
]
