"""Infer which mask each layer of a saved model obeys, by the rules of the version that wrote it.

Keras 1 and 2 carry masks along with tensors; what they obey is worked out here. Keras 3 writes masks into
its files as operations of the graph; they become the same formulas, and the operations go.
"""

from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.errors import quote
from batchdot.porting.record.classes import SPECS
from batchdot.porting.record.era import Era
from batchdot.porting.record.mask_formulas import (
    Formulas,
    bounded,
    combined,
    outside,
    without_mask_operations,
)
from batchdot.porting.record.run_order import in_run_order
from batchdot.porting.record.values import (
    Call,
    FrozenMap,
    LayerRecord,
    Mask,
    ModelRecord,
    TensorRef,
    Value,
    refs_in,
)

EXPLICIT = {"query_mask": "query", "value_mask": "value", "key_mask": "key"}


class MaskFlow:
    """Works out masks over a model and the models inside of it."""

    def __init__(self, era: Era, notes: list[str]) -> None:
        self.era = era
        self.notes = notes
        self._inner: dict[tuple[int, frozenset[int]], tuple[Mask | None, ...]] = {}
        self._run_time: set[Mask] = set()

    def annotate(self, model: ModelRecord, passed: frozenset[int] = frozenset()) -> ModelRecord:
        """Return a model whose calls say which masks they obey.

        Args:
            model: with shapes.
            passed: numbers of the inputs that come with a mask from the caller.
        """
        calls, _ = self._flow(model, passed)
        inside: dict[str, set[int]] = {layer.name: set() for layer in model.layers}
        for call in calls:
            inside[call.layer] |= {int(key.partition(".")[2] or 0) for key in call.masks}
        made = tuple(self._inside(layer, frozenset(inside[layer.name])) for layer in model.layers)
        return without_mask_operations(replace(model, layers=made, calls=tuple(calls)))

    def _flow(
        self, model: ModelRecord, passed: frozenset[int]
    ) -> tuple[list[Call], Mapping[TensorRef, Mask]]:
        """Return the calls of a model with the masks that they obey, and the masks that tensors carry."""
        layers = {layer.name: layer for layer in model.layers}
        mask_of: dict[TensorRef, Mask] = {
            ref: Mask("input", ref) for number, ref in enumerate(model.input_refs) if number in passed
        }
        formulas = Formulas()
        calls: list[Call] = []
        for call in in_run_order(model) if self.era.is_keras3 else model.calls:
            layer = layers[call.layer]
            formulas.add(call, layer)
            call, carried = self._call(call, layer, mask_of, formulas)
            for number, mask in enumerate(carried[: len(call.output_shapes)]):
                if mask is not None:
                    mask_of.setdefault(call.output(number), mask)
            if self._takes_masks_away(layer, call):
                for ref in call.tensors():
                    mask_of.pop(ref, None)
            calls.append(call)
        place = {(call.layer, call.number): number for number, call in enumerate(model.calls)}
        calls.sort(key=lambda call: place[call.layer, call.number])
        return calls, mask_of

    def _takes_masks_away(self, layer: LayerRecord, call: Call) -> bool:
        """Whether a call deletes the masks of its inputs: what follows does not see them."""
        return (
            layer.is_a("MultiHeadAttention")
            and self.era.is_keras3
            and self.era.version >= (3, 9)
            and not any(key in call.arguments for key in EXPLICIT)
        )

    def _inside(self, layer: LayerRecord, passed: frozenset[int]) -> LayerRecord:
        """Return a layer with masks in the models that it is, or that are inside of it."""
        if not layer.inner and layer.model is None:
            return layer
        model = None if layer.model is None else self.annotate(layer.model, passed)
        inner = {key: self._inside(inside, passed) for key, inside in layer.inner.items()}
        return replace(layer, model=model, inner=FrozenMap(inner))

    def _call(
        self, call: Call, layer: LayerRecord, mask_of: Mapping[TensorRef, Mask], formulas: Formulas
    ) -> tuple[Call, tuple[Mask | None, ...]]:
        """Return a call with the masks that it obeys, and the masks that its outputs carry on."""
        arguments = dict(call.arguments)
        explicit = {key: arguments.pop(key) for key in ("mask", *EXPLICIT) if key in arguments}
        if layer.kind == "operation":
            return call, ()
        tensors = {
            key: value for key, value in arguments.items() if key in ("inputs", "query", "value", "key")
        }
        given = self._given(layer, tensors, mask_of, explicit, formulas)
        kind = "nested" if layer.model is not None else self._kind(layer)
        obeyed, out = self._rule(kind, layer, given, tensors, call)
        carried: tuple[Mask | None, ...] = (out,)
        if layer.model is not None:
            refs = list(refs_in(tuple(tensors.values())))
            carried = self._carried(layer.model, refs, list(given.values()))
        if kind == "rnn" and obeyed and "initial_state" in arguments:
            if self.era.is_keras3 and "mask" not in explicit:
                obeyed = {}  # Keras 3 passes masks along by itself only where there is one tensor argument
            if self._begins_with_state():
                arguments["first_output"] = "initial_state"
        inner = layer.inner["layer"] if layer.is_a("TimeDistributed") else layer
        is_masked = bool(obeyed) or arguments.get("attention_mask") is not None
        if (
            is_masked
            and _uses_softmax(inner, arguments)
            and self.era.is_keras3
            and self.era.version >= (3, 10)
        ):
            arguments["zeroes_masked"] = True  # before, steps that are all excluded had the same share each
            if self.era.is_guess:
                self.notes.append(
                    f"{quote(layer.name)}: the file does not say which Keras 3 wrote it; a softmax of steps "
                    "that are all masked is 0, as from Keras 3.10 on, and was the same for each step before"
                )
        if not obeyed and not explicit:
            return call, carried
        shapes = dict(zip(call.tensors(), call.input_shapes, strict=True))
        kept = FrozenMap(arguments)
        inputs = tuple(shapes[ref] for ref in refs_in(kept))
        return replace(call, arguments=kept, masks=FrozenMap(obeyed), input_shapes=inputs), carried

    def _begins_with_state(self) -> bool:
        """Whether steps before the first that counts put out the initial state, not 0."""
        return self.era.before(keras2=(9,), tf=(1, 13))

    def _given(
        self,
        layer: LayerRecord,
        tensors: Mapping[str, Value],
        mask_of: Mapping[TensorRef, Mask],
        explicit: Mapping[str, Value],
        formulas: Formulas,
    ) -> dict[str, Mask | None]:
        """Return the mask of each input, by parameter: the one that was passed, else the one it carries."""
        names = _names(layer, tensors)
        found = {key: mask_of.get(ref) for key, ref in names.items()}
        if "mask" in explicit:
            passed = explicit["mask"]
            several = passed if isinstance(passed, tuple) else (passed,)
            if passed is None and self.era.is_keras3:
                found = {key: mask if self._comes_at_run_time(mask) else None for key, mask in found.items()}
            elif isinstance(passed, tuple) or len(names) == 1:
                for key, value in zip(names, several, strict=False):
                    found[key] = formulas.mask(value)
            else:
                found["mask"] = formulas.mask(passed)
        for key, parameter in EXPLICIT.items():
            if key in explicit and explicit[key] is not None:
                found[parameter] = formulas.mask(explicit[key])
        return found

    def _kind(self, layer: LayerRecord) -> str:
        return SPECS[layer.class_name].mask if layer.kind == "layer" and layer.class_name in SPECS else "stop"

    def _rule(
        self,
        kind: str,
        layer: LayerRecord,
        given: dict[str, Mask | None],
        tensors: Mapping[str, Value],
        call: Call,
    ) -> tuple[dict[str, Mask], Mask | None]:
        era = self.era
        obeyed = {key: mask for key, mask in given.items() if mask is not None}
        first = next(iter(given.values()), None)
        if kind == "pass":
            return {}, first
        refs = list(refs_in(tuple(tensors.values())))
        if kind == "embedding":
            return {}, Mask("not_equal", refs[0], 0.0) if layer.config["mask_zero"] and refs else None
        if kind == "masking":
            value = layer.config["mask_value"]
            assert isinstance(value, float)
            return {}, Mask("any_not_equal", refs[0], value) if refs else None
        if kind == "softmax":
            return ({} if era.before(keras2=(9,), tf=(2, 4)) else obeyed), first
        if kind == "average":
            return ({} if era.before(keras2=(2, 2), tf=(1, 13)) else obeyed), None
        if kind == "rnn":
            return obeyed, first if _returns_sequences(layer) else None
        if kind == "time":
            return self._over_steps(layer.inner["layer"], given, refs)
        if kind == "attention":
            return obeyed, given.get("query")
        if kind == "heads":
            if era.before(keras2=(9,), tf=(2, 9)):
                return {}, None
            return obeyed, given.get("query")
        if kind == "merge":
            return {}, self._merged(list(given.values()))
        if kind == "concatenate":
            return {}, self._concatenated(layer, given, refs, call)
        if kind == "nested":
            return obeyed, None
        return {}, None

    def _over_steps(
        self, inner: LayerRecord, given: dict[str, Mask | None], refs: list[TensorRef]
    ) -> tuple[dict[str, Mask], Mask | None]:
        """TensorFlow asks the inner layer; a step whose mask ends there counts if any part of it did."""
        kind = "nested" if inner.model is not None else self._kind(inner)
        first = next(iter(given.values()), None)
        used = kind in ("nested", "rnn", "average", "softmax", "time")
        obeyed = {key: mask for key, mask in given.items() if mask is not None and used}
        if self.era.family != "tf":
            return obeyed, first
        if kind == "embedding" and inner.config["mask_zero"] and refs:
            return {}, Mask("not_equal", refs[0], 0.0)
        passes = kind in ("pass", "softmax", "time") or (kind == "rnn" and _returns_sequences(inner))
        if kind == "nested":
            passes = self._through(inner, given) is not None
        return obeyed, first if passes or first is None else Mask("any_part", masks=(first,))

    def _merged(self, masks: list[Mask | None]) -> Mask | None:
        """In Keras 2 a step counts if it does in all masks; in Keras 3 in any, if all inputs have one."""
        present = [mask for mask in masks if mask is not None]
        if not self.era.is_keras3:
            return combined("all", present)
        if self.era.version < (3, 4) or len(present) != len(masks):
            return None
        return combined("any", present)

    def _concatenated(
        self, layer: LayerRecord, given: Mapping[str, Mask | None], refs: list[TensorRef], call: Call
    ) -> Mask | None:
        present = [mask for mask in given.values() if mask is not None]
        if not present:
            return None
        axis, shape = layer.config["axis"], call.output_shapes[0]
        last = axis == -1 or (shape is not None and axis == len(shape) - 1)
        if last:
            return combined("any" if self.era.is_keras3 else "all", present)
        if not isinstance(axis, int):
            return None
        return bounded(Mask("concatenate", masks=tuple(given.values()), axis=axis, like=tuple(refs)))

    def _carried(
        self, model: ModelRecord, refs: list[TensorRef], masks: list[Mask | None]
    ) -> tuple[Mask | None, ...]:
        """Return the masks that the outputs of a nested model carry on, over what it is called with."""
        key = id(model), frozenset(number for number, mask in enumerate(masks) if mask is not None)
        if key not in self._inner:
            _, mask_of = self._flow(model, key[1])
            self._inner[key] = tuple(mask_of.get(ref) for ref in model.output_refs)
        called_with = dict(zip(model.input_refs, zip(refs, masks, strict=False), strict=False))
        carried = tuple(outside(mask, called_with) for mask in self._inner[key])
        self._run_time.update(mask for mask in carried if mask is not None)
        return carried

    def _comes_at_run_time(self, mask: Mask | None) -> bool:
        """Whether a mask crosses the border of a nested model, which Keras 3 does not write into a file."""
        if mask is None:
            return False
        return mask.kind == "input" or mask in self._run_time or any(map(self._comes_at_run_time, mask.masks))

    def _through(self, layer: LayerRecord, given: Mapping[str, Mask | None]) -> Mask | None:
        """Return what a nested model's only output carries on, where that is the mask of its only input."""
        model = layer.model
        if (
            model is None
            or len(model.input_refs) != 1
            or len(model.output_refs) != 1
            or model.kind != "sequential"
        ):
            return None
        mask = next(iter(given.values()), None)
        for inside in model.layers:
            kind = "nested" if inside.model is not None else self._kind(inside)
            if inside.is_a("InputLayer") or kind in ("pass", "softmax", "time"):
                continue
            if kind == "rnn" and _returns_sequences(inside):
                continue
            return None
        return mask


def _uses_softmax(layer: LayerRecord, arguments: Mapping[str, Value]) -> bool:
    """Whether a layer is Keras's Softmax, or calls it, as attention with dropout or scores does."""
    scores = layer.config.get("dropout") or arguments.get("return_attention_scores") is True
    is_attention = layer.is_a("MultiHeadAttention", "GroupedQueryAttention")
    return layer.is_a("Softmax") or (is_attention and bool(scores))


def _names(layer: LayerRecord, tensors: Mapping[str, Value]) -> dict[str, TensorRef]:
    """Return the tensors of a call by the names under which their masks are known."""
    names: dict[str, TensorRef] = {}
    for key, value in tensors.items():
        refs = list(refs_in(value))
        if layer.is_a("Attention", "AdditiveAttention"):
            names |= dict(zip(("query", "value", "key"), refs, strict=False))
        elif len(refs) == 1:
            names[key] = refs[0]
        else:
            names |= {f"{key}.{number}": ref for number, ref in enumerate(refs)}
    return names


def _returns_sequences(layer: LayerRecord) -> bool:
    inner = layer.inner.get("forward_layer", layer)
    return inner.config.get("return_sequences") is True
