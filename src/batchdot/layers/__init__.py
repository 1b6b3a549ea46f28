"""Layers: one file each."""

from batchdot.layers.base import Layer
from batchdot.layers.dot import Dot, dot

__all__ = ["Dot", "Layer", "dot"]
