"""Read weights that Keras saved for a model whose config is known, layer by layer."""

import os
from typing import TYPE_CHECKING, TypeAlias

from batchdot.porting.archive import open_weights
from batchdot.porting.archive.container import parse_archive
from batchdot.porting.archive.source import BytesSource
from batchdot.porting.errors import ModelFileError
from batchdot.porting.record import LayerRecord, ModelRecord, record_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Weights: TypeAlias = "dict[str, list[NDArray[np.generic]] | Weights]"
"""The weights of each layer by name, in Keras's order and layouts; of a nested model, those of its layers."""


def read_weights(config: str, path: str | os.PathLike[str]) -> Weights:
    """Return the weights in a file for the layers of a model.

    Args:
        config: the model, as ``to_json()`` returns it.
        path: a file of weights, or a whole model.

    Raises:
        OSError: the file cannot be opened.
        ModelFileError: the file holds no weights, or they do not fit the model.
    """
    try:
        record = record_of(parse_archive("", BytesSource(config.encode())), open_weights(path))
    except ModelFileError as error:
        error.file = error.file or os.fsdecode(path)
        raise
    return _of_model(record)


def _of_model(record: ModelRecord) -> Weights:
    return {layer.name: _of_layer(layer) for layer in record.layers if any(layer.all_weights())}


def _of_layer(layer: LayerRecord) -> "list[NDArray[np.generic]] | Weights":
    if layer.model is not None:
        return _of_model(layer.model)
    return [weight.read() for weight in layer.all_weights()]
