"""Porting: read models that any version of Keras saved, without Keras, and safely even from a stranger.

Data flow: `batchdot.porting.archive` (bytes to members), `batchdot.porting.record` (one frozen
value for every version), `batchdot.porting.inspection` (a report). Reading imports no torch, runs nothing
that a file holds, and opens one file, or two with separate weights.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from batchdot.porting.archive import open_archive, open_weights
from batchdot.porting.errors import ModelFileError
from batchdot.porting.inspection import Inspection, inspect_record
from batchdot.porting.record import ModelRecord, record_of

__all__ = ["Inspection", "ModelFileError", "ModelRecord", "inspect", "read"]


def __dir__() -> list[str]:
    return sorted(__all__)


T = TypeVar("T")

Path = str | os.PathLike[str]


def read(path: Path, *, weights: Path | None = None) -> ModelRecord:
    """Return what Keras saved in a file, as one value for every version of Keras.

    The container is recognized by the file's content: HDF5 (``.h5``, also under the name ``.keras``), a
    ``.keras`` archive, or the JSON of ``to_json()``. Numbers are read from the file when a weight's
    ``read()`` is called, so the file has to stay where it is.

    Args:
        path: the model.
        weights: a file of weights (``.h5``, ``.weights.h5``, ``.npz``, or a whole model) for a config that
            has none.

    Raises:
        OSError: a file cannot be opened.
        ModelFileError: a file is no model that Keras saved, is damaged, or does not fit the other.

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> dense = {"name": "dense", "units": 2, "activation": "relu", "batch_input_shape": [None, 3]}
    >>> config = {"name": "net", "layers": [{"class_name": "Dense", "config": dense}]}
    >>> model = {"class_name": "Sequential", "config": config, "keras_version": "2.15.0"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "net.json")
    ...     written = file.write_text(json.dumps(model))
    ...     record = read(file)
    >>> record.layer("dense").config["units"], record.calls[-1].output_shapes
    (2, ((None, 2),))
    """

    def record() -> ModelRecord:
        archive = open_archive(path)
        if weights is None:
            return record_of(archive)
        return record_of(archive, open_weights(weights), os.fsdecode(weights))

    return _naming(path, record)


def inspect(path: Path, *, weights: Path | None = None) -> Inspection:
    """Return a report of what Keras saved in a file: layers, shapes, Dot products, warnings.

    Printed, it is a text; ``data()`` is for programs; ``svg()`` is a picture of the graph. It works on
    models whose layers cannot be ported, and says which and why.

    Args:
        path: the model, as for `read`.
        weights: a file of weights, as for `read`.

    Raises:
        OSError: a file cannot be opened.
        ModelFileError: a file is no model that Keras saved, is damaged, or does not fit the other.

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> layers = [
    ...     {"class_name": "Dense", "config": {"name": "dense", "units": 1, "batch_input_shape": [None, 3]}},
    ...     {"class_name": "Softmax", "config": {"name": "softmax", "axis": -1}},
    ... ]
    >>> config = {"name": "net", "layers": layers}
    >>> model = {"class_name": "Sequential", "config": config, "keras_version": "2.15.0"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "net.json")
    ...     written = file.write_text(json.dumps(model))
    ...     report = inspect(file)
    >>> report.warnings
    ('softmax: a softmax over an axis of size 1 is always 1',)
    """
    return _naming(path, lambda: inspect_record(read(path, weights=weights)))


def _naming(path: Path, work: Callable[[], T]) -> T:
    """Give errors that name no file the model's path."""
    try:
        return work()
    except ModelFileError as error:
        error.file = error.file or os.fsdecode(path)
        raise
