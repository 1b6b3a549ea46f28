"""Load what Keras saved: a whole model, or weights into a model that is there."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from batchdot.registry import HOOKS

if TYPE_CHECKING:
    from torch import nn


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Callable[..., object]] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> "nn.Module":
    """Return a model that any version of Keras saved, as `batchdot.porting.load` does.

    Args:
        filepath: the file: ``.keras``, ``.h5`` or the JSON of ``to_json()``.
        custom_objects: what Keras does not have, by name: functions as for ``custom`` of
            `batchdot.porting.port`, which describes them. Keras's own classes cannot run here.
        compile: accepted, as in Keras; the optimizer is not loaded.
        safe_mode: accepted, as in Keras; nothing that a file holds is ever run.

    Raises:
        OSError: the file cannot be opened.
        batchdot.porting.ModelFileError: it is no model that Keras saved, or is damaged.
        batchdot.porting.NotPortableError: layers cannot be ported; all of them are named.

    >>> import torch
    >>> module = load_model("benchmarks/ported/models/factorization.h5")
    >>> module(torch.tensor([[3], [4]]), torch.tensor([[5], [6]])).shape
    torch.Size([2, 1])

    Source: ``keras.models.load_model``.
    """
    module: nn.Module = HOOKS["load_model"](filepath, custom_objects)
    return module


def load_weights(model: Any, filepath: str | os.PathLike[str]) -> None:
    """Fill a model with weights that Keras saved, layer by layer, by the rules of Keras's version.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the model has no config, or has weights that do not exist yet.
        batchdot.porting.ModelFileError: the file holds no weights, or they do not fit the model.
    """
    _fill(model, HOOKS["read_weights"](model.to_json(), filepath))


def _fill(model: Any, found: Mapping[str, Any]) -> None:
    for name, weights in found.items():
        layer = model.get_layer(name)
        if isinstance(weights, Mapping):
            _fill(layer, weights)
        else:
            layer.set_weights(weights)
