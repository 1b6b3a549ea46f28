"""Keras's dot products in PyTorch: `batch_dot`, `dot` and `Dot`, and `explain` to describe them.

``import batchdot as keras`` is the one-line port: layers, `Input`, `Model` and `backend` have their Keras
names. Names are imported on first use (PEP 562): ``import batchdot`` alone does not import torch.
"""

from batchdot import _command as _command

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING

from batchdot._version import __version__ as __version__
from batchdot.keras_names.imports import KerasImports as _KerasImports
from batchdot.keras_names.lookup import module_attribute as _module_attribute
from batchdot.ops.handlers import Handler as _Handler
from batchdot.ops.handlers import register as _register
from batchdot.registry import HOOKS as _HOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchdot import (
        activations,
        backend,
        config,
        constraints,
        distributed,
        initializers,
        layers,
        models,
        porting,
        regularizers,
    )
    from batchdot.errors import AxisError, NotConnectedError
    from batchdot.explanation.explain import explain
    from batchdot.layers import Dot, Input, Layer
    from batchdot.models import Model, Sequential
    from batchdot.ops.functional import batch_dot, dot, plan
    from batchdot.ops.operation import Operation
    from batchdot.retrieval import top_k

__all__ = [
    "AxisError",
    "Dot",
    "Input",
    "Layer",
    "Model",
    "NotConnectedError",
    "Sequential",
    "activations",
    "backend",
    "batch_dot",
    "config",
    "constraints",
    "distributed",
    "dot",
    "explain",
    "initializers",
    "layers",
    "models",
    "plan",
    "porting",
    "regularizers",
    "top_k",
]

_MODULES = {
    "AxisError": "errors",
    "Dot": "layers",
    "Input": "layers",
    "Layer": "layers",
    "Model": "models",
    "NotConnectedError": "errors",
    "Sequential": "models",
    "batch_dot": "ops.functional",
    "dot": "ops.functional",
    "explain": "explanation.explain",
    "plan": "ops.functional",
    "top_k": "retrieval",
}
"""The module of each public name that is not a module itself."""

_DEPRECATED = ("functional", "sharding")
"""Modules of version 0.1 that warn and forward to their successors."""


def _is_sharded(operation: object, x: object, y: object) -> bool:
    from batchdot.convert import is_sharded

    return is_sharded(x) or is_sharded(y)


def _run_sharded(operation: "Operation", x: object, y: object) -> object:
    from batchdot.distributed.run import run_sharded
    from batchdot.ops.dispatch import run

    return run_sharded(operation, x, y, run)


_KerasImports.install()

# `ops` is below `distributed`, which loads torch.distributed and is imported for the first DTensor.
_register(_Handler("sharded", _is_sharded, _run_sharded))


def _load_model(path: str, custom: "Mapping[str, Callable[..., object]] | None") -> object:
    from batchdot.porting import load

    return load(path, custom=custom)


def _read_weights(config: str, path: str) -> object:
    from batchdot.porting.filling import read_weights

    return read_weights(config, path)


# `models` is below `porting`, which reads what Keras saved.
_HOOKS.update(load_model=_load_model, read_weights=_read_weights)


if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        """Import a public name the first time it is used (PEP 562)."""
        if name in _MODULES:
            value = getattr(import_module(f"batchdot.{_MODULES[name]}"), name)
        elif name in __all__ or name in _DEPRECATED:
            value = import_module(f"batchdot.{name}")
        else:
            return _module_attribute(__name__, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
