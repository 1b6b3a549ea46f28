"""Keras's dot products in PyTorch: `batch_dot`, `dot`, `Dot`, and `explain` for what they do."""

__version__ = "0.1.0"

from batchdot import backend, layers
from batchdot.errors import AxisError
from batchdot.explain import explain
from batchdot.functional import batch_dot, dot
from batchdot.layers import Dot

__all__ = ["AxisError", "Dot", "backend", "batch_dot", "dot", "explain", "layers"]
