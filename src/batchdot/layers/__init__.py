"""Layers: one file each."""

import batchdot.graph.operators  # noqa: F401  # symbolic tensors take part in arithmetic
from batchdot.layers.activation import Activation
from batchdot.layers.base import Layer
from batchdot.layers.concatenate import Concatenate, concatenate
from batchdot.layers.dense import Dense
from batchdot.layers.dot import Dot, dot
from batchdot.layers.dropout import Dropout
from batchdot.layers.embedding import Embedding
from batchdot.layers.flatten import Flatten
from batchdot.layers.function import Function
from batchdot.layers.input import Input, InputLayer
from batchdot.layers.lambda_layer import Lambda
from batchdot.layers.masking import Masking
from batchdot.layers.merge import (
    Add,
    Average,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    maximum,
    minimum,
    multiply,
    subtract,
)
from batchdot.layers.permute import Permute
from batchdot.layers.registry import deserialize_layer as deserialize
from batchdot.layers.registry import serialize_layer as serialize
from batchdot.layers.repeat_vector import RepeatVector
from batchdot.layers.reshape import Reshape
from batchdot.layers.softmax import Softmax

__all__ = [
    "Activation",
    "Add",
    "Average",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "Function",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "Masking",
    "Maximum",
    "Minimum",
    "Multiply",
    "Permute",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
