"""Porting: read models that any version of Keras saved, without Keras, and safely even from a stranger.

Data flow: `batchdot.porting.archive` (bytes to members), `batchdot.porting.record` (one frozen value for
every version), and from there either `inspection` (a report), or `translation` (one Keras layer, one
function), `program` (sub-modules and statements), `source` (text) and `module` (the text, executed);
`verification` compares it with Keras. Reading imports no torch, runs nothing that a file holds, and opens one
file, or two with separate weights.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from batchdot.io.garbage import without_collection
from batchdot.porting.archive import open_archive, open_weights
from batchdot.porting.errors import ModelFileError, NotPortableError
from batchdot.porting.inspection import Inspection, inspect_record
from batchdot.porting.record import ModelRecord, record_of

if TYPE_CHECKING:
    from torch import nn

    from batchdot.porting.ported import Ported
    from batchdot.porting.translation.custom import Custom
    from batchdot.porting.verification import Verification

__all__ = [
    "Inspection",
    "ModelFileError",
    "ModelRecord",
    "NotPortableError",
    "Ported",
    "Verification",
    "inspect",
    "load",
    "port",
    "read",
    "verify",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_LAZY = {"Ported": "batchdot.porting.ported", "Verification": "batchdot.porting.verification"}
"""The modules of classes that need torch, by name."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a class that needs torch when it is first used (PEP 562)."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)


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

    >>> record = read("benchmarks/ported/models/factorization.h5")
    >>> record.layer("user_vector").config["output_dim"], record.calls[-1].output_shapes
    (32, ((None, 1),))
    """

    def record() -> ModelRecord:
        archive = open_archive(path)
        if weights is None:
            return record_of(archive)
        return record_of(archive, open_weights(weights), os.fsdecode(weights))

    with without_collection():
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

    >>> report = inspect("benchmarks/ported/models/factorization.h5")
    >>> report.data()["layers"][-1]["class"], report.warnings
    ('Add', ())
    """
    return _naming(path, lambda: inspect_record(read(path, weights=weights)))


def port(
    path: Path,
    *,
    weights: Path | None = None,
    custom: "Mapping[str, Custom] | None" = None,
    channels: str | None = None,
    with_batchdot: bool = False,
) -> "Ported":
    """Return a saved Keras model as PyTorch source with its weights.

    Args:
        path: the model, as for `read`.
        weights: a file of weights, as for `read`.
        custom: translations of what Keras does not have, by the name of a layer, a class or an activation:
            ``function(config, weights, input_shapes)``, which returns an nn.Module or a function of tensors.
            ``weights`` is a dict of arrays by role; the saved source calls the function with None instead,
            and it has to build the same keys of the state dict.
        channels: "first" for images and volumes with their channels behind the batch, (B, C, H, W), as
            inputs and as outputs; default is the order that the Keras model has.
        with_batchdot: whether Dot layers become `batchdot.Dot`, which is more accurate, instead of plain
            PyTorch.

    Raises:
        OSError: a file cannot be opened.
        ModelFileError: a file is no model that Keras saved, is damaged, or does not fit the other.
        NotPortableError: layers cannot be ported; all of them are named.
        ValueError: ``channels`` is something else.

    >>> source = port("benchmarks/ported/models/factorization.h5").source
    >>> print(source[source.index("    def forward") : source.index("if __name")].rstrip())
        def forward(self, user: Tensor, movie: Tensor) -> Tensor:
            user_ids = user.flatten().long()  # (B,)
            user_vector = self.user_vector(user_ids)  # (B, 32)
            user_bias = self.user_bias(user_ids)  # (B, 1)
            movie_ids = movie.flatten().long()  # (B,)
            movie_vector = self.movie_vector(movie_ids)  # (B, 32)
            movie_bias = self.movie_bias(movie_ids)  # (B, 1)
            match = (user_vector * movie_vector).sum(1, keepdim=True)  # (B, 1)
            return match + user_bias + movie_bias  # (B, 1)
    """
    if channels not in (None, "first"):
        raise ValueError(f'channels is None or "first", not {channels!r}')
    from batchdot.porting.ported import port_record
    from batchdot.porting.translation import Options

    options = Options(with_batchdot=with_batchdot, custom=custom or {}, channels=channels)
    return _naming(path, lambda: port_record(read(path, weights=weights), options))


def load(
    path: Path,
    *,
    weights: Path | None = None,
    custom: "Mapping[str, Custom] | None" = None,
    channels: str | None = None,
    with_batchdot: bool = False,
) -> "nn.Module":
    """Return a saved Keras model as a PyTorch module with its weights, in ``eval()``.

    It takes the inputs one by one in the order of ``model.inputs``, or by name, and returns a tensor, or a
    tuple or dict of them where the Keras model did. It is the source of `port`, executed.

    Arguments and errors are those of `port`.

    >>> import torch
    >>> module = load("benchmarks/ported/models/factorization.h5")
    >>> module(torch.tensor([[3], [4]]), torch.tensor([[5], [6]])).shape
    torch.Size([2, 1])
    """
    ported = port(path, weights=weights, custom=custom, channels=channels, with_batchdot=with_batchdot)
    return _naming(path, ported.module)


def verify(
    path: Path,
    *,
    weights: Path | None = None,
    custom: "Mapping[str, Custom] | None" = None,
    channels: str | None = None,
    data: Path | None = None,
    against: str | None = None,
) -> "Verification":
    """Compare a ported model with what Keras computes, output by output.

    An output agrees if its largest difference is within 2e-5 of its largest magnitude, 2e-3 where the model
    computes in float16, and 2**-8 in bfloat16. Beside Keras itself, the report names the first layer that
    differs.

    Args:
        path: the model, as for `port`.
        weights: a file of weights, as for `port`.
        custom: translations of what Keras does not have, as for `port`.
        channels: as for `port`; recorded arrays stay in Keras's order of axes.
        data: an .npz file of what Keras computed, with the inputs x0, x1, ... in the order of
            ``model.inputs`` and the outputs y0, y1, ...
        against: "keras" or "tf_keras", where it is installed: it computes on random inputs that fit the
            model. It is not given files that hold anything which Keras would run.

    Returns:
        A `Verification`: ``agrees``, ``outputs``, ``layers``; printed, a report.

    Raises:
        OSError: a file cannot be opened.
        ModelFileError: a file is no model that Keras saved, or recorded arrays do not fit the model.
        NotPortableError: layers cannot be ported; all of them are named.
        ImportError: Keras is not installed.
        ValueError: not exactly one of ``data`` and ``against`` is given, or Keras cannot read the file.

    >>> import json, tempfile
    >>> import numpy as np
    >>> layers = [{"class_name": "ReLU", "config": {"name": "relu", "batch_input_shape": [None, 3]}}]
    >>> model = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/net.json", "w") as file:
    ...         json.dump(model | {"keras_version": "2.15.0"}, file)
    ...     np.savez(f"{folder}/io.npz", x0=np.float32([[1, -1, 2]]), y0=np.float32([[1, 0, 2]]))
    ...     verify(f"{folder}/net.json", data=f"{folder}/io.npz").agrees
    True
    """
    if channels not in (None, "first"):
        raise ValueError(f'channels is None or "first", not {channels!r}')
    from batchdot.porting.translation import Options
    from batchdot.porting.verification import verify_record

    options = Options(custom=custom or {}, channels=channels)
    return _naming(
        path,
        lambda: verify_record(
            read(path, weights=weights), options, path, weights=weights, data=data, against=against
        ),
    )


def _naming(path: Path, work: Callable[[], T]) -> T:
    """Give errors that name no file the model's path."""
    try:
        return work()
    except ModelFileError as error:
        error.file = error.file or os.fsdecode(path)
        raise
