"""Random inputs that fit a saved model: ids within the vocabularies that they reach, sizes that are free."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.errors import quote
from batchdot.porting.record import Call, LayerRecord, ModelRecord, TensorRef
from batchdot.porting.record.values import Value, refs_in

BATCH = 5
"""Samples, where the model does not fix it."""

FREE = {4: 64, 5: 16}
"""A size that the model leaves open, by the rank of the input: of images, of videos."""

STEPS = 16
"""A size that the model leaves open in inputs of other ranks: steps in time."""

KEEPING = {
    "InputLayer", "Identity", "Flatten", "Reshape", "Permute", "RepeatVector", "Dropout", "Masking",
    "Concatenate", "Cropping1D", "identity", "cast", "reshape", "squeeze", "expand_dims",
    "getitem", "concatenate", "stack", "transpose", "split", "unstack", "repeat", "tile", "flip", "ravel",
    "copy", "stop_gradient",
}  # fmt: skip
"""Layers and operations whose outputs hold numbers of their inputs as they are."""

SIZES = {"Embedding": "input_dim", "CategoryEncoding": "num_tokens", "one_hot": "num_classes"}
"""The argument that bounds the ids which a layer or an operation takes."""


@dataclass
class Ids:
    """Which inputs of a model are ids.

    Attributes:
        below: by input, the smallest vocabulary that it reaches.
        masked: the inputs of which 0 means that there is nothing.
    """

    below: dict[TensorRef, int] = field(default_factory=dict)
    masked: set[TensorRef] = field(default_factory=set)


def random_inputs(model: ModelRecord, seed: int = 0) -> dict[TensorRef, NDArray[np.generic]]:
    """Return random inputs by their names: ids that Embedding layers have, other numbers from -1 to 1.

    Sequences of ids that are masked end in zeros in every other sample.
    """
    generator = np.random.default_rng(seed)
    ids = Ids()
    follow(model, {ref: frozenset({ref}) for ref in model.input_refs}, ids)
    return {ref: _numbers(model.layer(ref.layer), ref, ids, generator) for ref in model.input_refs}


def follow(
    model: ModelRecord, origins: Mapping[TensorRef, frozenset[TensorRef]], ids: Ids
) -> dict[TensorRef, frozenset[TensorRef]]:
    """Find the inputs whose numbers reach a vocabulary.

    Args:
        model: the model, or one inside of it.
        origins: by input of this model, the inputs of the outermost one whose numbers it holds.
        ids: receives what is found.

    Returns:
        The same as ``origins`` for every tensor of the model.
    """
    held = dict(origins)
    layers = {layer.name: layer for layer in model.layers}
    for call in model.calls:
        layer = layers[call.layer]
        given = frozenset[TensorRef]().union(*(held.get(ref, frozenset()) for ref in call.tensors()))
        if layer.model is not None:
            _follow_inside(layer.model, call, held, ids)
            continue
        inside = layer.inner.get("layer", layer) if layer.is_a("TimeDistributed") else layer
        if inside.class_name in SIZES:
            _note_vocabulary(inside, call, given, ids)
        elif inside.class_name in KEEPING and given:
            for number in range(len(call.output_shapes)):
                held.setdefault(call.output(number), given)
    return held


def _follow_inside(
    model: ModelRecord, call: Call, held: dict[TensorRef, frozenset[TensorRef]], ids: Ids
) -> None:
    given = zip(model.input_refs, call.tensors(), strict=False)
    inside = follow(model, {mine: held.get(outer, frozenset()) for mine, outer in given}, ids)
    for number, ref in enumerate(refs_in(model.outputs)):
        if inside.get(ref):
            held[call.output(number)] = inside[ref]


def _note_vocabulary(layer: LayerRecord, call: Call, given: frozenset[TensorRef], ids: Ids) -> None:
    size: Value = layer.config.get(SIZES[layer.class_name], call.arguments.get(SIZES[layer.class_name]))
    if isinstance(size, int) and size > 0:
        for ref in given:
            ids.below[ref] = min(size, ids.below.get(ref, size))
    if layer.config.get("mask_zero") is True:
        ids.masked |= given


def _numbers(
    layer: LayerRecord, ref: TensorRef, ids: Ids, generator: np.random.Generator
) -> NDArray[np.generic]:
    shape, dtype = layer.config.get("batch_shape"), str(layer.config.get("dtype", "float32"))
    if not isinstance(shape, tuple):
        raise ValueError(f"the shape of the input {layer.name!r} is not in the file: give recorded inputs")
    sizes = [
        size if isinstance(size, int) else BATCH if axis == 0 else FREE.get(len(shape), STEPS)
        for axis, size in enumerate(shape)
    ]
    try:
        numpy_dtype = np.dtype("float32" if dtype == "bfloat16" else dtype)
    except TypeError:
        raise ValueError(
            f"the input {layer.name!r} has the dtype {quote(dtype)}, of which there are no random numbers: "
            "give recorded inputs"
        ) from None
    if ref in ids.below or numpy_dtype.kind in "iu":
        numbers = generator.integers(0, ids.below.get(ref, 2), sizes)
        if ref in ids.masked and len(sizes) > 1:
            numbers[::2, sizes[1] - sizes[1] // 3 :] = 0
        return numbers.astype(numpy_dtype)
    if numpy_dtype.kind == "b":
        return generator.integers(0, 2, sizes).astype(bool)
    return generator.uniform(-1, 1, sizes).astype(numpy_dtype)
