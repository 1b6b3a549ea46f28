"""Translate one model to one class: its layers in the order of their calls; models inside are classes too."""

import re
from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.errors import ModelFileError
from batchdot.porting.program import (
    Body,
    ModelClass,
    Names,
    Value,
    attributes_in,
    channels_first,
    channels_last,
)
from batchdot.porting.program.loops import FEWEST
from batchdot.porting.program.names import class_name
from batchdot.porting.program.values import Results
from batchdot.porting.record import Call, FrozenMap, LayerRecord, Mask, ModelRecord, Shape, Slice, TensorRef
from batchdot.porting.record.values import refs_in
from batchdot.porting.translation.building import Builder
from batchdot.porting.translation.custom import CustomError, custom_layer_of
from batchdot.porting.translation.dtypes import (
    bring_together,
    cast,
    dtype_of_result,
    is_looked_up,
    takes_any,
    weight_of,
)
from batchdot.porting.translation.layer import (
    UNFORESEEN,
    Layer,
    RefusedError,
    WeightlessError,
    unforeseen,
)
from batchdot.porting.translation.masks import write_mask
from batchdot.porting.translation.nesting import Inside, Place, title_of
from batchdot.porting.translation.port import Origin, Port
from batchdot.porting.translation.registry import Forward
from batchdot.porting.translation.site import Argument, Site

PART = re.compile(r"\w+\[\d+\]")
"""A part of a tensor that has a name, which needs none of its own."""


class ModelTranslator:
    """Translates one model to one class.

    Args:
        port: what all classes of the program share.
        record: the model.
        name: of the class.
        trainable: whether anything in it may learn.
        training: what the calls of the model say by ``training=``.
        above: the class that has it as a sub-module, None of the whole model.
        images_first: whether images come and go with their channels behind the batch.
    """

    def __init__(
        self,
        port: Port,
        record: ModelRecord,
        name: str,
        *,
        trainable: bool,
        training: bool | None = None,
        above: Place | None = None,
        images_first: bool = False,
    ) -> None:
        self.port = port
        self.record = record
        self.name = name
        self.trainable = trainable
        self.training = training
        self.images_first = images_first
        layer_names = [layer.name for layer in record.layers]
        self.body = Body(Names(port.reserved, first=layer_names))
        self.place = Place(self.body.names, above)
        self.builder = Builder(port, self.place, layer_names, trainable=trainable, translate=self._nested)
        self.layers = {layer.name: layer for layer in record.layers}
        self.calls: dict[str, list[Call]] = {layer.name: [] for layer in record.layers}
        self.users: dict[TensorRef, list[LayerRecord | None]] = {
            ref: [None] for ref in refs_in(record.outputs)
        }
        for call in record.calls:
            self.calls[call.layer].append(call)
            for ref in call.tensors():
                self.users.setdefault(ref, []).append(self.layers[call.layer])
        self.has_masks = any(call.masks for call in record.calls)
        self.built: dict[str, tuple[Forward, Value | None]] = {}
        self.values: dict[TensorRef, Value] = {}
        self.masks: dict[Mask, Value] = {}
        self.mask_parameters: dict[int, Value] = {}
        self.structure: Results = ()

    def run(self) -> ModelClass:
        """Return the class."""
        keys, refs = self._inputs()
        parameters = tuple(map(self._parameter, refs))
        for call in self._ordered_calls():
            if call.output() not in self.values:
                try:
                    self._call(call)
                except (CustomError, ModelFileError):
                    raise
                except (RefusedError, *UNFORESEEN) as refusal:
                    self._refuse(call.layer, refusal)
                    for number, shape in enumerate(call.output_shapes):
                        self.values[call.output(number)] = Value("_", shape)
        self.structure = self._results(self.record.outputs)
        if _is_empty(self.structure):
            self.port.missing.setdefault(self.record.name, "it returns nothing, or an empty list or dict")
        statements, results = self.body.finish(self.structure)
        used = attributes_in(statements, results)
        borrowed = self.place.borrowed.values()
        return ModelClass(
            self.name,
            "",
            (*parameters, *self.mask_parameters.values()),
            tuple(one for one in self.builder.scope.submodules if one.attribute in used),
            statements,
            results,
            self.body.steps(self.structure),
            self.structure,
            trainable=self.trainable,
            keys=keys,
            borrowed=tuple((one.name, one.annotation) for one in borrowed),
        )

    # Inputs and outputs

    def _inputs(self) -> tuple[tuple[str, ...], tuple[TensorRef, ...]]:
        """Return the inputs in the order of ``model.inputs``, and their keys where they are a dict.

        A model inside of another is called with its inputs one by one, and with masks.
        """
        inputs = self.record.inputs
        if isinstance(inputs, FrozenMap):
            return () if self.place.above else tuple(inputs), tuple(inputs.values())
        return (), inputs

    def _parameter(self, ref: TensorRef) -> Value:
        record = self.layers[ref.layer]
        call = next(call for call in self.record.calls if call.layer == ref.layer)
        declared = str(record.config.get("dtype", "float32"))
        kind = "int" if "int" in declared else "bool" if declared == "bool" else "float"
        if self.place.above and is_looked_up(self.record, ref):
            kind = "int"  # or whatever it is called with
        shape = call.output_shapes[0]
        name = self.body.names.take(record.name)
        dtype = "" if not self.port.is_mixed else name if self.place.above else declared
        is_first = self.images_first and _is_image(shape)
        self.values[ref] = Value(name, shape, kind, is_first, dtype)  # type: ignore[arg-type]
        return self.values[ref]

    def _results(self, outputs: object) -> Results:
        if isinstance(outputs, TensorRef):
            value = cast(self.values[outputs], None, self.body)
            ordered = channels_first if self.images_first and _is_image(value.shape) else channels_last
            return str(ordered(value, self.body))
        if isinstance(outputs, FrozenMap):
            return {str(key): self._results(part) for key, part in outputs.items()}
        assert isinstance(outputs, tuple)
        return tuple(self._results(part) for part in outputs)

    # Calls of layers

    def _ordered_calls(self) -> list[Call]:
        """Return the calls in order, those of layers that are called again and again turn by turn."""
        level: dict[TensorRef, int] = {}
        for call in self.record.calls:
            own = call.number if len(self.calls[call.layer]) >= FEWEST else 0
            highest = max([own, *(level.get(ref, 0) for ref in call.tensors())])
            level |= {call.output(number): highest for number in range(len(call.output_shapes))}
        return sorted(self.record.calls, key=lambda call: level[call.output()])

    def _call(self, call: Call) -> None:
        record = self.layers[call.layer]
        if record.kind == "layer" and not call.tensors():
            raise RefusedError("it is called without a tensor")
        if call.layer not in self.built:
            self.built[call.layer] = self._build(record, call)
        forward, weight = self.built[call.layer]
        self.body.origin = Origin(record, call)
        given = [self.values[ref] for ref in call.tensors()]
        if not takes_any(record):
            given = bring_together(given, weight, self.body)
        tensors = dict(zip(call.tensors(), given, strict=True))
        site = Site(
            self.body,
            record.name,
            {
                key: _argument(value, self.values if key == "attention_mask" else tensors)
                for key, value in call.arguments.items()
            },
            call.output_shapes,
            call.masks,
            self._mask,
            self._is_flattened(call),
        )
        result = forward(site)
        several = result if isinstance(result, tuple) else (result,)
        for number, (part, shape) in enumerate(zip(several, call.output_shapes, strict=True)):
            value = Value(part, shape) if isinstance(part, str) else part
            if shape is not None and not (site.is_flattened and value.rank == 2):
                value = replace(value, shape=shape)
            if record.model is None:
                value = replace(value, dtype=dtype_of_result(given, weight))
            if number and PART.fullmatch(value.text):
                self.values[call.output(number)] = value
                continue
            self.values[call.output(number)] = site.named(value, str(number) if number else "")

    def _build(self, record: LayerRecord, call: Call) -> tuple[Forward, Value | None]:
        """Build a layer; return what writes its calls, and a weight whose dtype it computes in."""
        calls = self.calls[record.name]
        layer = Layer(
            record,
            self.builder.scope,
            input_shapes=call.input_shapes,
            output_shapes=call.output_shapes,
            call_shapes=tuple(each.input_shapes for each in calls),
            training=self._training(record.name),
            trainable=self.trainable,
            is_masked=any(each.masks or "attention_mask" in each.arguments for each in calls),
        )
        forward = self.builder.build(layer)
        is_custom = custom_layer_of(record, self.port) is not None
        return forward, None if is_custom else weight_of(layer, is_mixed=self.port.is_mixed)

    def _nested(self, layer: Layer, record: ModelRecord) -> tuple[Inside, str]:
        """Translate a model that is a layer of this one; return it, and the expression that reaches it."""
        translator = ModelTranslator(
            self.port,
            record,
            class_name(title_of(layer.name, record), self.port.class_names),
            trainable=layer.trainable,
            training=layer.training,
            above=self.place,
        )
        model = translator.run()
        module = layer.nested(model)
        translator.place.attribute = module.removeprefix("self.")
        return translator.inside(model), module

    def inside(self, model: ModelClass) -> Inside:
        """Return what classes that call this one, whose class is given, need to know of it."""
        return Inside(
            model,
            self.place,
            tuple(self.values[ref] for ref in self.record.input_refs),
            tuple(self.mask_parameters),
            tuple(self.values[ref] for ref in self.record.output_refs),
            self.structure,
            self.port.is_mixed,
        )

    def _is_flattened(self, call: Call) -> bool:
        """Whether the result of a call has one use or several, each of which flattens it."""
        users = self.users.get(call.output(), [])
        return bool(users) and not self.has_masks and all(map(self._flattens, users))

    def _flattens(self, user: LayerRecord | None) -> bool:
        """Whether what uses a tensor is Keras's Flatten, and neither the user's own nor an output."""
        return user is not None and user.is_a("Flatten") and not custom_layer_of(user, self.port)

    def _training(self, layer: str) -> bool | None:
        """Return what all calls of a layer say by ``training=``, else what the model's own calls say."""
        said = {call.arguments.get("training") for call in self.calls[layer]}
        (only,) = said if len(said) == 1 else (None,)
        return only if isinstance(only, bool) else self.training

    def _mask(self, mask: Mask) -> Value:
        if mask not in self.masks:
            if mask.kind == "input":
                self.masks[mask] = self._mask_parameter(mask)
            else:
                self.masks[mask] = write_mask(mask, self.body, self.values, self._mask)
        return self.masks[mask]

    def _mask_parameter(self, mask: Mask) -> Value:
        """Add a parameter for the mask that the caller passes along with an input."""
        assert mask.tensor is not None
        value = self.values[mask.tensor]
        parameter = Value(self.body.names.take(f"{value}_mask"), (value.shape or ())[:2] or None, "bool")
        self.mask_parameters[self.record.input_refs.index(mask.tensor)] = parameter
        return parameter

    def _refuse(self, name: str, refusal: Exception) -> None:
        if isinstance(refusal, WeightlessError) and not self.port.has_weights:
            self.port.lacks_weights = True
        reason = str(refusal) if isinstance(refusal, RefusedError) else unforeseen(refusal)
        self.port.missing.setdefault(name, reason)


def _argument(value: object, tensors: Mapping[TensorRef, Value]) -> Argument:
    """Return an argument of a call with a `Value` for each tensor."""
    if isinstance(value, TensorRef):
        return tensors[value]
    if isinstance(value, tuple):
        return tuple(_argument(part, tensors) for part in value)
    if isinstance(value, Mapping):
        return {key: _argument(part, tensors) for key, part in value.items()}
    if isinstance(value, Slice):
        return Slice(*(_argument(part, tensors) for part in (value.start, value.stop, value.step)))  # type: ignore[arg-type]
    return value  # type: ignore[return-value]


def _is_image(shape: Shape) -> bool:
    """Whether a tensor is a batch of images or volumes."""
    return shape is not None and len(shape) in (4, 5)


def _is_empty(results: Results) -> bool:
    """Whether there is a list or dict of no tensors among the results."""
    if isinstance(results, str):
        return False
    parts = results.values() if isinstance(results, dict) else results
    return not parts or any(map(_is_empty, parts))
