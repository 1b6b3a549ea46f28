"""Read layers and their calls from a model's config, functional or Sequential, of every version of Keras.

What comes out has no weights and no shapes yet, and its calls stand in an order in which they can run.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from batchdot.porting.archive.limits import MAX_CALLS, MAX_LAYERS
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import operations
from batchdot.porting.record.arguments import call_arguments
from batchdot.porting.record.era import Era
from batchdot.porting.record.item import Item
from batchdot.porting.record.layers import layer_name, read_layer
from batchdot.porting.record.nodes import Node, keras3_shapes, parse_node, parse_ref
from batchdot.porting.record.values import (
    Call,
    FrozenMap,
    LayerRecord,
    ModelRecord,
    Shape,
    TensorRef,
    Value,
    refs_in,
)

MODELS = ("Model", "Functional", "Sequential")


@dataclass
class Draft:
    """A model while it is read.

    Attributes:
        layers: by name, in the file's order.
        nodes: the calls of each layer, as the file numbers them.
        shapes: shapes that the file tells, by tensor as the file numbers it.
    """

    layers: dict[str, LayerRecord] = field(default_factory=dict)
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    shapes: dict[TensorRef, Shape] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class ModelReader:
    """Reads models; counts layers and calls over all that stand in each other."""

    def __init__(self, era: Era) -> None:
        self.era = era
        self.shapes: dict[tuple[str, ...], dict[TensorRef, Shape]] = {}
        self._layers_left = MAX_LAYERS
        self._calls_left = MAX_CALLS

    def read(self, item: Item) -> ModelRecord:
        """Return the model that ``{"class_name": ..., "config": ...}`` describes.

        Raises:
            ModelFileError: it is no functional model and no Sequential, or its graph makes no sense.
        """
        class_name = item.get("class_name").name()
        config = item.get("config")
        if class_name == "Sequential":
            return self._sequential(config)
        if not isinstance(config.value, dict) or "layers" not in config.value:
            raise ModelFileError(
                f"a model of class {quote(class_name)}, whose layers the file does not list",
                "functional models and Sequentials: this one is Python code",
                place=item.place,
            )
        if not config.has("input_layers"):
            return self._sequential(config)
        return self._functional(config)

    # Functional models

    def _functional(self, config: Item) -> ModelRecord:
        entries = list(config.get("layers").items())
        known = {layer_name(entry) for entry in entries}
        draft = Draft()
        for entry in entries:
            layer = self._layer(entry)
            self._add(draft, layer, entry)
            flat = operations.is_flat(entry)
            for node in entry.get("inbound_nodes").items() if entry.has("inbound_nodes") else ():
                draft.nodes[layer.name].append(parse_node(node, known, flat))
                if isinstance(node.value, dict):
                    keras3_shapes(node, draft.shapes)  # type: ignore[arg-type]
                self._count_call(node)
        inputs = _structure(config.get("input_layers"))
        if isinstance(inputs, FrozenMap):  # which Keras flattens in the order of its keys
            inputs = FrozenMap(dict(sorted(inputs.items())))
        outputs = _structure(config.get("output_layers"))
        name = config.get("name").name() if config.has("name") else "model"
        return self._finish(draft, name, "functional", inputs, outputs, config)

    def _add(self, draft: Draft, layer: LayerRecord, entry: Item) -> None:
        if layer.name in draft.layers:
            raise ModelFileError(f"two layers called {quote(layer.name)}", place=entry.place)
        draft.layers[layer.name] = layer
        draft.nodes[layer.name] = []

    def _count_call(self, item: Item) -> None:
        self._calls_left -= 1
        if self._calls_left < 0:
            raise ModelFileError("more calls of layers", f"{MAX_CALLS:,}", place=item.place)

    def _layer(self, entry: Item) -> LayerRecord:
        self._layers_left -= 1
        if self._layers_left < 0:
            raise ModelFileError("more layers", f"{MAX_LAYERS:,}", place=entry.place)
        return read_layer(entry, self.era, self._nested)

    def _nested(self, entry: Item, name: str) -> LayerRecord:
        model = replace(self.read(entry), name=name)
        if isinstance(model.outputs, FrozenMap):  # Keras numbers the results in the order of their keys
            model = replace(model, outputs=FrozenMap(dict(sorted(model.outputs.items()))))
        return LayerRecord(
            name, "model", "Functional" if model.kind == "functional" else "Sequential", model=model
        )

    def _finish(
        self, draft: Draft, name: str, kind: str, inputs: Value, outputs: Value, config: Item
    ) -> ModelRecord:
        ends = list(refs_in((inputs, outputs)))
        inside = [ref for nodes in draft.nodes.values() for node in nodes for ref in node.refs()]
        for ref in (*inside, *ends):
            if ref.layer not in draft.layers:
                raise ModelFileError(
                    f"an output of {quote(ref.layer)}, which is no layer of the model", place=config.place
                )
        try:
            base = _bases(draft, self.era, [*inside, *ends], config.place)
            order = _ordered(self._calls(draft, base), config.place)
            end_base = base
        except ModelFileError:
            if not self.era.is_keras3:
                raise
            # The first versions of Keras 3 number calls as in the graph that the model was cut from.
            lowest = {ref.layer: ref.call for ref in sorted(inside, reverse=True)}
            base = {name: lowest.get(name, 0) for name in draft.layers}
            end_base = _bases(draft, self.era, ends, config.place)
            order = _ordered(self._calls(draft, base), config.place)
        inputs, outputs = (renumber(value, end_base) for value in (inputs, outputs))
        made = {(call.layer, call.number) for call in order}
        for ref in refs_in((inputs, outputs)):
            if (ref.layer, ref.call) not in made:
                raise ModelFileError(f"a call of {quote(ref.layer)} that is not there", place=config.place)
        file_shapes = {
            renumber_ref(ref, base): shape for ref, shape in draft.shapes.items() if ref.layer in base
        }
        trainable = config.get("trainable").value if isinstance(config.value, dict) else True
        record = ModelRecord(
            name,
            kind,
            tuple(draft.layers.values()),
            order,
            inputs if isinstance(inputs, FrozenMap) else tuple(refs_in(inputs)),  # type: ignore[arg-type]
            outputs,  # type: ignore[arg-type]
            trainable=trainable is not False,
            notes=tuple(draft.notes),
        )
        self.shapes.setdefault(tuple(draft.layers), {}).update(file_shapes)
        return record

    def _calls(self, draft: Draft, base: Mapping[str, int]) -> dict[tuple[str, int], Call]:
        calls = {
            (layer, number): self._call(draft.layers[layer], number, node, base)
            for layer, nodes in draft.nodes.items()
            for number, node in enumerate(nodes)
        }
        for layer in draft.layers.values():
            if layer.is_a("InputLayer") and not draft.nodes[layer.name]:
                calls[layer.name, 0] = Call(layer.name)
        return calls

    def _call(self, layer: LayerRecord, number: int, node: Node, base: Mapping[str, int]) -> Call:
        args = tuple(renumber(value, base) for value in node.args)
        kwargs = {key: renumber(value, base) for key, value in node.kwargs.items()}
        arguments = call_arguments(layer, Node(args, kwargs, node.item), self.era.is_keras3)
        return Call(layer.name, number, FrozenMap(arguments))

    # Sequentials

    def _sequential(self, config: Item) -> ModelRecord:
        layers = config if isinstance(config.value, list) else config.get("layers")
        draft = Draft()
        chain = _Chain(self, draft)
        output = chain.run(layers)
        name = "sequential"
        if isinstance(config.value, dict) and config.has("name"):
            name = config.get("name").name()
        built = config.get("build_input_shape") if isinstance(config.value, dict) else Item(None)
        if isinstance(built.value, list) and chain.shapeless is not None:
            _give_shape(draft, chain.shapeless, built)
        inputs = tuple(TensorRef(layer.name) for layer in draft.layers.values() if layer.is_a("InputLayer"))
        kind = "sequential" if len(inputs) == 1 else "functional"
        return self._finish(draft, name, kind, inputs, output, config)


class _Chain:
    """Adds the layers of a Sequential to a draft, in order; in Keras 1 it may begin with a Merge."""

    def __init__(self, reader: ModelReader, draft: Draft) -> None:
        self.reader = reader
        self.draft = draft
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
            layer = self.reader._layer(entry)
            if layer.name in self.draft.layers:
                here = self._repeated(layer, entry)
                continue
            if here is None and not layer.is_a("InputLayer"):
                here = self._input(layer, entry)
            self.reader._add(self.draft, layer, entry)
            if not layer.is_a("InputLayer"):
                self.draft.nodes[layer.name].append(Node((here,), item=entry))
                self.reader._count_call(entry)
            here = TensorRef(layer.name)
        if not isinstance(here, TensorRef):
            raise layers.wrong("at least one layer")
        return here

    def _repeated(self, layer: LayerRecord, entry: Item) -> TensorRef:
        """Return what a branch makes that Keras 1 wrote twice: it lost that the two are one."""
        if self.reader.era.family != "keras1" or self.draft.layers[layer.name] != layer:
            raise ModelFileError(f"two layers called {quote(layer.name)}", place=entry.place)
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


def _give_shape(draft: Draft, name: str, built: Item) -> None:
    shape = built.shape()
    config = {**draft.layers[name].config, "batch_shape": (None, *shape[1:])}
    draft.layers[name] = replace(draft.layers[name], config=FrozenMap(config))


def _structure(item: Item) -> Value:
    """Return the inputs or outputs of a model: one tensor, or a list, of lists perhaps, or a dict of them."""
    value = item.value
    if isinstance(value, dict):
        return FrozenMap({key: parse_ref(part) for key, part in item.members()})
    if isinstance(value, list) and value and isinstance(value[0], str):
        return parse_ref(item)
    refs = tuple(_structure(part) for part in item.items())
    return refs[0] if len(refs) == 1 else refs


def _bases(draft: Draft, era: Era, refs: Iterable[TensorRef], place: str) -> dict[str, int]:
    """Return, per layer, the number that the file gives its first call.

    A nested model has a hidden node of its own up to Keras 2, so that its first call is number 1.
    """
    used: dict[str, set[int]] = {name: set() for name in draft.layers}
    for ref in refs:
        used[ref.layer].add(ref.call)
    bases = {}
    for name, numbers in used.items():
        layer = draft.layers[name]
        calls = max(len(draft.nodes[name]), 1 if layer.is_a("InputLayer") else 0)
        likely = 1 if layer.model is not None and not era.is_keras3 else 0
        fits = [
            base for base in (likely, 1 - likely) if all(base <= number < base + calls for number in numbers)
        ]
        if not fits:
            raise ModelFileError(f"a call of {quote(name)} that is not there", place=place)
        if fits[0] == 1 and layer.model is None:
            raise ModelFileError(f"a call of {quote(name)} that is not there", place=place)
        bases[name] = fits[0]
    return bases


def renumber_ref(ref: TensorRef, base: Mapping[str, int]) -> TensorRef:
    """Return a tensor with its call counted from 0."""
    number = base[ref.layer]
    return TensorRef(ref.layer, ref.call - number, ref.output) if number else ref


def renumber(value: Value, base: Mapping[str, int]) -> Value:
    """Return a value with the calls of its tensors counted from 0."""
    if isinstance(value, TensorRef):
        return renumber_ref(value, base)
    if isinstance(value, tuple):
        return tuple(renumber(item, base) for item in value)
    if isinstance(value, FrozenMap):
        return FrozenMap({key: renumber(item, base) for key, item in value.items()})
    return value


def _ordered(calls: Mapping[tuple[str, int], Call], place: str) -> tuple[Call, ...]:
    """Return calls so that each follows those that make its inputs (Kahn's algorithm, by the file's order).

    Raises:
        ModelFileError: they form a cycle.
    """
    waiting = {key: {(ref.layer, ref.call) for ref in call.tensors()} for key, call in calls.items()}
    users: dict[tuple[str, int], list[tuple[str, int]]] = {key: [] for key in calls}
    for key, needs in waiting.items():
        for need in needs:
            if need not in calls:
                raise ModelFileError(f"a call of {quote(need[0])} that is not there", place=place)
            users[need].append(key)
    rank = {key: position for position, key in enumerate(calls)}
    ready = [(rank[key], key) for key, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    order = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(calls[key])
        for user in users[key]:
            waiting[user].discard(key)
            if not waiting[user]:
                heapq.heappush(ready, (rank[user], user))
    if len(order) != len(calls):
        stuck = next(key for key in calls if waiting[key])
        raise ModelFileError(f"a graph with a cycle through {quote(stuck[0])}", place=place)
    return tuple(order)
