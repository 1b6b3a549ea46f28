"""Deprecated: the name that `batchdot.distributed` had in version 0.1."""

import warnings
from typing import Any

from batchdot import distributed
from batchdot.distributed import agreement_checked, check_agreement

__all__ = ["agreement_checked", "check_agreement"]

_RENAMED = {"Layout": "ShardingPlan", "lay_out": "plan_sharding"}

warnings.warn("batchdot.sharding is batchdot.distributed now.", DeprecationWarning, stacklevel=2)


def __getattr__(name: str) -> Any:
    """Return what a name of version 0.1 stands for, with a warning."""
    if name not in _RENAMED:
        raise AttributeError(f"module 'batchdot.sharding' has no attribute {name!r}")
    new = _RENAMED[name]
    warnings.warn(
        f"batchdot.sharding.{name} is batchdot.distributed.{new} now.", DeprecationWarning, stacklevel=2
    )
    return getattr(distributed, new)
