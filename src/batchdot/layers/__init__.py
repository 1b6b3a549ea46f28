"""Layers: one file each."""

import batchdot.graph.operators  # noqa: F401  # symbolic tensors take part in arithmetic
from batchdot.layers.base import Layer
from batchdot.layers.dot import Dot, dot
from batchdot.layers.function import Function
from batchdot.layers.input import Input, InputLayer
from batchdot.layers.registry import deserialize_layer as deserialize
from batchdot.layers.registry import serialize_layer as serialize

__all__ = ["Dot", "Function", "Input", "InputLayer", "Layer", "deserialize", "dot", "serialize"]
