"""Build the record of a saved model from its config and arrays: the steps in order."""

import json
from dataclasses import replace
from functools import partial

from batchdot.porting.archive import Archive, LegacyWeights, Weights
from batchdot.porting.errors import ModelFileError
from batchdot.porting.record.era import Era
from batchdot.porting.record.fixups import fill_inputs, fix
from batchdot.porting.record.flow import annotate
from batchdot.porting.record.graph import ModelReader
from batchdot.porting.record.item import Item
from batchdot.porting.record.training import training_of
from batchdot.porting.record.values import ModelRecord, Written
from batchdot.porting.record.weights import attach


def record_of(archive: Archive, weights: Weights | None = None, weights_path: str = "") -> ModelRecord:
    """Return the record of what an archive holds.

    Args:
        archive: a model or a config.
        weights: arrays from another file, for an archive that has none.
        weights_path: that file, for errors.

    Raises:
        ModelFileError: the config makes no sense, or the weights do not fit it.
    """
    if archive.config is None:
        raise ModelFileError(
            "weights without a model",
            "the model, and this file as weights=; to_json() writes a model without weights",
        )
    if weights is not None and archive.weights is not None:
        raise ModelFileError(
            "a model that has weights of its own", "weights= only with a config that has none"
        )
    own = weights or archive.weights
    is_keras1 = isinstance(own, LegacyWeights) and own.is_keras1 and not archive.version
    era = Era.of(archive.version, archive.backend, is_keras1, partial(json.dumps, archive.config))
    reader = ModelReader(era)
    model = reader.read(Item(archive.config, archive.place))
    notes = list(model.notes)
    model = fix(model, era, notes)
    if own is None:
        model = replace(model, has_weights=False)
    else:
        path = weights_path or archive.path
        try:
            model = attach(model, own, era, same_file=weights is None, path=path)
        except ModelFileError as error:
            error.file = error.file or path
            raise
        model = fill_inputs(model, notes)
    model = annotate(model, era, reader.shapes, notes)
    written = Written(era.words, archive.version, archive.backend, archive.container, archive.path)
    return replace(model, training=training_of(archive.training), notes=tuple(notes), written=written)
