"""Warnings about a saved model that is valid: NaN in weights, a softmax that is always 1, a lost mask."""

from collections.abc import Iterable, Iterator

import numpy as np

from batchdot.porting.record import Activation, LayerRecord, ModelRecord

MOST_CHECKED = 2**27
"""Largest number of weights that is searched for NaN: half a GiB of float32 is read in half a second."""


def warnings_of(model: ModelRecord) -> list[str]:
    """Return warnings, in words."""
    return [*model.notes, *_constant_softmax(model, ""), *_bad_numbers(model)]


def _constant_softmax(model: ModelRecord, prefix: str) -> list[str]:
    """Find softmaxes over an axis of size 1, which are 1 whatever goes in."""
    layers = {layer.name: layer for layer in model.layers}
    found = []
    for call in model.calls:
        layer = layers[call.layer]
        shape = call.output_shapes[0] if call.output_shapes else None
        axes = _softmax_axes(layer)
        if (
            axes
            and shape is not None
            and all(-len(shape) <= axis < len(shape) and shape[axis] == 1 for axis in axes)
        ):
            found.append(f"{prefix}{layer.name}: a softmax over an axis of size 1 is always 1")
    for layer in model.layers:
        if layer.model is not None:
            found += _constant_softmax(layer.model, f"{prefix}{layer.name}/")
    return found


def _softmax_axes(layer: LayerRecord) -> tuple[int, ...]:
    if layer.is_a("Softmax"):
        axis: object = layer.config["axis"]
    else:
        activation = layer.config.get("activation")
        if not isinstance(activation, Activation) or activation.name != "softmax" or layer.inner:
            return ()
        axis = activation.parameters.get("axis")
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(part for part in axes if isinstance(part, int))


def _bad_numbers(model: ModelRecord) -> list[str]:
    total = sum(layer.parameters for layer in model.layers)
    if total > MOST_CHECKED:
        return [f"{total:,} numbers were not searched for NaN: at most {MOST_CHECKED:,} are"]
    return list(_bad_layers(model.layers, ""))


def _bad_layers(layers: Iterable[LayerRecord], prefix: str) -> Iterator[str]:
    """Yield a warning for each weight that is not finite, with the path of its layer."""
    for layer in layers:
        path = f"{prefix}{layer.name}"
        for weight in layer.weights.values():
            numbers = weight.read()
            if numbers.dtype.kind == "f" and not bool(np.isfinite(numbers).all()):
                what = "NaN" if bool(np.isnan(numbers).any()) else "infinity"
                yield f"{path}: {what} in its {weight.role}"
        yield from _bad_layers(layer.inner.values(), f"{path}/")
        yield from _bad_layers(layer.model.layers if layer.model is not None else (), f"{path}/")
