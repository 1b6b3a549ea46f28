"""What flows through a graph: shapes and masks of every tensor, call by call."""

from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import op_shapes
from batchdot.porting.record.classes import SPECS
from batchdot.porting.record.classes.merging import concatenated
from batchdot.porting.record.era import Era
from batchdot.porting.record.masks import MaskFlow
from batchdot.porting.record.values import Call, FrozenMap, LayerRecord, ModelRecord, Shape, TensorRef, refs_in
from batchdot.porting.record.weights import known_sizes

Told = Mapping[tuple[str, ...], Mapping[TensorRef, Shape]]

MAX_STEPS = 1_000_000
"""Calls whose shapes are worked out; nested models that call each other twice a level would double it."""


def annotate(model: ModelRecord, era: Era, told: Told, notes: list[str]) -> ModelRecord:
    """Return a model whose calls have shapes and masks.

    Args:
        model: a record whose calls have neither.
        era: who wrote it.
        told: shapes that the file tells, by the names of a model's layers.
        notes: gets what a reader should know.

    Raises:
        ModelFileError: the shape of a weight contradicts that of an input, or a result is not there.
    """
    model = _Shapes(told).annotate(model)
    return MaskFlow(era, notes).annotate(model)


MAX_OUTPUTS = 1000
"""Outputs of one call of a layer that nobody knows."""


class _Shapes:
    def __init__(self, told: Told) -> None:
        self.told = told
        self._known: dict[tuple[int, tuple[Shape, ...]], tuple[Shape, ...]] = {}
        self._steps_left = MAX_STEPS

    def annotate(self, model: ModelRecord) -> ModelRecord:
        """Return a model, those inside of it too, with the shapes that follow from its own inputs."""
        layers = tuple(self._layer(layer) for layer in model.layers)
        model = replace(model, layers=layers)
        shape_of, calls = self._run(model, None)
        for ref in refs_in((model.inputs, model.outputs)):
            if ref not in shape_of:
                raise ModelFileError(f"output {ref.output} of a call of {quote(ref.layer)}, which is not there")
        return replace(model, calls=tuple(calls))

    def _layer(self, layer: LayerRecord) -> LayerRecord:
        inner = {key: self._layer(inside) for key, inside in layer.inner.items()}
        model = None if layer.model is None else self.annotate(layer.model)
        return replace(layer, inner=FrozenMap(inner), model=model)

    def _run(
        self, model: ModelRecord, inputs: tuple[Shape, ...] | None
    ) -> tuple[dict[TensorRef, Shape], list[Call]]:
        layers = {layer.name: layer for layer in model.layers}
        told = self.told.get(tuple(layers), {}) if inputs is None else {}
        shape_of: dict[TensorRef, Shape] = {}
        given = dict(zip(model.input_refs, inputs or (), strict=False))
        used = _outputs_used(model)
        calls = []
        for call in model.calls:
            layer = layers[call.layer]
            refs = call.tensors()
            for ref in refs:
                if ref not in shape_of:
                    raise ModelFileError(f"output {ref.output} of a call of {quote(ref.layer)}, which is not there")
            ins = tuple(shape_of[ref] for ref in refs)
            if layer.class_name == "InputLayer":
                outs: tuple[Shape, ...] = (given.get(call.output()) or _input_shape(layer),)
            elif layer.kind == "operation":
                outs = op_shapes.infer(layer.class_name, call.arguments, shape_of)
            else:
                outs = self.shapes(layer, ins)
            outs = _with_told(call, outs, told, layer, used)
            for number, shape in enumerate(outs):
                shape_of[call.output(number)] = shape
            returns = "tensor" if len(outs) == 1 else "tuple"
            if layer.model is not None and isinstance(layer.model.outputs, FrozenMap):
                returns = "dict"
            calls.append(replace(call, input_shapes=ins, output_shapes=outs, returns=returns))
        return shape_of, calls

    def shapes(self, layer: LayerRecord, ins: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Return the shapes that a layer makes of others.

        Raises:
            ModelFileError: a weight does not fit an input.
        """
        self._steps_left -= 1
        if layer.model is not None:
            return self._nested(layer.model, ins)
        if layer.class_name not in SPECS or layer.kind != "layer":
            return (None,)
        if layer.inner:
            return self._wrapped(layer, ins)
        spec = SPECS[layer.class_name]
        known_sizes(layer, spec.symbols(layer.config, ins))
        return spec.infer(layer.config, ins)

    def _nested(self, model: ModelRecord, ins: tuple[Shape, ...]) -> tuple[Shape, ...]:
        key = id(model), ins
        if key not in self._known:
            if self._steps_left < 0:
                return (None,) * len(model.output_refs)
            shape_of, _ = self._run(model, ins)
            self._known[key] = tuple(shape_of.get(ref) for ref in model.output_refs)
        return self._known[key]

    def _wrapped(self, layer: LayerRecord, ins: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = ins[0] if ins else None
        if layer.class_name == "TimeDistributed":
            step = None if shape is None or len(shape) < 2 else (shape[0], *shape[2:])
            outs = self.shapes(layer.inner["layer"], (step,))
            return tuple(None if out is None or shape is None else (out[0], shape[1], *out[1:]) for out in outs)
        if layer.class_name == "Bidirectional":
            return _both_ways(layer, self.shapes(layer.inner["forward_layer"], ins))
        if layer.class_name == "RNN":
            return _cells(layer, shape)
        if "layer" in layer.inner:
            return self.shapes(layer.inner["layer"], ins)
        return (None,)


def _outputs_used(model: ModelRecord) -> dict[tuple[str, int], int]:
    """Return, per call, the highest number of an output that something uses."""
    used: dict[tuple[str, int], int] = {}
    for ref in (*(ref for call in model.calls for ref in call.tensors()), *model.output_refs):
        used[ref.layer, ref.call] = max(used.get((ref.layer, ref.call), 0), ref.output)
    return used


def _with_told(
    call: Call,
    outs: tuple[Shape, ...],
    told: Mapping[TensorRef, Shape],
    layer: LayerRecord,
    used: Mapping[tuple[str, int], int],
) -> tuple[Shape, ...]:
    """Fill in what the file tells; of a layer that nobody knows there are as many outputs as are used."""
    shapes = list(outs)
    if layer.model is None and (layer.problem or layer.kind != "layer"):
        most = min(used.get((call.layer, call.number), 0), MAX_OUTPUTS - 1)
        shapes += [None] * (most + 1 - len(shapes))
    for number, shape in enumerate(shapes):
        if shape is None or None in shape[1:]:
            shapes[number] = told.get(call.output(number)) or shape
    return tuple(shapes)


def _both_ways(layer: LayerRecord, outs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    output, states = outs[0], outs[1:]
    mode = layer.config["merge_mode"]
    if mode is None:
        return (output, output, *states, *states)
    merged = concatenated((output, output), -1) if mode == "concat" else output
    return (merged, *states, *states)


def _cells(layer: LayerRecord, shape: Shape) -> tuple[Shape, ...]:
    cell = layer.inner.get("cell")
    cells = [*cell.inner.values()] if cell is not None and cell.inner else [cell] if cell else list(layer.inner.values())
    units = [inside.config.get("units") for inside in cells]
    sizes = [size if isinstance(size, int) else None for size in units]
    batch, time = shape[:2] if shape is not None and len(shape) > 2 else (None, None)
    states: list[Shape] = []
    if layer.config["return_state"]:
        for inside, size in zip(cells, sizes, strict=True):
            states += [(batch, size)] * (2 if inside.class_name == "LSTMCell" else 1)
    last = sizes[-1] if sizes else None
    return ((batch, time, last) if layer.config["return_sequences"] else (batch, last), *states)


def _input_shape(layer: LayerRecord) -> Shape:
    shape = layer.config["batch_shape"]
    if not isinstance(shape, tuple):
        return None
    return tuple(size if isinstance(size, int) else None for size in shape)
