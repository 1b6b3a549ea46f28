"""Deprecated: the module of `batch_dot`, `dot` and `plan` in version 0.1."""

import warnings

from batchdot.ops.functional import batch_dot, dot, plan

__all__ = ["batch_dot", "dot", "plan"]

warnings.warn(
    "batchdot.functional is no public module any more: import batch_dot, dot and plan from batchdot.",
    DeprecationWarning,
    stacklevel=2,
)
