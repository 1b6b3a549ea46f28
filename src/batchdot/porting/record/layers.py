"""Read one entry of a model's list of layers: its class, its arguments and its inner layers."""

from collections.abc import Callable
from dataclasses import replace

from batchdot.porting.archive import Json
from batchdot.porting.archive.limits import MAX_CELLS
from batchdot.porting.errors import quote
from batchdot.porting.record import keras1, operations
from batchdot.porting.record.classes import SPECS, parse_config
from batchdot.porting.record.classes.core import STRINGS
from batchdot.porting.record.dtypes import dtype_name, quantization
from batchdot.porting.record.era import Era
from batchdot.porting.record.item import Item
from batchdot.porting.record.operation_names import PARAMETERS
from batchdot.porting.record.values import Activation, Blob, FrozenMap, LayerRecord, Value

MODELS = ("Model", "Functional", "Sequential")

WRAPPERS = ("Bidirectional", "TimeDistributed", "SpectralNormalization")
"""Layers around another layer."""

OWN_MODULES = ("keras.", "tf_keras.", "tensorflow.", "keras_core.")

ReadModel = Callable[[Item, str], LayerRecord]


def read_layer(entry: Item, era: Era, read_model: ReadModel) -> LayerRecord:
    """Return a layer, without weights.

    Args:
        entry: an object with ``class_name`` and ``config``.
        era: who wrote it.
        read_model: reads a nested model.

    Raises:
        ModelFileError: the entry is damaged.
    """
    class_name = entry.get("class_name").name()
    config = entry.get("config")
    name = layer_name(entry)
    if _is_model(class_name, config) and not _is_foreign(entry):
        record = read_model(entry, name)
        trainable = not isinstance(config.value, dict) or config.get("trainable").value is not False
        return replace(record, trainable=trainable)
    if not isinstance(config.value, dict):
        raise config.wrong("an object")
    trainable = config.get("trainable").value is not False
    dtype = dtype_name(config.get("dtype")) if config.has("dtype") else None
    if is_operation(entry, era):
        kind, settings, problem = operations.read_operation(class_name, config)
        return LayerRecord(
            name, "operation", kind, FrozenMap(settings), problem=problem or _lost(kind, entry)
        )
    if era.family == "keras1":
        class_name, config = keras1.upgrade(class_name, config)
    if class_name not in SPECS or _is_foreign(entry):
        return _custom(name, class_name, config, trainable, dtype)
    spec = SPECS[class_name]
    arguments, problem = parse_config(class_name, config, era)
    inner, inner_problem = _inner(spec.name, config, era, read_model, name)
    problem = (
        spec.problem
        or problem
        or inner_problem
        or _quantized(dtype)
        or _custom_activation(arguments)
        or _on_strings(arguments)
    )
    record = LayerRecord(
        name, "layer", spec.name, arguments, FrozenMap(), FrozenMap(inner), None, trainable, dtype
    )
    if spec.name == "Bidirectional":
        if inner["layer"].class_name in WRAPPERS:  # each level would double what is inside
            raise config.get("layer").wrong("a recurrent layer")
        record = _bidirectional(record, era)
    if problem or config.get("lora_rank").value is not None:
        record = replace(record, problem=problem, raw=freeze_map(config))
    return record


def layer_name(entry: Item) -> str:
    """Return the name by which calls know a layer: its entry's where there is one, else its config's."""
    config = entry.get("config")
    if isinstance(entry.get("name").value, str):
        return entry.get("name").name()
    if isinstance(config.value, dict) and isinstance(config.value.get("name"), str):
        return config.get("name").name()
    return operations.snake(entry.get("class_name").name())


def _is_model(class_name: str, config: Item) -> bool:
    if class_name not in MODELS:
        return isinstance(config.value, dict) and "layers" in config.value and "input_layers" in config.value
    return isinstance(config.value, list) or (isinstance(config.value, dict) and "layers" in config.value)


def _is_foreign(entry: Item) -> bool:
    """Whether a class is the user's, though it may be called as one of Keras's."""
    registered, module = entry.get("registered_name").value, entry.get("module").value
    class_name = entry.get("class_name").value
    if isinstance(registered, str) and registered not in (class_name, "") and class_name not in MODELS:
        return True
    return isinstance(module, str) and not (module + ".").startswith(OWN_MODULES)


def is_operation(entry: Item, era: Era) -> bool:
    """Whether an entry is a function rather than a layer; they share names, and ``.h5`` has no module."""
    class_name = entry.get("class_name").value
    if class_name in operations.CLASSES:
        return True
    if not era.is_keras3 or not isinstance(class_name, str):
        return False
    module = entry.get("module").value
    if isinstance(module, str):
        return module.startswith(("keras.src.ops", "keras.ops"))
    name = operations.keras3_name(class_name)
    if name not in PARAMETERS:
        return False
    config = entry.get("config")
    return class_name not in SPECS or not (config.has("trainable") or config.has("dtype"))


def _lost(kind: str, entry: Item) -> str:
    """Say that TensorFlow dropped the operands of functions that take any number of them."""
    nodes = entry.get("inbound_nodes")
    lost = kind == "einsum" and entry.get("class_name").value == "TFOpLambda" and nodes.value
    return operations.LOST if lost else ""


def _custom(name: str, class_name: str, config: Item, trainable: bool, dtype: str | None) -> LayerRecord:
    problem = f"{quote(class_name)[1:-1]} is no layer of Keras"
    return LayerRecord(
        name,
        "custom",
        class_name,
        FrozenMap(),
        trainable=trainable,
        dtype=dtype,
        problem=problem,
        raw=freeze_map(config),
    )


def _quantized(dtype: str | None) -> str:
    """Say that a layer rounds its inputs too when it runs, so that no scaled kernel computes the same."""
    mode = quantization(dtype)
    return f"it is quantized to {mode}; port the model as it was before quantize()" if mode else ""


def _custom_activation(arguments: FrozenMap[str, Value]) -> str:
    for value in arguments.values():
        if isinstance(value, Activation) and value.is_custom:
            return f"the activation {quote(value.name)} is not Keras's own"
    return ""


def _on_strings(arguments: FrozenMap[str, Value]) -> str:
    if arguments.get("dtype") == "string":
        return STRINGS
    for key in ("sparse", "ragged"):
        if arguments.get(key) is True and "batch_shape" in arguments:
            return f"its tensors are {key}; only dense ones are ported"
    return ""


def _inner(
    class_name: str, config: Item, era: Era, read_model: ReadModel, outer: str
) -> tuple[dict[str, LayerRecord], str]:
    """Return the layers that arguments of a layer are, by attribute, and the first problem among them."""
    found: dict[str, LayerRecord] = {}
    for key in SPECS[class_name].children:
        value = config.get(key)
        if isinstance(value.value, list) and key in ("cell", "cells"):
            if len(value.value) > MAX_CELLS:
                raise value.wrong(f"up to {MAX_CELLS} cells")
            for number, item in enumerate(value.items()):
                found[f"{key}.{number}"] = read_layer(item, era, read_model)
        elif isinstance(value.value, dict):
            found[key] = read_layer(value, era, read_model)
        elif key not in ("backward_layer",):
            raise value.wrong("a layer")
    problem = next((layer.problem for layer in found.values() if layer.problem), "")
    return found, problem


def _bidirectional(record: LayerRecord, era: Era) -> LayerRecord:
    """Give Bidirectional its two layers by name, and say what masked steps put out in sequences."""
    forward = record.inner["layer"]
    config: dict[str, Value] = dict(record.config)
    config["masked_steps"] = _masked_steps(forward, era)
    backward = record.inner.get("backward_layer")
    if backward is None:
        flipped = {**forward.config, "go_backwards": not forward.config.get("go_backwards")}
        backward = replace(forward, name=f"backward_{forward.name}", config=FrozenMap(flipped))
    inner = {
        name: replace(layer, config=FrozenMap({**layer.config, "masked_steps": config["masked_steps"]}))
        for name, layer in (("forward_layer", forward), ("backward_layer", backward))
    }
    return replace(record, config=FrozenMap(config), inner=FrozenMap(inner))


def _masked_steps(forward: LayerRecord, era: Era) -> str:
    if era.before(keras2=(9,), tf=(1, 13)) or (era.family == "tf" and (2, 0) <= era.version < (2, 2)):
        return "repeat"
    if era.family == "tf" and era.version < (1, 14):
        return "zero, the last output too"
    return "zero" if forward.config.get("return_sequences") else "repeat"


def freeze_map(item: Item) -> FrozenMap[str, Value]:
    """Return a config as it stands in the file, frozen, without code."""
    return FrozenMap({key: _freeze(value, key) for key, value in item.mapping().items()})


def _freeze(value: Json, key: str = "") -> Value:
    if key in ("function", "mask", "output_shape") and isinstance(value, (list, dict, str)) and value:
        return Blob("code")
    if isinstance(value, list):
        return tuple(_freeze(item) for item in value)
    if isinstance(value, dict):
        return FrozenMap({name: _freeze(item, name) for name, item in value.items()})
    return value
