"""Keras itself, where it is installed: load a saved model and compute its outputs and those of its layers.

The one part of batchdot that imports Keras, and only when asked. A file that holds anything which Keras
would run is refused first.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive import open_archive
from batchdot.porting.errors import quote
from batchdot.porting.record import FrozenMap, ModelRecord, TensorRef

NAMES = ("keras", "tf_keras")
"""The packages to compare with: Keras 3, and Keras 2 of TensorFlow."""

SAFE = re.compile(
    r"(keras|tf_keras)(\.src)?"
    r"(\.(activations|constraints|dtype_policies|engine|initializers|layers|mixed_precision|models|ops|optimizers"
    r"|losses|metrics|random|regularizers)(\.\w+)*)?"
)
"""Modules from which Keras may take what a config names."""


class LiveKeras:
    """A saved model, loaded by Keras.

    Args:
        name: "keras" or "tf_keras".
        path: the model.
        weights: the file of its weights, where it is another one.

    Raises:
        ImportError: the package is not installed.
        ValueError: the file holds something that Keras would run, or Keras cannot read it.
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None,
        record: ModelRecord,
    ) -> None:
        if name not in NAMES:
            raise ValueError(f"against is {' or '.join(map(repr, NAMES))}, not {name!r}")
        self.file = os.fsdecode(path)
        refuse_what_keras_runs(self.file, record)
        self.keras = import_keras(name)
        self.version = f"{name} {self.keras.__version__}"
        self.model = self._attempt(lambda: self._load(self.file, weights), "read")

    def _load(self, path: str, weights: str | os.PathLike[str] | None) -> Any:
        archive = open_archive(path)
        if archive.container != "config (JSON)":
            return self.keras.models.load_model(path, compile=False)
        with open(path, encoding="utf-8") as file:
            model = self.keras.models.model_from_json(file.read())
        if weights is not None:
            model.load_weights(os.fsdecode(weights))
        return model

    def outputs(self, inputs: Mapping[TensorRef, NDArray[np.generic]], record: ModelRecord) -> list[Any]:
        """Return the model's outputs in order; those of a dict in the order of the record."""
        given: Any = list(inputs.values())
        if isinstance(record.inputs, FrozenMap):
            given = {key: inputs[ref] for key, ref in record.inputs.items()}
        batch = len(next(iter(inputs.values())))
        result = self._attempt(lambda: self.model.predict(given, batch_size=batch, verbose=0), "run")
        keys = list(record.outputs) if isinstance(record.outputs, FrozenMap) else []
        return [result[key] for key in keys] if isinstance(result, dict) else list(leaves(result))

    def layers(
        self, inputs: Mapping[TensorRef, NDArray[np.generic]], wanted: Sequence[TensorRef]
    ) -> dict[TensorRef, NDArray[np.generic]]:
        """Return what layers give out, as far as Keras's model has the same layers and calls."""
        tensors = {ref: tensor for ref in wanted if (tensor := self._tensor(ref)) is not None}
        if not tensors:
            return {}
        model = self.keras.Model(self.model.inputs, list(tensors.values()))
        batch = len(next(iter(inputs.values())))
        values = model.predict(list(inputs.values()), batch_size=batch, verbose=0)
        return dict(zip(tensors, leaves(values), strict=True))

    def _tensor(self, ref: TensorRef) -> Any:
        """Return a symbolic tensor of Keras's model: the output of one call of a layer in it."""
        graph = getattr(self.model, "_functional", None) or self.model
        layer = next(
            (one for one in getattr(graph, "operations", graph.layers) if one.name == ref.layer), None
        )
        if layer is None:
            return None
        inside = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
        mine = [node for node in layer._inbound_nodes if id(node) in inside]
        outputs = list(leaves(mine[ref.call].outputs)) if ref.call < len(mine) else []
        return outputs[ref.output] if ref.output < len(outputs) else None

    def _attempt(self, work: Any, verb: str) -> Any:
        """Do something in Keras; whatever it raises becomes one sentence."""
        try:
            return work()
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"{self.file}: {self.version} cannot {verb} it: {reason}") from error


def import_keras(name: str) -> Any:
    """Import Keras, without the messages of TensorFlow.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if name == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        return import_module(name)
    except ImportError as error:
        needed = "keras" if name == "keras" else "tf_keras tensorflow"
        raise ImportError(f"{name} is not installed: pip install {needed} ({error})") from None


def refuse_what_keras_runs(path: str, record: ModelRecord) -> None:
    """Refuse a file that could make Keras run code of its own.

    Raises:
        ValueError: it names code, custom classes, or modules that are not Keras's layers.
    """
    for layer in record.all_layers():
        if layer.problem:
            raise ValueError(
                f"{path}: not opened with Keras, which would run what the file names: "
                f"{quote(layer.name)}: {layer.problem}; give recorded outputs instead"
            )
    for module in named_modules(open_archive(path).config):
        if not SAFE.fullmatch(module):
            raise ValueError(f"{path}: not opened with Keras, which would import {quote(module)}")


def named_modules(config: object) -> Iterator[str]:
    """Yield every module that a config names."""
    rest = [config]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if isinstance(item.get("module"), str):
                yield item["module"]
            rest += item.values()
        elif isinstance(item, list):
            rest += item


def leaves(structure: Any) -> Iterator[Any]:
    """Yield the tensors of nested lists, tuples and dicts in order."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        for item in structure:
            yield from leaves(item)
    else:
        yield structure
