"""Serialization: a functional model as a config, and from one.

Written in the form of tf.keras 2.21, which tf.keras reads; read in that form and in Keras 3's.
"""

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from batchdot.layers.base import registry as layer_registry
from batchdot.layers.base.naming import as_automatic, snake_case
from batchdot.models.operations import OperationCalls, is_operation
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure, unpack_singleton

VERSION = "2.21.0"
"""The version of tf.keras whose form is written."""


def model_to_json(model: Any, **kwargs: Any) -> str:
    """Return a model's config as JSON, as ``tf_keras.Model.to_json`` does."""
    document = layer_registry.serialize_layer(model) | {"keras_version": VERSION, "backend": "tensorflow"}
    return json.dumps(document, default=_to_json_value, **kwargs)


def model_config(model: Any) -> dict[str, Any]:
    """Return the config of a functional model: its layers with their calls, its inputs and outputs.

    Raises:
        ValueError: the graph holds a tensor, or a call that tf.keras has no form for.
    """
    nodes = {id(node) for node in model.nodes}
    # A call is referred to by the layer's name and the number of the call, among those in this graph.
    node_index: dict[int, int] = {}
    for layer in model.layers:
        calls = [node for node in layer.inbound_nodes if id(node) in nodes]
        node_index.update({id(node): number for number, node in enumerate(calls, _first_call(layer))})
    entries = []
    for layer in model.layers:
        entry: dict[str, Any] = layer_registry.serialize_layer(layer)
        if any(isinstance(leaf, Tensor) for leaf in flatten(entry["config"])):
            raise ValueError(
                f"Layer {layer.name} works with a tensor of its own, which a config cannot hold."
            )
        calls = [node for node in layer.inbound_nodes if id(node) in nodes and node.inputs]
        entry |= {"name": layer.name, "inbound_nodes": [_call_config(node, node_index) for node in calls]}
        entries.append(entry)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": entries,
        "input_layers": [_tensor_config(tensor, node_index) for tensor in model.inputs],
        "output_layers": [_tensor_config(tensor, node_index) for tensor in model.outputs],
    }


def model_from_graph_config(
    cls: Any, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> Any:
    """Make a functional model from its config.

    Args:
        cls: the class to make.
        config: what `model_config` returned, or Keras wrote.
        custom_objects: classes and functions by the names that the config has for them.

    Raises:
        ValueError: an unknown layer, a part that is missing, or a call that refers to what is not there.
    """
    name = config.get("name")
    entries = config["layers"]
    parts = [(config, key) for key in ("input_layers", "output_layers")]
    for part, key in parts + [(entry, key) for entry in entries for key in ("config", "inbound_nodes")]:
        if key not in part:
            raise ValueError(f"The config of model {name!r} lacks {key!r}.")
    by_name = {entry["name"] if "name" in entry else entry["config"]["name"]: entry for entry in entries}
    layers = {
        key: OperationCalls(entry)
        if is_operation(entry)
        else recognize_automatic_name(layer_registry.deserialize_layer(entry, custom_objects))
        for key, entry in by_name.items()
    }
    calls = [(layers[key], call) for key, entry in by_name.items() for call in entry["inbound_nodes"]]
    first_calls = {key: _first_call(layer) for key, layer in layers.items()}
    is_keras_3 = any(isinstance(call, dict) for _, call in calls)
    reader = _GraphReader(layers, dict.fromkeys(layers, 0) if is_keras_3 else first_calls)
    reader.replay(calls, name)
    if is_keras_3:  # counts calls from 0, but those of a Functional from 1 among inputs and outputs
        is_sequential = {key: entry.get("class_name") == "Sequential" for key, entry in by_name.items()}
        reader.first_calls = {key: 0 if is_sequential[key] else first for key, first in first_calls.items()}
    options = {key: config[key] for key in ("name", "trainable") if config.get(key) is not None}
    return cls(reader.tensors(config["input_layers"]), reader.tensors(config["output_layers"]), **options)


def recognize_automatic_name(layer: Any) -> Any:
    """Return a layer from a config, whose name, if Keras or this library made it, gives no key of its own."""
    name = type(layer).__name__
    bases = ["model", "functional"] if name == "Functional" else [snake_case(name)]
    layer.__dict__["_name"] = as_automatic(layer.name, bases)
    return layer


_KERAS_3_VALUES: dict[str, Callable[..., Any]] = {
    "__slice__": lambda start, stop, step: slice(start, stop, step),
    "__ellipsis__": lambda: Ellipsis,
    "__numpy__": lambda value, dtype: np.array(value, dtype),
    "__tensor__": lambda value, dtype: np.array(value, dtype),
}
"""Arguments of calls that Keras 3 writes as a class with a config."""


class _GraphReader:
    """Repeats the calls of a config on symbolic tensors.

    Args:
        layers: the layers by name.
        first_calls: the number that the config gives to the first call of each.
    """

    def __init__(self, layers: dict[str, Any], first_calls: dict[str, int]) -> None:
        self.layers = layers
        self.first_calls = first_calls

    def replay(self, calls: list[tuple[Any, Any]], model_name: Any) -> None:
        """Make the calls, each as soon as its inputs are there.

        Raises:
            ValueError: calls wait for each other.
        """
        while calls:
            waiting: list[tuple[Any, Any]] = []
            blocked: set[int] = set()
            for layer, call in calls:
                # A layer's calls keep their order, so that their numbers stay right.
                if id(layer) in blocked or not self.make(layer, call):
                    blocked.add(id(layer))
                    waiting.append((layer, call))
            if len(waiting) == len(calls):
                names = sorted({layer.name for layer, _ in waiting})
                raise ValueError(f"The config of model {model_name!r} has calls without inputs: {names}.")
            calls = waiting

    def make(self, layer: Any, call: Any) -> bool:
        """Make a call, or return False if an input is not there yet."""
        try:
            read = self.keras_3_arguments if isinstance(call, dict) else self.tf_keras_arguments
            args, kwargs = read(call)
        except _NotYetCalledError:
            return False
        layer(*args, **kwargs)
        return True

    def tf_keras_arguments(self, call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read ``[[name, node, tensor, kwargs], ...]``, or one of these for a function."""
        entries = [call] if isinstance(call[0], str) else call
        inputs = [self.tensor(entry[:3]) for entry in entries]
        kwargs = entries[0][3] if len(entries[0]) > 3 else {}
        return (unpack_singleton(inputs),), {key: self.tf_keras_value(value) for key, value in kwargs.items()}

    def tf_keras_value(self, value: Any) -> Any:
        """Read a keyword argument: a list of a layer's name and two numbers is a tensor."""
        if not isinstance(value, list):
            return value
        if len(value) == 3 and isinstance(value[0], str) and value[0] in self.layers:
            return self.tensor(value)
        return [self.tf_keras_value(item) for item in value]

    def keras_3_arguments(self, call: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read ``{"args": [...], "kwargs": {...}}``, in which tensors are dictionaries."""

        def read(value: Any) -> Any:
            if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                return self.tensor(value["config"]["keras_history"])
            if isinstance(value, dict) and value.get("class_name") in _KERAS_3_VALUES:
                return _KERAS_3_VALUES[value["class_name"]](**value["config"])
            if isinstance(value, dict):
                return {key: read(item) for key, item in value.items()}
            return [read(item) for item in value] if isinstance(value, list) else value

        kwargs = {key: value for key, value in read(call.get("kwargs", {})).items() if value is not None}
        return tuple(read(call.get("args", []))), kwargs

    def tensor(self, history: Any) -> KerasTensor:
        """Return the output of a call: of a layer's name, the call's number and the output's.

        Raises:
            ValueError: there is no such layer.
            _NotYetCalledError: there is no such call yet.
        """
        name, node, index = history
        if name not in self.layers:
            raise ValueError(f"The config of a model refers to layer {name!r}, which it does not have.")
        nodes = self.layers[name].inbound_nodes
        number = node - self.first_calls[name]
        if not 0 <= number < len(nodes):
            raise _NotYetCalledError(f"The config of a model refers to call {node} of layer {name!r}.")
        tensor: KerasTensor = nodes[number].outputs[index]
        return tensor

    def tensors(self, entries: Any) -> Any:
        """Read the inputs or outputs of a model, in the structure they were written in."""
        if isinstance(entries, dict):
            return {key: self.tensors(value) for key, value in entries.items()}
        if entries and isinstance(entries[0], str):
            return self.tensor(entries[:3])
        return unpack_singleton([self.tensors(entry) for entry in entries])


class _NotYetCalledError(ValueError):
    """A call whose output is not there yet."""


def _first_call(layer: Any) -> int:
    """Return the number of a layer's first call: tf.keras counts the graph of a model as its call 0."""
    return 1 if layer.built and "_program" in layer.__dict__ else 0


def _call_config(node: Node, node_index: dict[int, int]) -> list[Any]:
    """Return a call in tf.keras's form: the tensors of its first argument, each with the other arguments."""
    names = list(inspect.signature(type(node.layer).call).parameters)[1:]
    later = dict(zip(names[1:], node.args[1:], strict=False)) | node.kwargs

    def write(leaf: Any) -> Any:
        return _tensor_config(leaf, node_index) if is_keras_tensor(leaf) else _to_json_value(leaf)

    kwargs = {key: map_structure(write, value) for key, value in later.items()}
    first = node.args[0] if node.args else []
    tensors = list(first) if isinstance(first, list | tuple) else [first]
    if not all(map(is_keras_tensor, tensors)):
        raise ValueError(
            f"Layer {node.layer.name} was called on more than symbolic tensors; a config cannot hold that."
        )
    return [[*_tensor_config(tensor, node_index), kwargs] for tensor in tensors]


def _tensor_config(tensor: KerasTensor, node_index: dict[int, int]) -> list[Any]:
    """Return ``[layer name, number of the call, number of the output]``."""
    node = tensor.node
    assert node is not None
    return [node.layer.name, node_index[id(node)], tensor.index]


def _to_json_value(value: Any) -> Any:
    """Return a value that JSON has for one that it lacks: numpy numbers and arrays, shapes."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, bool | int | float | str | type(None)) else str(value)
