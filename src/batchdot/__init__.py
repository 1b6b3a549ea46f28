"""Keras's dot products in PyTorch: `batch_dot`, `dot`, `Dot`, and `explain` for what they do.

``import batchdot as keras`` is the one-line port: layers, `Input`, `Model`, `backend` answer under
their Keras names.
"""

__version__ = "0.1.0"

from batchdot import activations, backend, constraints, initializers, layers, models, regularizers
from batchdot.errors import AxisError, NotConnectedError
from batchdot.explain import explain
from batchdot.functional import batch_dot, dot
from batchdot.graph.model import Model
from batchdot.layers import Dot, Input, Layer
from batchdot.retrieval import top_k

__all__ = [
    "AxisError",
    "Dot",
    "Input",
    "Layer",
    "Model",
    "NotConnectedError",
    "activations",
    "backend",
    "batch_dot",
    "constraints",
    "dot",
    "explain",
    "initializers",
    "layers",
    "models",
    "regularizers",
    "top_k",
]
