"""`batch_dot`, `dot` and `Dot` of DTensors (torch.distributed).

    contraction and placements -> layout -> run -> the same operation on the local shards

`layout` decides how to redistribute, as a pure function; `run` redistributes and runs; `cosine` is the one
case that needs more: cosines whose contracted axes are sharded. `consistency` is an optional check. Nothing
here is loaded before a program has DTensors.
"""

from batchdot.distributed.consistency import agreement_checked, check_agreement
from batchdot.distributed.layout import ShardingPlan, plan_sharding

__all__ = ["ShardingPlan", "agreement_checked", "check_agreement", "plan_sharding"]


def __dir__() -> list[str]:
    return sorted(__all__)
