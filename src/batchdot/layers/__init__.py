"""Keras layers as torch modules, one file each, in Keras's folders; `base` is their common base class."""

from typing import TYPE_CHECKING

import batchdot.arrays.operations  # lets configs name the operations of Keras 3
import batchdot.arrays.operators  # noqa: F401  # gives symbolic tensors their operators
from batchdot.keras_names.lookup import module_attribute
from batchdot.layers.activations.activation import Activation
from batchdot.layers.activations.softmax import Softmax
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import deserialize_layer as deserialize
from batchdot.layers.base.registry import serialize_layer as serialize
from batchdot.layers.core.dense import Dense
from batchdot.layers.core.embedding import Embedding
from batchdot.layers.core.function import FunctionLayer as Function
from batchdot.layers.core.input import Input, InputLayer
from batchdot.layers.core.lambda_layer import Lambda
from batchdot.layers.core.masking import Masking
from batchdot.layers.core.torch_module_wrapper import TorchModuleWrapper
from batchdot.layers.merging.base import (
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
from batchdot.layers.merging.concatenate import Concatenate, concatenate
from batchdot.layers.merging.dot import Dot, dot
from batchdot.layers.regularization.dropout import Dropout
from batchdot.layers.reshaping.flatten import Flatten
from batchdot.layers.reshaping.permute import Permute
from batchdot.layers.reshaping.repeat_vector import RepeatVector
from batchdot.layers.reshaping.reshape import Reshape

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
    "TorchModuleWrapper",
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


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)
