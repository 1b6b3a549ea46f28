"""Keras itself, which only a test marked ``keras`` may run; the others compare with recorded answers."""

import importlib
import os
import warnings
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without it, the default on processors without AVX512_VNNI, TensorFlow begins windows of three axes that are
# smaller than their strides one number later than its documents say.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")

MODULES = ("tensorflow", "tf_keras", "keras")
"""What the extra ``test-keras`` installs; Keras 3 runs on PyTorch."""

allowed = True
"""Whether the test that runs now is marked ``keras``. conftest.py sets it."""


def live_keras(name: str) -> Any:
    """Return one of `MODULES`, or a module below one.

    The test fails if it is not marked ``keras``: otherwise it would pass on a machine with Keras and fail
    on a machine without.
    """
    if not allowed:
        pytest.fail(f"This test imports {name}: mark it with `keras`, or ask through `keras_says`.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings that Keras and TensorFlow raise while they are imported
        module = importlib.import_module(name)
    if name == "keras" and module.backend.backend() != "torch":
        pytest.fail(f"Keras 3 runs on {module.backend.backend()} here, not on torch.")
    return module


class LazyModule:
    """A module that is imported by `live_keras` when an attribute of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks every global of a test file for some, when it collects
            raise AttributeError(attribute)
        return getattr(live_keras(self._name), attribute)


tf, tf_keras, keras = map(LazyModule, MODULES)
