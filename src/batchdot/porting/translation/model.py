"""Translate a model: its layers in the order of their calls, and the models inside of it as classes."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeGuard

from batchdot.porting.errors import ModelFileError, NotPortableError, quote
from batchdot.porting.program import (
    Body,
    ModelClass,
    Names,
    Program,
    Submodule,
    Value,
    attributes_in,
    channels_first,
    channels_last,
)
from batchdot.porting.program.expressions import literal
from batchdot.porting.program.loops import FEWEST
from batchdot.porting.program.names import class_name
from batchdot.porting.program.values import Names as Targets
from batchdot.porting.program.values import Results, leaves
from batchdot.porting.record import (
    Activation,
    Call,
    FrozenMap,
    LayerRecord,
    Mask,
    ModelRecord,
    Shape,
    Slice,
    TensorRef,
)
from batchdot.porting.record.values import refs_in
from batchdot.porting.translation.custom import (
    CustomError,
    advice,
    custom_activation,
    custom_layer,
    wanted,
)
from batchdot.porting.translation.layer import (
    UNFORESEEN,
    Layer,
    RefusedError,
    Scope,
    UnlikeError,
    WeightlessError,
    unforeseen,
)
from batchdot.porting.translation.masks import every_step, write_mask
from batchdot.porting.translation.notes import notes_on
from batchdot.porting.translation.port import Options, Origin, Port
from batchdot.porting.translation.registry import Forward, Result, translation_of
from batchdot.porting.translation.sharing import Loan
from batchdot.porting.translation.site import Argument, Site

PART = re.compile(r"\w+\[\d+\]")
"""A part of a tensor that has a name, which needs none of its own."""


def translate(
    record: ModelRecord, title: str, name: str, reserved: frozenset[str], options: Options
) -> Program:
    """Return the program of a saved model.

    Args:
        record: the model.
        title: what it is, in one line.
        name: what to call the class, if that is free.
        reserved: names that helpers have.
        options: how to port it.

    Raises:
        NotPortableError: layers have no translation, or mean what cannot be translated; all are named.
    """
    port = Port(options, reserved, Names(reserved), record.has_weights)
    for sentence in record.notes:
        port.note(sentence)
    root = class_name(name, port.class_names)
    images_first = options.channels == "first" and not any(
        layer.config.get("data_format") == "channels_first" for layer in record.all_layers()
    )
    translator = ModelTranslator(port, record, root, trainable=record.trainable, images_first=images_first)
    try:
        model = translator.run()
    except (CustomError, ModelFileError):
        raise
    except UNFORESEEN as error:
        raise NotPortableError([(record.name, unforeseen(error))]) from error
    if port.lacks_weights:
        reason = "the file has no weights; give the file that has them (weights= or --weights)"
        raise NotPortableError([(record.name, reason)])
    if port.missing:
        raise NotPortableError(list(port.missing.items()))
    try:
        for sentence in notes_on(record, model):
            port.note(sentence)
    except UNFORESEEN as error:
        raise NotPortableError([(record.name, unforeseen(error))]) from error
    remarks = tuple(
        f"custom[{quote(unused)}] is the name of no layer, class or activation of this model."
        for unused in options.custom
        if unused not in port.functions
    )
    definitions = tuple((name, expression) for expression, name in port.definitions.items())
    return Program(title, model, tuple(port.notes), tuple(port.functions.values()), remarks, definitions)


class ModelTranslator:
    """Translates one model to one class."""

    def __init__(
        self,
        port: Port,
        record: ModelRecord,
        name: str,
        *,
        trainable: bool,
        training: bool | None = None,
        parent: "ModelTranslator | None" = None,
        images_first: bool = False,
    ) -> None:
        self.port = port
        self.parent = parent
        self.images_first = images_first
        self.attribute = ""
        self.borrowed: dict[tuple[ModelTranslator, str], tuple[str, str]] = {}
        self.borrowed_from: list[tuple[ModelTranslator, Submodule]] = []
        self.record = record
        self.name = name
        self.trainable = trainable
        self.training = training
        layer_names = [layer.name for layer in record.layers]
        self.scope = Scope(
            Names(first=layer_names),
            self.translate,
            self._replace,
            port.note,
            port.define,
            trainable=trainable,
            with_batchdot=port.options.with_batchdot,
        )
        self.body = Body(Names(port.reserved, first=layer_names))
        self.values: dict[TensorRef, Value] = {}
        self.masks: dict[Mask, Value] = {}
        self.mask_parameters: dict[int, Value] = {}
        self.layers = {layer.name: layer for layer in record.layers}
        self.calls: dict[str, list[Call]] = {layer.name: [] for layer in record.layers}
        for call in record.calls:
            self.calls[call.layer].append(call)
        self.users: dict[TensorRef, list[LayerRecord | None]] = {
            ref: [None] for ref in refs_in(record.outputs)
        }
        for call in record.calls:
            for ref in call.tensors():
                self.users.setdefault(ref, []).append(self.layers[call.layer])
        self.has_masks = any(call.masks for call in record.calls)
        self.forwards: dict[str, Forward] = {}
        self.models: dict[str, ModelTranslator] = {}
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
        parameters += tuple(self.mask_parameters.values())
        self.structure = self._results(self.record.outputs)
        if _is_empty(self.structure):
            self.port.missing.setdefault(self.record.name, "it returns nothing, or an empty list or dict")
        statements, results = self.body.finish(self.structure)
        used = attributes_in(statements, results)
        submodules = tuple(one for one in self.scope.submodules if one.attribute in used)
        return ModelClass(
            self.name,
            "",
            parameters,
            submodules,
            statements,
            results,
            trainable=self.trainable,
            keys=keys,
            borrowed=tuple(self.borrowed.values()),
        )

    def _ordered_calls(self) -> list[Call]:
        """Return the calls in order, those of layers that are called again and again turn by turn."""
        level: dict[TensorRef, int] = {}
        for call in self.record.calls:
            own = call.number if len(self.calls[call.layer]) >= FEWEST else 0
            highest = max([own, *(level.get(ref, 0) for ref in call.tensors())])
            level |= {call.output(number): highest for number in range(len(call.output_shapes))}
        return sorted(self.record.calls, key=lambda call: level[call.output()])

    def _inputs(self) -> tuple[tuple[str, ...], tuple[TensorRef, ...]]:
        """Return the inputs in the order of ``model.inputs``, and their keys where they are a dict.

        A model inside of another is called with its inputs one by one, and with masks.
        """
        inputs = self.record.inputs
        if isinstance(inputs, FrozenMap):
            return () if self.parent else tuple(inputs), tuple(inputs.values())
        return (), inputs

    def translate(self, layer: Layer) -> Forward:
        """Add what a layer needs to ``__init__``; return the function that writes its calls."""
        record = layer.record
        custom = self.port.custom(record.name, record.class_name)
        if custom is not None:
            return custom_layer(layer, custom)
        if record.problem and not self._has_replaced_activation(record):
            needs = [wanted(record)] if record.kind == "custom" or record.is_a("Lambda") else []
            needs += [advice(activation.name) for activation in self._missing_activations(record)]
            raise RefusedError("; ".join([record.problem, *needs]))
        if layer.scope.lent is not None:
            return self._built(layer)
        loan = self.port.loans.find(record)
        if loan is not None and loan.owner is not self:
            try:
                return self._lent(layer, loan)
            except UnlikeError:
                layer.scope = self.scope
        before = len(self.scope.submodules)
        forward = self._built(layer)
        added = self.scope.submodules[before:]
        model = self.models.get(layer.record.name) if record.model is not None else None
        self.port.loans.add(Loan(record, self, added, model))
        return forward

    def _built(self, layer: Layer) -> Forward:
        """Add what a layer needs to ``__init__``, or take what is lent in its place."""
        if layer.record.model is not None:
            return self._nested(layer, layer.record.model)
        translation = translation_of(layer.record)
        if translation is None:
            name = layer.record.class_name
            raise RefusedError(f"there is no translation of {name}; {advice(name)}")
        return translation(layer)

    def _lent(self, layer: Layer, loan: Loan) -> Forward:
        """Return the function that writes calls of a layer that another class has built."""
        reached = [self.reach(loan.owner, submodule) for submodule in loan.submodules]
        if loan.model is not None:
            return self._calls_of(loan.model, reached[0])
        layer.scope = replace(self.scope, lent=list(zip(loan.submodules, reached, strict=True)))
        return self._built(layer)

    def reach(self, owner: "ModelTranslator", submodule: Submodule) -> str:
        """Return the expression of a sub-module of another class: a path, or a parameter of ``forward``."""
        path, above = [submodule.attribute], owner
        while above is not self and above.parent is not None:
            path.append(above.attribute)
            above = above.parent
        if above is self:
            return ".".join(["self", *reversed(path)])
        key = owner, submodule.attribute
        if key not in self.borrowed:
            self.borrowed_from.append((owner, submodule))
            kind = "Tensor" if "" in submodule.state else "nn.Module"
            self.borrowed[key] = self.body.names.take(submodule.attribute), kind
        return self.borrowed[key][0]

    def _nested(self, layer: Layer, model: ModelRecord) -> Forward:
        name = class_name(layer.name, self.port.class_names)
        translator = ModelTranslator(
            self.port, model, name, trainable=layer.trainable, training=layer.training, parent=self
        )
        module = layer.nested(translator.run())
        translator.attribute = module.removeprefix("self.")
        self.models[layer.record.name] = translator
        return self._calls_of(translator, module)

    def _calls_of(self, translator: "ModelTranslator", module: str) -> Forward:
        """Return the function that writes calls of a model inside of this one."""

        def forward(site: Site) -> Result:
            values = site.values()
            expected = len(translator.record.input_refs)
            if len(values) != expected:
                raise RefusedError(f"it is called with {len(values)} tensors, and has {expected} inputs")
            masks = [
                site.mask("inputs" if len(values) == 1 else f"inputs.{number}") or every_step(values[number])
                for number in translator.mask_parameters
            ]
            modules = [
                self.reach(
                    owner, next(each for each in owner.scope.submodules if each.attribute == attribute)
                )
                for owner, attribute in translator.borrowed
            ]
            arguments = ", ".join(map(str, (*map(site.last, values), *masks, *modules)))
            call = f"{module}({arguments})"
            if isinstance(translator.structure, str):
                return call
            if isinstance(translator.structure, dict):
                made = site.named(call)
                return tuple(f"{made}[{literal(key)}]" for key in translator.structure)
            numbers = itertools.count()
            return tuple(leaves(site.unpack(call, _suffixes(translator.structure, numbers))))

        return forward

    def _parameter(self, ref: TensorRef) -> Value:
        record = self.layers[ref.layer]
        call = next(call for call in self.record.calls if call.layer == ref.layer)
        dtype = str(record.config.get("dtype", "float32"))
        kind = "int" if "int" in dtype else "bool" if dtype == "bool" else "float"
        shape = call.output_shapes[0]
        is_first = self.images_first and _is_image(shape)
        value = Value(self.body.names.take(record.name), shape, kind, is_first)  # type: ignore[arg-type]
        self.values[ref] = value
        return value

    def _call(self, call: Call) -> None:
        record = self.layers[call.layer]
        if record.kind == "layer" and not call.tensors():
            raise RefusedError("it is called without a tensor")
        if call.layer not in self.forwards:
            layer = Layer(
                record,
                self.scope,
                input_shapes=call.input_shapes,
                output_shapes=call.output_shapes,
                call_shapes=tuple(each.input_shapes for each in self.calls[call.layer]),
                training=self._training(call.layer),
                trainable=self.trainable,
                is_masked=any(
                    each.masks or "attention_mask" in each.arguments for each in self.calls[call.layer]
                ),
            )
            self.forwards[call.layer] = self.translate(layer)
        self.body.origin = Origin(record, call)
        site = Site(
            self.body,
            record.name,
            {key: self._argument(value) for key, value in call.arguments.items()},
            call.output_shapes,
            call.masks,
            self._mask,
            self._is_flattened(call),
        )
        result = self.forwards[call.layer](site)
        several = result if isinstance(result, tuple) else (result,)
        for number, (part, shape) in enumerate(zip(several, call.output_shapes, strict=True)):
            value = Value(part, shape) if isinstance(part, str) else part
            if shape is not None and not (site.is_flattened and value.rank == 2):
                value = replace(value, shape=shape)
            if number and PART.fullmatch(value.text):
                self.values[call.output(number)] = value
                continue
            self.values[call.output(number)] = site.named(value, str(number) if number else "")

    def _is_flattened(self, call: Call) -> bool:
        """Whether the result of a call has one use or several, each of which flattens it."""
        users = self.users.get(call.output(), [])
        return bool(users) and not self.has_masks and all(map(self._flattens, users))

    def _flattens(self, user: LayerRecord | None) -> bool:
        """Whether what uses a tensor is Keras's Flatten, and neither the user's own nor an output."""
        return user is not None and user.is_a("Flatten") and not self.port.custom(user.name, user.class_name)

    def _training(self, layer: str) -> bool | None:
        """Return what all calls of a layer say by ``training=``, else what the model's own calls say."""
        said = {call.arguments.get("training") for call in self.calls[layer]}
        (only,) = said if len(said) == 1 else (None,)
        return only if isinstance(only, bool) else self.training

    def _argument(self, value: object) -> Argument:
        """Return an argument of a call with a `Value` for each tensor."""
        if isinstance(value, TensorRef):
            return self.values[value]
        if isinstance(value, tuple):
            return tuple(self._argument(part) for part in value)
        if isinstance(value, Mapping):
            return {key: self._argument(part) for key, part in value.items()}
        if isinstance(value, Slice):
            return Slice(*(self._argument(part) for part in (value.start, value.stop, value.step)))  # type: ignore[arg-type]
        return value  # type: ignore[return-value]

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

    def _results(self, outputs: object) -> Results:
        if isinstance(outputs, TensorRef):
            value = self.values[outputs]
            ordered = channels_first if self.images_first and _is_image(value.shape) else channels_last
            return str(ordered(value, self.body))
        if isinstance(outputs, FrozenMap):
            return {str(key): self._results(part) for key, part in outputs.items()}
        assert isinstance(outputs, tuple)
        return tuple(self._results(part) for part in outputs)

    def _has_replaced_activation(self, record: LayerRecord) -> bool:
        """Whether all that is wrong with a layer is an activation that the user replaces."""
        return not self._missing_activations(record) and any(map(_is_custom, record.config.values()))

    def _missing_activations(self, record: LayerRecord) -> list[Activation]:
        found = [value for value in record.config.values() if _is_custom(value)]
        return [activation for activation in found if not self.port.custom(activation.name)]

    def _replace(self, layer: Layer, activation: Activation) -> Activation:
        function = self.port.custom(activation.name)
        if function is None:
            raise RefusedError(
                f"the activation {quote(activation.name)} is not Keras's own; {advice(activation.name)}"
            )
        return custom_activation(layer, activation, function)

    def _refuse(self, name: str, refusal: Exception) -> None:
        if isinstance(refusal, WeightlessError) and not self.port.has_weights:
            self.port.lacks_weights = True
        reason = str(refusal) if isinstance(refusal, RefusedError) else unforeseen(refusal)
        self.port.missing.setdefault(name, reason)


def _is_custom(value: object) -> TypeGuard[Activation]:
    """Whether a value of a config is an activation that is not Keras's own."""
    return isinstance(value, Activation) and value.is_custom


def _is_image(shape: Shape) -> bool:
    """Whether a tensor is a batch of images or volumes."""
    return shape is not None and len(shape) in (4, 5)


def _is_empty(results: Results) -> bool:
    """Whether there is a list or dict of no tensors among the results."""
    if isinstance(results, str):
        return False
    parts = results.values() if isinstance(results, dict) else results
    return not parts or any(map(_is_empty, parts))


def _suffixes(results: Results, numbers: Iterator[int]) -> Targets:
    """Return suffixes to a name, for several results as they come."""
    if isinstance(results, tuple):
        return tuple(_suffixes(part, numbers) for part in results)
    number = next(numbers)
    return str(number) if number else ""
