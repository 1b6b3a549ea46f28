"""Config: a model as Keras writes it, and from what Keras wrote.

Written in the form of tf.keras, which tf.keras reads; read in that form and in Keras 3's.
"""

import inspect
import json
from typing import Any

import numpy as np
from torch import Tensor

from batchdot.layers.base import registry as layer_registry
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure

VERSION = "2.21.0"
"""The tf.keras whose form is written."""


def write_json(model: Any, **kwargs: Any) -> str:
    """Return a model's config as JSON, as ``tf_keras.Model.to_json`` does."""
    document = {
        "class_name": "Functional",
        "config": model.get_config(),
        "keras_version": VERSION,
        "backend": "tensorflow",
    }
    return json.dumps(document, default=_write_plain, **kwargs)


def write_model(model: Any) -> dict[str, Any]:
    """Return the config of a functional model."""
    kept = {id(node) for node in model.nodes}
    index: dict[int, int] = {}
    for layer in model.layers:
        # tf.keras counts the model's own inputs as the first call of a model.
        nodes = [node for node in layer.inbound_nodes if id(node) in kept]
        index.update({id(node): number + _first_node(layer) for number, node in enumerate(nodes)})
    entries = []
    for layer in model.layers:
        entry: dict[str, Any] = layer_registry.serialize_layer(layer)
        if any(isinstance(leaf, Tensor) for leaf in flatten(entry["config"])):
            raise ValueError(
                f"Layer {layer.name} works with a tensor of its own, which a config cannot hold."
            )
        calls = [node for node in layer.inbound_nodes if id(node) in kept and node.inputs]
        entry |= {"name": layer.name, "inbound_nodes": [_write_node(node, index) for node in calls]}
        entries.append(entry)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": entries,
        "input_layers": [_write_tensor(tensor, index) for tensor in model.inputs],
        "output_layers": [_write_tensor(tensor, index) for tensor in model.outputs],
    }


def read_model(cls: Any, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """Make a functional model from its config.

    Raises:
        ValueError: an unknown layer, a part that is missing, or calls that refer to what is not there.
    """
    entries = config["layers"]
    parts = [(config, key) for key in ("input_layers", "output_layers")]
    for part, key in parts + [(entry, key) for entry in entries for key in ("config", "inbound_nodes")]:
        if key not in part:
            raise ValueError(f"The config of model {config.get('name')!r} lacks {key!r}.")
    layers = {
        entry["name"] if "name" in entry else entry["config"]["name"]: entry for entry in config["layers"]
    }
    made = {name: layer_registry.deserialize_layer(entry, custom_objects) for name, entry in layers.items()}
    waiting = [(made[name], call) for name, entry in layers.items() for call in entry["inbound_nodes"]]
    reader = _Reader(made)
    while waiting:
        blocked = []
        blocked_layers: set[int] = set()
        for layer, call in waiting:
            # The calls of a layer are made in order, so that their numbers are right.
            if id(layer) in blocked_layers or not reader.make(layer, call):
                blocked_layers.add(id(layer))
                blocked.append((layer, call))
        if len(blocked) == len(waiting):
            names = sorted({layer.name for layer, _ in blocked})
            raise ValueError(f"The config of model {config.get('name')!r} has calls without inputs: {names}.")
        waiting = blocked
    options = {key: config[key] for key in ("name", "trainable") if config.get(key) is not None}
    return cls(reader.tensors(config["input_layers"]), reader.tensors(config["output_layers"]), **options)


class _Reader:
    """Makes the calls of a config, once their inputs are there."""

    def __init__(self, layers: dict[str, Any]) -> None:
        self.layers = layers

    def make(self, layer: Any, call: Any) -> bool:
        """Make a call, or return that an input is not there yet."""
        try:
            args, kwargs = self.read_keras3(call) if isinstance(call, dict) else self.read_tf(call)
        except _MissingError:
            return False
        layer(*args, **kwargs)
        return True

    def read_tf(self, call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read ``[[name, node, tensor, kwargs], ...]``, or one of these for a function."""
        entries = [call] if isinstance(call[0], str) else call
        inputs = [self.tensor(entry[:3], form=2) for entry in entries]
        kwargs = entries[0][3] if len(entries[0]) > 3 else {}
        read = {key: self.argument(value) for key, value in kwargs.items()}
        return (inputs if len(inputs) > 1 else inputs[0],), read

    def argument(self, value: Any) -> Any:
        """Read an argument: a list of a name and two numbers is a tensor."""
        if (
            isinstance(value, list)
            and len(value) == 3
            and isinstance(value[0], str)
            and value[0] in self.layers
        ):
            return self.tensor(value, form=2)
        return [self.argument(item) for item in value] if isinstance(value, list) else value

    def read_keras3(self, call: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Read ``{"args": [...], "kwargs": {...}}`` with tensors as dictionaries."""

        def read(value: Any) -> Any:
            if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                return self.tensor(value["config"]["keras_history"], form=3)
            if isinstance(value, dict):
                return {key: read(item) for key, item in value.items()}
            return [read(item) for item in value] if isinstance(value, list) else value

        kwargs = {key: value for key, value in read(call.get("kwargs", {})).items() if value is not None}
        return tuple(read(call.get("args", []))), kwargs

    def tensor(self, history: Any, form: int) -> KerasTensor:
        """Return an output of a call that was made."""
        name, node, index = history
        if name not in self.layers:
            raise ValueError(f"The config of a model refers to layer {name!r}, which it does not have.")
        layer = self.layers[name]
        number = node - _first_node(layer) if form == 2 else node
        if number >= len(layer.inbound_nodes):
            raise _MissingError
        tensor: KerasTensor = layer.inbound_nodes[number].outputs[index]
        return tensor

    def tensors(self, entries: Any) -> Any:
        """Read the inputs or outputs of a model, in the structure they are written in."""
        if isinstance(entries, dict):
            return {key: self.tensors(value) for key, value in entries.items()}
        if entries and isinstance(entries[0], str):
            return self._either(entries)
        read = [self.tensors(entry) for entry in entries]
        return read if len(read) > 1 else read[0]

    def _either(self, entry: Any) -> KerasTensor:
        try:
            return self.tensor(entry[:3], form=2)
        except (_MissingError, IndexError):
            return self.tensor(entry[:3], form=3)


class _MissingError(Exception):
    """A call whose output is not there yet."""


def _first_node(layer: Any) -> int:
    return 1 if getattr(layer, "_program", None) is not None else 0


def _write_node(node: Node, index: dict[int, int]) -> list[Any]:
    """Write a call: its first argument as a list of tensors, each with the other arguments."""
    names = list(inspect.signature(type(node.layer).call).parameters)[1:]
    later = dict(zip(names[1:], node.args[1:], strict=False)) | node.kwargs

    def write(leaf: Any) -> Any:
        return _write_tensor(leaf, index) if is_keras_tensor(leaf) else _write_plain(leaf)

    kwargs = {key: map_structure(write, value) for key, value in later.items()}
    first = node.args[0] if node.args else []
    tensors = list(first) if isinstance(first, list | tuple) else [first]
    if not all(map(is_keras_tensor, tensors)):
        raise ValueError(
            f"Layer {node.layer.name} was called on more than symbolic tensors; a config cannot hold that."
        )
    return [[*_write_tensor(tensor, index), kwargs] for tensor in tensors]


def _write_tensor(tensor: KerasTensor, index: dict[int, int]) -> list[Any]:
    node = tensor.node
    assert node is not None
    return [node.layer.name, index[id(node)], tensor.index]


def _write_plain(value: Any) -> Any:
    """Write what JSON lacks: numpy's numbers and arrays, shapes."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, bool | int | float | str | type(None)) else str(value)
