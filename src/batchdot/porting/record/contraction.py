"""Where the record takes the pure contraction from: the one line that knows its module."""

from batchdot.contraction import Contraction

__all__ = ["Contraction"]
