"""The formulas of masks: what operations of Keras 3 make of them, and how large a formula may grow."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from batchdot.porting.errors import ModelFileError
from batchdot.porting.record.values import Call, LayerRecord, Mask, ModelRecord, TensorRef, Value

LARGEST = 64
"""Parts of the formula of one mask; beyond, it is the tensor that the graph computes."""

MAX_PARTS = 200
"""Parts of the mask that layers of Keras 2 make: no graph computes it, so that it has to be a formula."""

MASK_OPERATIONS = {
    "not_equal", "any", "logical_or", "logical_and", "expand_dims", "zeros_like", "ones_like", "concatenate",
    "identity",
}  # fmt: skip
"""Operations that Keras 3 adds to a graph for masks alone."""

INSIDE = Mask("inside")
"""A mask that is made of tensors which are only known inside of a nested model."""


def combined(kind: str, masks: list[Mask]) -> Mask | None:
    """Return "all" or "any" of masks, each once; None where there are none."""
    unique = tuple(dict.fromkeys(masks))
    if not unique:
        return None
    return unique[0] if len(unique) == 1 else bounded(Mask(kind, masks=unique))


def bounded(mask: Mask) -> Mask:
    """Return a mask unless it is too large: each step of a graph may double it.

    Raises:
        ModelFileError: it has more parts than any model needs.
    """
    if _size(mask) > MAX_PARTS:
        raise ModelFileError("a mask made of more masks", f"{MAX_PARTS}")
    return mask


def _size(mask: Mask) -> int:
    return 1 + sum(_size(part) for part in mask.masks if part is not None)


def outside(mask: Mask | None, called_with: Mapping[TensorRef, tuple[TensorRef, Mask | None]]) -> Mask | None:
    """Return a mask that a nested model makes as a formula over what the model is called with.

    Args:
        mask: a formula over tensors of the nested model.
        called_with: for each of its inputs, the tensor and the mask that the caller gives.

    >>> i, x = TensorRef("i"), TensorRef("x")
    >>> outside(Mask("all", masks=(Mask("input", i), Mask("not_equal", i, 0.0))), {i: (x, Mask("tensor", x))})
    all(x, (x != 0))
    """
    if mask is None:
        return None
    if mask.kind == "input":
        assert mask.tensor is not None
        return called_with[mask.tensor][1]
    tensors = {ref for ref in (mask.tensor, *mask.like) if ref is not None}
    parts = tuple(outside(part, called_with) for part in mask.masks)
    if not tensors <= called_with.keys() or INSIDE in parts:
        return INSIDE
    tensor = None if mask.tensor is None else called_with[mask.tensor][0]
    like = tuple(None if ref is None else called_with[ref][0] for ref in mask.like)
    return replace(mask, tensor=tensor, masks=parts, like=like)


class Formulas:
    """The formula of every tensor that operations of Keras 3 make of masks."""

    def __init__(self) -> None:
        self._found: dict[TensorRef, Mask] = {}
        self._zeros: set[TensorRef] = set()
        self._compared: set[TensorRef] = set()

    def mask(self, value: Value) -> Mask | None:
        """Return the mask that an argument is."""
        if not isinstance(value, TensorRef):
            return None
        return self._found.get(value) or Mask("tensor", value)

    def add(self, call: Call, layer: LayerRecord) -> None:
        """Work out what an operation makes of masks; others are left as tensors."""
        if layer.kind != "operation":
            return
        made = self._made(layer.class_name, call.arguments)
        if made is not None and _size(made) <= LARGEST:
            self._found[call.output()] = made
        if layer.class_name == "zeros_like":
            self._zeros.add(call.output())
        if layer.class_name == "not_equal":
            self._compared.add(call.output())

    def _made(self, name: str, arguments: Mapping[str, Value]) -> Mask | None:
        x, x1, x2 = (arguments.get(key) for key in ("x", "x1", "x2"))
        if name == "not_equal" and isinstance(x1, TensorRef) and isinstance(x2, (int, float)):
            return Mask("not_equal", x1, float(x2))
        if name in ("expand_dims", "identity") and isinstance(x, TensorRef):
            return self._found.get(x)
        if name == "any" and isinstance(x, TensorRef) and arguments.get("axis") == -1:
            inner = self._found.get(x)
            return (
                replace(inner, kind="any_not_equal") if inner is not None and x in self._compared else inner
            )
        if name in ("logical_or", "logical_and") and isinstance(x1, TensorRef) and isinstance(x2, TensorRef):
            parts = [self.mask(x) for x in (x1, x2) if x not in self._zeros]
            kind = "any" if name == "logical_or" else "all"
            return combined(kind, [part for part in parts if part is not None])
        if name == "concatenate":
            return self._concatenated(arguments)
        return None

    def _concatenated(self, arguments: Mapping[str, Value]) -> Mask | None:
        xs, axis = arguments.get("xs"), arguments.get("axis")
        if not isinstance(xs, tuple) or not isinstance(axis, int):
            return None
        parts = [self._found.get(x) for x in xs if isinstance(x, TensorRef)]
        present = [part for part in parts if part is not None]
        if not present or len(present) != len(xs):
            return None
        if axis == -1:
            return combined("any", present)
        return Mask("concatenate", masks=tuple(parts), axis=axis, like=(None,) * len(parts))


def without_mask_operations(model: ModelRecord) -> ModelRecord:
    """Drop operations that only made masks, which are formulas now."""
    layers = {layer.name: layer for layer in model.layers}
    if not any(map(_may_go, model.layers)):
        return model
    needed: set[TensorRef] = set(model.output_refs)
    kept: list[Call] = []
    for call in reversed(model.calls):
        if _may_go(layers[call.layer]) and not any(
            call.output(number) in needed for number in range(len(call.output_shapes))
        ):
            continue
        kept.append(call)
        needed.update(call.tensors())
        needed.update(_tensors_of(call.masks.values()))
    used = {call.layer for call in kept}
    remaining = tuple(layer for layer in model.layers if layer.name in used or not _may_go(layer))
    return replace(model, layers=remaining, calls=tuple(reversed(kept)))


def _may_go(layer: LayerRecord) -> bool:
    return layer.kind == "operation" and layer.class_name in MASK_OPERATIONS


def _tensors_of(masks: Iterable[Mask | None]) -> set[TensorRef]:
    found: set[TensorRef] = set()
    for mask in masks:
        if mask is not None:
            if mask.tensor is not None and mask.kind != "input":
                found.add(mask.tensor)
            found |= {ref for ref in mask.like if ref is not None}
            found |= _tensors_of(mask.masks)
    return found
