"""List the layers of a model that have weights, in Keras's order, and check arrays against them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import SPECS, Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.dtypes import quantization
from batchdot.porting.record.values import LayerRecord

Found = dict[str, "dict[str, Source]"]
"""Per layer, by its path in the record, its weights by role."""

_FLOAT, _COUNT = re.compile(r"float(?:16|32|64)|bfloat16"), re.compile(r"u?int(?:32|64)|float32")


@dataclass(frozen=True)
class Leaf:
    """A layer that has weights of its own, inside of a top-level layer or that layer itself."""

    path: str
    layer: LayerRecord
    slots: tuple[Slot, ...]


def is_rms(layer: LayerRecord, arrays: int) -> bool:
    """Whether a LayerNormalization scales by the root mean square: Keras 3.0 to 3.3 do not save that it does.

    It has a gamma alone then, though its config says that it has a beta.
    """
    config = layer.config
    return arrays == 1 and layer.is_a("LayerNormalization") and bool(config["center"] and config["scale"])


def is_open(layer: LayerRecord) -> bool:
    """Whether only the file knows which weights a layer has: it is the user's, or quantized."""
    return layer.kind == "custom" or bool(quantization(layer.dtype))


def slots_of(layer: LayerRecord) -> tuple[Slot, ...]:
    """Return the weights that a layer has itself, without those of layers inside of it."""
    if layer.kind != "layer" or layer.class_name not in SPECS or is_open(layer):
        return ()
    return SPECS[layer.class_name].slots(layer.config)


def leaves(layer: LayerRecord, path: str) -> Iterator[Leaf]:
    """Yield what has weights in a layer, in Keras's order: inner layers before their wrapper's own."""
    for key, inside in layer.inner.items():
        yield from leaves(inside, f"{path}/.{key}")
    if layer.model is not None:
        for inside in layer.model.layers:
            yield from leaves(inside, f"{path}/{inside.name}")
    slots = slots_of(layer)
    if slots or is_open(layer):
        yield Leaf(path, layer, slots)


def finished(leaf: Leaf, sources: dict[str, Source]) -> dict[str, Source]:
    """Return a layer's weights in Keras's order and today's layouts, once their shapes are right.

    Raises:
        ModelFileError: a shape is another than the config says.
    """
    ordered = {slot.role: sources[slot.role] for slot in leaf.slots}
    sizes: dict[str, int] = {}
    for slot in leaf.slots:
        source = ordered[slot.role]
        if not (_COUNT if slot.role == "count" else _FLOAT).fullmatch(source.dtype):
            raise ModelFileError(f"numbers of type {quote(source.dtype)}", place=source.parts[0].place)
        check_shape(leaf, slot, source, sizes)
    if leaf.layer.is_a("CuDNNLSTM", "CuDNNGRU"):
        return {role: convert.cudnn(leaf.layer, role, source) for role, source in ordered.items()}
    return ordered


def check_shape(leaf: Leaf, slot: Slot, source: Source, sizes: dict[str, int]) -> None:
    """Compare a shape with a slot's; a named size is the same wherever it occurs in a layer.

    Raises:
        ModelFileError: they differ.
    """
    if slot.shape is None:
        return
    wanted = tuple(
        sizes.setdefault(size, found) if isinstance(size, str) else size
        for size, found in zip(slot.shape, source.shape, strict=False)
    )
    fits = len(slot.shape) == len(source.shape) and all(
        size is None or size == found for size, found in zip(wanted, source.shape, strict=True)
    )
    if not fits:
        expected = tuple(sizes.get(size, size) if isinstance(size, str) else size for size in slot.shape)
        raise ModelFileError(
            f"shape {source.shape} of {quote(slot.role)} of {quote(leaf.layer.name)}",
            str(expected).replace("None", "any"),
            place=source.parts[0].place,
        )


def known_sizes(layer: LayerRecord, sizes: Mapping[str, int | None]) -> None:
    """Compare weights with sizes that the shapes of a layer's inputs tell.

    Raises:
        ModelFileError: they differ.
    """
    for slot in slots_of(layer):
        weight = layer.weights.get(slot.role)
        if weight is None or slot.shape is None or len(slot.shape) != len(weight.shape):
            continue
        for size, found in zip(slot.shape, weight.shape, strict=True):
            wanted = sizes.get(size) if isinstance(size, str) else None
            if wanted is not None and wanted != found:
                raise ModelFileError(
                    f"{quote(slot.role)} of shape {weight.shape} for an input of size {wanted}",
                    place=quote(layer.name),
                )
