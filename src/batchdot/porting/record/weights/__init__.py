"""Match each array of a file with one weight of one layer, in both layouts of Keras."""

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive import LegacyWeights, Weights
from batchdot.porting.errors import ModelFileError
from batchdot.porting.record.convert import Source
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import FrozenMap, LayerRecord, ModelRecord, Weight
from batchdot.porting.record.weights.leaves import Found, is_rms, known_sizes, slots_of
from batchdot.porting.record.weights.legacy import match_legacy
from batchdot.porting.record.weights.objects import Objects

__all__ = ["attach", "known_sizes"]


def attach(model: ModelRecord, weights: Weights, era: Era, same_file: bool, path: str) -> ModelRecord:
    """Return a model with its weights.

    Args:
        model: a record without weights.
        weights: the arrays of a file.
        era: who wrote the weights.
        same_file: whether config and weights come from one file, so that names agree.
        path: the file of the weights, for errors when they are read.

    Raises:
        ModelFileError: an array is missing, left over, or of another shape than the config says.
    """
    if isinstance(weights, LegacyWeights):
        found = match_legacy(model, weights, era, same_file)
    else:
        found = Objects(weights, era, same_file).match(model)
    return _Attacher(found, path).model(model, "", model.trainable)


@dataclass(frozen=True)
class _Attacher:
    """Gives layers the weights that were found for them."""

    found: Found
    file: str

    def model(self, model: ModelRecord, prefix: str, trainable: bool) -> ModelRecord:
        """Return a model whose layers, at a path, have weights."""
        layers = tuple(self.layer(layer, f"{prefix}/{layer.name}", trainable) for layer in model.layers)
        return replace(model, layers=layers, has_weights=True)

    def layer(self, layer: LayerRecord, path: str, trainable: bool) -> LayerRecord:
        """Return a layer with its weights and those of what is inside of it."""
        found = self.found.get(path, {})
        if not found and not layer.inner and layer.model is None:
            return layer
        trainable = trainable and layer.trainable
        inner = {key: self.layer(inside, f"{path}/.{key}", trainable) for key, inside in layer.inner.items()}
        model = None
        if layer.model is not None:
            model = self.model(layer.model, path, trainable and layer.model.trainable)
        flags = {slot.role: slot.trainable for slot in slots_of(layer)}
        made = {
            role: self.weight(role, source, trainable and flags.get(role, True))
            for role, source in found.items()
        }
        config = layer.config
        if is_rms(layer, len(made)):
            config = FrozenMap({**config, "rms_scaling": True})
        return replace(layer, config=config, weights=FrozenMap(made), inner=FrozenMap(inner), model=model)

    def weight(self, role: str, source: Source, trainable: bool) -> Weight:
        """Return a weight that is read from the file when asked for."""
        read = functools.partial(_read, source, self.file)
        return Weight(role, source.shape, source.dtype, trainable, source.parts[0].path, read)


def _read(source: Source, file: str) -> NDArray[np.generic]:
    """Return the numbers of a weight; an error names the file."""
    try:
        return source.read()
    except ModelFileError as error:
        error.file = error.file or file
        raise
