"""Keras itself, to compare with: loaded where it is installed, its own warnings put aside."""

import importlib
import os
import warnings
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "torch")


def original(name: str) -> Any:
    """Return the module ``tf_keras`` or ``keras``, or skip and say why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} is not installed: {error}")
