"""Sharded tensors: `batch_dot`, `dot` and `Dot` of DTensors.

    contraction and placements ─► placements ─► execution ─► the same operation, on the local shards

`placements` decides, as a pure function; `execution` moves what has to be moved and runs; `cosine` is the
one case that is more than that, cosines whose contraction is sharded; `agreement` is a check to ask for.
Nothing here is loaded before a program has DTensors.
"""

from batchdot.sharding.agreement import agreement_checked, check_agreement
from batchdot.sharding.placements import Layout, lay_out

__all__ = ["Layout", "agreement_checked", "check_agreement", "lay_out"]
