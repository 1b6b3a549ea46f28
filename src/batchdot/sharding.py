"""Deprecated: the name that `batchdot.distributed` had in version 0.1."""

import warnings

from batchdot.distributed import *  # noqa: F403
from batchdot.distributed import __all__ as __all__

warnings.warn("batchdot.sharding is batchdot.distributed now.", DeprecationWarning, stacklevel=2)
