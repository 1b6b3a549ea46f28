"""Infer the shape and the mask of every tensor in a saved model's graph, call by call."""

from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import op_shapes
from batchdot.porting.record.classes import SPECS
from batchdot.porting.record.classes.merging import concatenated
from batchdot.porting.record.era import Era
from batchdot.porting.record.masks import MaskFlow
from batchdot.porting.record.values import (
    Activation,
    Call,
    FrozenMap,
    LayerRecord,
    ModelRecord,
    Shape,
    TensorRef,
    Value,
    refs_in,
)
from batchdot.porting.record.weights import known_sizes

FileShapes = Mapping[tuple[str, ...], Mapping[TensorRef, Shape]]

MAX_STEPS = 1_000_000
"""Calls whose shapes are worked out; nested models that call each other twice a level would double it."""


def annotate(model: ModelRecord, era: Era, file_shapes: FileShapes, notes: list[str]) -> ModelRecord:
    """Return a model whose calls have shapes and masks.

    Args:
        model: a record whose calls have neither.
        era: who wrote it.
        file_shapes: shapes that the file tells, by the names of a model's layers.
        notes: gets what a reader should know.

    Raises:
        ModelFileError: the shape of a weight contradicts that of an input, or a result is not there.
    """
    model = _Shapes(file_shapes).annotate(model)
    return _with_axes(MaskFlow(era, notes).annotate(model))


AXES = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization")


def _with_axes(model: ModelRecord) -> ModelRecord:
    """Return a model with axes in one form: pairs from the front for Dot, -1 for the last elsewhere."""
    ranks: dict[str, set[tuple[int, ...]]] = {}
    for call in model.calls:
        ranks.setdefault(call.layer, set()).add(
            tuple(-1 if shape is None else len(shape) for shape in call.input_shapes)
        )

    def changed(layer: LayerRecord, several: tuple[int, ...]) -> LayerRecord:
        config = layer.config
        if not layer.is_a("Dot", *AXES) and not layer.inner and layer.model is None:
            return layer
        rank = several[0] if several and several[0] >= 0 else None
        if layer.is_a("Dot"):
            config = FrozenMap({**config, "axes": _pair(config["axes"], several)})
        if layer.is_a(*AXES) and rank is not None:
            axis = config["axis"]
            last = tuple(
                -1 if part == rank - 1 else part for part in (axis if isinstance(axis, tuple) else (axis,))
            )
            config = FrozenMap({**config, "axis": last if isinstance(axis, tuple) else last[0]})
        below = (rank - 1,) if rank is not None and layer.is_a("TimeDistributed") else several
        inner = {key: changed(inside, below) for key, inside in layer.inner.items()}
        nested = None if layer.model is None else _with_axes(layer.model)
        return replace(layer, config=config, inner=FrozenMap(inner), model=nested)

    known = {name: next(iter(found)) for name, found in ranks.items() if len(found) == 1}
    return replace(model, layers=tuple(changed(layer, known.get(layer.name, ())) for layer in model.layers))


def _pair(axes: Value, ranks: tuple[int, ...]) -> Value:
    """Return the axes of a Dot as two, counted from the front where the ranks are known."""
    two = axes if isinstance(axes, tuple) else (axes, axes)
    if len(ranks) != 2 or not all(isinstance(axis, int) for axis in two) or len(two) != 2:
        return axes
    return tuple(
        axis + rank if isinstance(axis, int) and axis < 0 <= rank else axis
        for axis, rank in zip(two, ranks, strict=True)
    )


DATA = ("inputs", "query", "value", "key")
"""Arguments that decide the shapes a layer makes; states and masks follow."""

LARGEST_SIZE = 2**63 - 1
"""What a size may be in PyTorch."""

MAX_OUTPUTS = 1000
"""Outputs of one call of a layer that nobody knows."""


class _Shapes:
    def __init__(self, file_shapes: FileShapes) -> None:
        self.file_shapes = file_shapes
        self._known: dict[tuple[int, tuple[Shape, ...]], tuple[Shape, ...]] = {}
        self._steps_left = MAX_STEPS

    def annotate(self, model: ModelRecord) -> ModelRecord:
        """Return a model, those inside of it too, with the shapes that follow from its own inputs."""
        layers = tuple(self._layer(layer) for layer in model.layers)
        model = replace(model, layers=layers)
        shape_of, calls = self._run(model, None)
        for ref in refs_in((model.inputs, model.outputs)):
            if ref not in shape_of:
                raise ModelFileError(
                    f"output {ref.output} of a call of {quote(ref.layer)}, which is not there"
                )
        return replace(model, layers=self._with_steps(model.layers, calls), calls=tuple(calls))

    def _with_steps(self, layers: tuple[LayerRecord, ...], calls: list[Call]) -> tuple[LayerRecord, ...]:
        """Return layers with shapes in the models that run over the steps of a sequence.

        Such a model, inside of a TimeDistributed, may not say what it takes.
        """
        seen = {call.layer: call.input_shapes[0] for call in calls if call.input_shapes}
        return tuple(self._seeing(layer, seen.get(layer.name)) for layer in layers)

    def _seeing(self, layer: LayerRecord, shape: Shape) -> LayerRecord:
        inside = layer.inner.get("layer")
        if not layer.is_a("TimeDistributed") or inside is None or shape is None or len(shape) < 2:
            return layer
        step = (shape[0], *shape[2:])
        if inside.model is not None and len(inside.model.input_refs) == 1:
            _, calls = self._run(inside.model, (step,))
            inside = replace(inside, model=replace(inside.model, calls=tuple(calls)))
        return replace(layer, inner=FrozenMap({"layer": self._seeing(inside, step)}))

    def _layer(self, layer: LayerRecord) -> LayerRecord:
        if not layer.inner and layer.model is None:
            return layer
        inner = {key: self._layer(inside) for key, inside in layer.inner.items()}
        model = None if layer.model is None else self.annotate(layer.model)
        return replace(layer, inner=FrozenMap(inner), model=model)

    def _run(
        self, model: ModelRecord, inputs: tuple[Shape, ...] | None
    ) -> tuple[dict[TensorRef, Shape], list[Call]]:
        layers = {layer.name: layer for layer in model.layers}
        file_shapes = self.file_shapes.get(tuple(layers), {}) if inputs is None else {}
        shape_of: dict[TensorRef, Shape] = {}
        given = dict(zip(model.input_refs, inputs or (), strict=False))
        used = _outputs_used(model) if any(map(_is_unknown, model.layers)) else {}
        calls = []
        for call in model.calls:
            layer = layers[call.layer]
            refs = call.tensors()
            for ref in refs:
                if ref not in shape_of:
                    raise ModelFileError(
                        f"output {ref.output} of a call of {quote(ref.layer)}, which is not there"
                    )
            ins = tuple(shape_of[ref] for ref in refs_in(tuple(call.arguments.get(key) for key in DATA)))
            if layer.is_a("InputLayer"):
                outs: tuple[Shape, ...] = (given.get(call.output()) or _input_shape(layer),)
            elif layer.kind == "operation":
                outs = op_shapes.infer(layer.class_name, call.arguments, shape_of)
            else:
                outs = self.shapes(layer, ins)
                if call.arguments.get("return_attention_scores") is True:
                    outs = (*outs, _scores(layer, ins))
            outs = _with_file_shapes(call, outs, file_shapes, layer, used)
            for number, shape in enumerate(outs):
                shape_of[call.output(number)] = shape
            returns = "tensor" if len(outs) == 1 else "tuple"
            if layer.model is not None and isinstance(layer.model.outputs, FrozenMap):
                returns = "dict"
            inputs_of = tuple(shape_of[ref] for ref in refs)
            calls.append(replace(call, input_shapes=inputs_of, output_shapes=outs, returns=returns))
        return shape_of, calls

    def shapes(self, layer: LayerRecord, ins: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Return the shapes that a layer makes of others.

        Raises:
            ModelFileError: a weight does not fit an input.
        """
        self._steps_left -= 1
        if layer.model is not None:
            return self._nested(layer.model, ins)
        if not layer.is_a(*SPECS) or layer.kind != "layer":
            return (None,)
        if layer.inner:
            return self._wrapped(layer, ins)
        spec = SPECS[layer.class_name]
        known_sizes(layer, spec.symbols(layer.config, ins))
        outs = spec.infer(layer.config, ins)
        activation = layer.config.get("activation")
        return (
            _halved(outs, activation)
            if isinstance(activation, Activation) and activation.name == "glu"
            else outs
        )

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
        if layer.is_a("TimeDistributed"):
            step = None if shape is None or len(shape) < 2 else (shape[0], *shape[2:])
            outs = self.shapes(layer.inner["layer"], (step,))
            return tuple(
                None if out is None or shape is None else (out[0], shape[1], *out[1:]) for out in outs
            )
        if layer.is_a("Bidirectional"):
            return _both_ways(layer, self.shapes(layer.inner["forward_layer"], ins))
        if layer.is_a("RNN"):
            return _cells(layer, shape)
        if "layer" in layer.inner:
            return self.shapes(layer.inner["layer"], ins)
        return (None,)


def _scores(layer: LayerRecord, ins: tuple[Shape, ...]) -> Shape:
    """Return the shape of the attention scores that a layer returns beside its result."""
    query, value = (*ins, None, None)[:2]
    if query is None or value is None or len(query) != 3 or len(value) != 3:
        return None
    heads = layer.config.get("num_heads", layer.config.get("num_query_heads"))
    if "Head" in layer.class_name or "Group" in layer.class_name:
        return (query[0], heads if isinstance(heads, int) else None, query[1], value[1])
    return (query[0], query[1], value[1])


def _outputs_used(model: ModelRecord) -> dict[tuple[str, int], int]:
    """Return, per call, the highest number of an output that something uses."""
    used: dict[tuple[str, int], int] = {}
    for ref in (*(ref for call in model.calls for ref in call.tensors()), *model.output_refs):
        used[ref.layer, ref.call] = max(used.get((ref.layer, ref.call), 0), ref.output)
    return used


def _with_file_shapes(
    call: Call,
    outs: tuple[Shape, ...],
    file_shapes: Mapping[TensorRef, Shape],
    layer: LayerRecord,
    used: Mapping[tuple[str, int], int],
) -> tuple[Shape, ...]:
    """Fill in what the file tells; of a layer that nobody knows there are as many outputs as are used."""
    shapes = list(outs)
    if _is_unknown(layer):
        most = min(used.get((call.layer, call.number), 0), MAX_OUTPUTS - 1)
        shapes += [None] * (most + 1 - len(shapes))
    for number, shape in enumerate(map(_possible, shapes)):
        shapes[number] = shape
        if shape is None or None in shape[1:]:
            shapes[number] = file_shapes.get(call.output(number)) or shape
    return tuple(shapes)


def _is_unknown(layer: LayerRecord) -> bool:
    """Whether only the rest of the graph tells how many outputs a layer has."""
    return layer.model is None and (bool(layer.problem) or layer.kind != "layer")


def _possible(shape: Shape) -> Shape:
    """Return a shape, None where no tensor has such: arguments may ask for sizes below 0 or without end."""
    if shape is None or all(size is None or 0 <= size <= LARGEST_SIZE for size in shape):
        return shape
    return None


def _halved(outs: tuple[Shape, ...], glu: Activation) -> tuple[Shape, ...]:
    """Return shapes behind a gated linear unit, which halves an axis."""
    shape, axis = outs[0], glu.parameters.get("axis", -1)
    if shape is None or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        return (None, *outs[1:])
    axis %= len(shape)
    size = shape[axis]
    return ((*shape[:axis], None if size is None else size // 2, *shape[axis + 1 :]), *outs[1:])


def _both_ways(layer: LayerRecord, outs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    output, states = outs[0], outs[1:]
    mode = layer.config["merge_mode"]
    if mode is None:
        return (output, output, *states, *states)
    merged = concatenated((output, output), -1) if mode == "concat" else output
    return (merged, *states, *states)


def _cells(layer: LayerRecord, shape: Shape) -> tuple[Shape, ...]:
    cell = layer.inner.get("cell")
    cells = (
        [*cell.inner.values()]
        if cell is not None and cell.inner
        else [cell]
        if cell
        else list(layer.inner.values())
    )
    units = [inside.config.get("units") for inside in cells]
    sizes = [size if isinstance(size, int) else None for size in units]
    batch, time = shape[:2] if shape is not None and len(shape) > 2 else (None, None)
    states: list[Shape] = []
    if layer.config["return_state"]:
        pairs = list(zip(cells, sizes, strict=True))
        if cell is not None and cell.config.get("reverse_state_order") is True:
            pairs.reverse()
        for inside, size in pairs:
            states += [(batch, size)] * (2 if inside.is_a("LSTMCell") else 1)
    last = sizes[-1] if sizes else None
    return ((batch, time, last) if layer.config["return_sequences"] else (batch, last), *states)


def _input_shape(layer: LayerRecord) -> Shape:
    shape = layer.config["batch_shape"]
    if not isinstance(shape, tuple):
        return None
    return tuple(size if isinstance(size, int) else None for size in shape)
