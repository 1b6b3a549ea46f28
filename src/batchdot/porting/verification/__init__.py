"""Verification: compare a ported model with what Keras computes, output by output and layer by layer.

Keras's side is a file of recorded inputs and outputs (`recorded`), or Keras itself on random inputs that
fit the model (`inputs`, `live`).
"""

from batchdot.porting.verification.report import Comparison, Verification
from batchdot.porting.verification.verify import verify_record

__all__ = ["Comparison", "Verification", "verify_record"]
