"""Symbolic tensors: a shape and a dtype that flow where numbers will."""

from batchdot.graph.tensor import KerasTensor, is_keras_tensor

__all__ = ["KerasTensor", "is_keras_tensor"]
