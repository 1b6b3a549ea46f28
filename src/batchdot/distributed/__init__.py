"""Sharded tensors: `batch_dot`, `dot` and `Dot` of DTensors.

    contraction and placements ─► layout ─► run ─► the same operation, on the local shards

`layout` decides, as a pure function; `run` moves what has to be moved and runs; `cosine` is the
one case that is more than that, cosines whose contraction is sharded; `consistency` is a check to ask for.
Nothing here is loaded before a program has DTensors.
"""

from batchdot.distributed.consistency import agreement_checked, check_agreement
from batchdot.distributed.layout import Layout, lay_out

__all__ = ["Layout", "agreement_checked", "check_agreement", "lay_out"]
