"""Read layers and their calls from a model's config, functional or Sequential, of every version of Keras.

What comes out has no weights and no shapes yet, and its calls stand in an order in which they can run.
"""

from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import operations
from batchdot.porting.record.arguments import call_arguments
from batchdot.porting.record.draft import Budget, Draft
from batchdot.porting.record.era import Era
from batchdot.porting.record.item import Item
from batchdot.porting.record.layers import layer_name, read_layer
from batchdot.porting.record.nodes import Node, keras3_shapes, parse_node, parse_ref
from batchdot.porting.record.numbering import bases, ordered, renumber, renumber_ref
from batchdot.porting.record.sequential import Chain
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


class ModelReader:
    """Reads models; counts layers and calls over all that stand in each other."""

    def __init__(self, era: Era) -> None:
        self.era = era
        self.shapes: dict[tuple[str, ...], dict[TensorRef, Shape]] = {}
        self._budget = Budget()

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
        draft = Draft(self._budget)
        for entry in entries:
            layer = self._layer(entry)
            draft.add_layer(layer, entry)
            flat = operations.is_flat(entry)
            for node in entry.get("inbound_nodes").items() if entry.has("inbound_nodes") else ():
                draft.add_call(layer.name, parse_node(node, known, flat), node)
                if isinstance(node.value, dict):
                    keras3_shapes(node, draft.shapes)  # type: ignore[arg-type]
        inputs = _structure(config.get("input_layers"))
        if isinstance(inputs, FrozenMap):  # which Keras flattens in the order of its keys
            inputs = FrozenMap(dict(sorted(inputs.items())))
        outputs = _structure(config.get("output_layers"))
        name = config.get("name").name() if config.has("name") else "model"
        return self._finish(draft, name, "functional", inputs, outputs, config)

    def _layer(self, entry: Item) -> LayerRecord:
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
        _check_ends(draft, refs_in(inputs), refs_in(outputs), config)
        try:
            base = bases(draft, self.era, [*inside, *ends], config.place)
            order = ordered(self._calls(draft, base), config.place)
            end_base = base
        except ModelFileError:
            if not self.era.is_keras3:
                raise
            # The first versions of Keras 3 number calls as in the graph that the model was cut from.
            lowest = {ref.layer: ref.call for ref in sorted(inside, reverse=True)}
            base = {name: number for name, number in lowest.items() if number}
            end_base = bases(draft, self.era, ends, config.place)
            order = ordered(self._calls(draft, base), config.place)
        inputs, outputs = (renumber(value, end_base) for value in (inputs, outputs))
        made = {(call.layer, call.number) for call in order}
        for ref in refs_in((inputs, outputs)):
            if (ref.layer, ref.call) not in made:
                raise ModelFileError(f"a call of {quote(ref.layer)} that is not there", place=config.place)
        file_shapes = {
            renumber_ref(ref, base): shape for ref, shape in draft.shapes.items() if ref.layer in draft.layers
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
        draft = Draft(self._budget)
        chain = Chain(draft, self._layer, may_repeat=self.era.family == "keras1")
        output = chain.run(layers)
        name = "sequential"
        if isinstance(config.value, dict) and config.has("name"):
            name = config.get("name").name()
        built = config.get("build_input_shape") if isinstance(config.value, dict) else Item(None)
        if isinstance(built.value, list):
            chain.give_shape(built)
        inputs = tuple(TensorRef(layer.name) for layer in draft.layers.values() if layer.is_a("InputLayer"))
        kind = "sequential" if len(inputs) == 1 else "functional"
        return self._finish(draft, name, kind, inputs, output, config)


def _structure(item: Item) -> Value:
    """Return the inputs or outputs of a model: one tensor, or a list, of lists perhaps, or a dict of them."""
    value = item.value
    if isinstance(value, dict):
        return FrozenMap({key: parse_ref(part) for key, part in item.members()})
    if isinstance(value, list) and value and isinstance(value[0], str):
        return parse_ref(item)
    refs = tuple(_structure(part) for part in item.items())
    return refs[0] if len(refs) == 1 else refs


def _check_ends(draft: Draft, inputs: list[TensorRef], outputs: list[TensorRef], config: Item) -> None:
    for ref in inputs:
        if not draft.layers[ref.layer].is_a("InputLayer"):
            raise ModelFileError(
                f"the input {quote(ref.layer)}", "layers of the class InputLayer", place=config.place
            )
    if len(set(inputs)) != len(inputs):
        raise ModelFileError("an input twice", place=config.place)
    if not outputs:
        raise ModelFileError("a model without outputs", place=config.place)
