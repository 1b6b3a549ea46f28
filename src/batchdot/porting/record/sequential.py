"""Read the layers of a Sequential as a chain of calls; in Keras 1 it may begin with branches to merge."""

from collections.abc import Callable
from dataclasses import replace

from batchdot.porting.record.draft import Draft
from batchdot.porting.record.item import Item
from batchdot.porting.record.nodes import Node
from batchdot.porting.record.values import FrozenMap, LayerRecord, TensorRef, Value


class Chain:
    """Adds the layers of a Sequential to a draft, in order.

    Args:
        draft: gets the layers and calls.
        read_layer: reads one entry.
        may_repeat: whether a layer that is there twice is one layer, as in Keras 1, which lost that.
    """

    def __init__(self, draft: Draft, read_layer: Callable[[Item], LayerRecord], may_repeat: bool) -> None:
        self.draft = draft
        self.read_layer = read_layer
        self.may_repeat = may_repeat
        self.shapeless: str | None = None

    def run(self, layers: Item) -> TensorRef:
        """Add the layers and return the output of the last."""
        here: Value = None
        for entry in layers.items():
            if (
                here is None
                and entry.get("class_name").value == "Merge"
                and entry.get("config").has("layers")
            ):
                here = self._branches(entry.get("config").get("layers"))
            layer = self.read_layer(entry)
            if self.may_repeat and layer == self.draft.layers.get(layer.name):
                here = self._repeated(layer)
                continue
            if here is None and not layer.is_a("InputLayer"):
                here = self._input(layer, entry)
            self.draft.add_layer(layer, entry)
            if not layer.is_a("InputLayer"):
                self.draft.add_call(layer.name, Node((here,), item=entry), entry)
            here = TensorRef(layer.name)
        if not isinstance(here, TensorRef):
            raise layers.wrong("at least one layer")
        return here

    def give_shape(self, built: Item) -> None:
        """Give an input whose shape no layer tells the one that the model was built with."""
        if self.shapeless is None:
            return
        first = self.draft.layers[self.shapeless]
        config = {**first.config, "batch_shape": (None, *built.shape()[1:])}
        self.draft.layers[self.shapeless] = replace(first, config=FrozenMap(config))

    def _repeated(self, layer: LayerRecord) -> TensorRef:
        note = "Keras 1 wrote a shared branch twice; it is one here."
        if note not in self.draft.notes:
            self.draft.notes.append(note)
        return TensorRef(layer.name)

    def _branches(self, layers: Item) -> tuple[Value, ...]:
        made = []
        for entry in layers.items():
            inside = entry.get("config")
            if entry.get("class_name").value == "Sequential":
                made.append(self.run(inside if isinstance(inside.value, list) else inside.get("layers")))
            else:
                made.append(self.run(Item([entry.value], "", entry)))
        return tuple(made)

    def _input(self, layer: LayerRecord, entry: Item) -> TensorRef:
        """Add the input that a first layer stands for."""
        shape = _first_shape(entry, layer)
        dtype = _first_dtype(entry, layer)
        name = f"{layer.name}_input"
        while name in self.draft.layers:
            name += "_"
        config: dict[str, Value] = {
            "batch_shape": shape,
            "dtype": dtype,
            "sparse": False,
            "ragged": False,
            "optional": False,
        }
        self.draft.layers[name] = LayerRecord(name, "layer", "InputLayer", FrozenMap(config))
        self.draft.nodes[name] = []
        if shape is None:
            self.shapeless = name
        return TensorRef(name)


def _first_shape(entry: Item, layer: LayerRecord) -> Value:
    config = entry.get("config")
    if layer.model is not None:
        first = layer.model.input_refs
        if not first:
            return None
        return layer.model.layer(first[0].layer).config["batch_shape"]
    for key in ("batch_input_shape", "batch_shape"):
        if isinstance(config.value, dict) and isinstance(config.get(key).value, list):
            shape = config.get(key).shape()
            return (None, *shape[1:]) if shape else shape
    inside = config.get("layer") if isinstance(config.value, dict) and config.has("layer") else None
    if inside is not None and isinstance(inside.value, dict) and inside.has("config"):
        found = _first_shape(inside, layer)
        if isinstance(found, tuple):
            return (None, *found[1:])
    if entry.has("build_config"):
        build = entry.get("build_config")
        if isinstance(build.value, dict) and isinstance(build.get("input_shape").value, list):
            shape = build.get("input_shape").shape()
            return (None, *shape[1:]) if shape else shape
    return None


def _first_dtype(entry: Item, layer: LayerRecord) -> str:
    if layer.model is not None:
        refs = layer.model.input_refs
        return str(layer.model.layer(refs[0].layer).config["dtype"]) if refs else "float32"
    if layer.is_a("Embedding"):
        return "int32"
    if isinstance(entry.get("config").value, dict):
        declared = entry.get("config").get("input_dtype").value
        if isinstance(declared, str):
            return declared
    return layer.dtype if layer.dtype in ("float64", "float16", "bfloat16") else "float32"
