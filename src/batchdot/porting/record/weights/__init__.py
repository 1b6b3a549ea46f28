"""Match each array of a file with one weight of one layer, in both layouts of Keras."""

from dataclasses import replace

from batchdot.porting.archive import LegacyWeights, Weights
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import FrozenMap, LayerRecord, ModelRecord, Weight
from batchdot.porting.record.weights.leaves import Found, is_rms, known_sizes, slots_of
from batchdot.porting.record.weights.legacy import match_legacy
from batchdot.porting.record.weights.objects import Objects

__all__ = ["attach", "known_sizes"]


def attach(model: ModelRecord, weights: Weights, era: Era, same_file: bool) -> ModelRecord:
    """Return a model with its weights.

    Args:
        model: a record without weights.
        weights: the arrays of a file.
        era: who wrote the weights.
        same_file: whether config and weights come from one file, so that names have to agree.

    Raises:
        ModelFileError: an array is missing, left over, or of another shape than the config says.
    """
    if isinstance(weights, LegacyWeights):
        found = match_legacy(model, weights, era)
    else:
        found = Objects(weights, era, same_file).match(model)
    return _with_weights(model, found, "", model.trainable)


def _with_weights(model: ModelRecord, found: Found, prefix: str, trainable: bool) -> ModelRecord:
    layers = tuple(
        _layer_with_weights(layer, found, f"{prefix}/{layer.name}", trainable) for layer in model.layers
    )
    return replace(model, layers=layers, has_weights=True)


def _layer_with_weights(layer: LayerRecord, found: Found, path: str, trainable: bool) -> LayerRecord:
    trainable = trainable and layer.trainable
    inner = {
        key: _layer_with_weights(inside, found, f"{path}/.{key}", trainable)
        for key, inside in layer.inner.items()
    }
    model = None
    if layer.model is not None:
        model = _with_weights(layer.model, found, path, trainable and layer.model.trainable)
    flags = {slot.role: slot.trainable for slot in slots_of(layer)}
    made = {
        role: Weight(
            role, source.shape, source.dtype, trainable and flags.get(role, True),
            source.parts[0].path, source.read,
        )
        for role, source in found.get(path, {}).items()
    }  # fmt: skip
    config = layer.config
    if is_rms(layer, len(made)):
        config = FrozenMap({**config, "rms_scaling": True})
    return replace(layer, config=config, weights=FrozenMap(made), inner=FrozenMap(inner), model=model)
