"""keras.models: the models, and models from configs."""

import json
from typing import TYPE_CHECKING, Any

from batchdot.keras_names.lookup import module_attribute
from batchdot.layers.base.registry import deserialize_layer
from batchdot.models.functional import Functional
from batchdot.models.loading import load_model
from batchdot.models.model import Model
from batchdot.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential", "load_model", "model_from_config", "model_from_json"]


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """Make a model from JSON that ``to_json`` wrote here, in tf.keras or in Keras 3.

    Raises:
        ValueError: not JSON, not a model, or an unknown layer.

    >>> from batchdot import Input
    >>> from batchdot.layers import Dot
    >>> x, y = Input((3,)), Input((3,))
    >>> model_from_json(Model([x, y], Dot(1, name="dot")([x, y])).to_json()).get_layer("dot").axes
    1

    Source: ``tf.keras.models.model_from_json``.
    """
    try:
        config = json.loads(json_string)
    except json.JSONDecodeError as error:
        raise ValueError(f"Cannot read a model from what is not JSON: {error}.") from None
    return model_from_config(config, custom_objects)


def model_from_config(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Make a model from a dictionary of ``class_name`` and ``config``.

    Raises:
        ValueError: not such a dictionary, or an unknown layer.

    >>> from batchdot import layers
    >>> sequential = {"class_name": "Sequential", "config": Sequential([layers.Flatten()]).get_config()}
    >>> type(model_from_config(sequential)).__name__
    'Sequential'

    Source: ``tf.keras.models.model_from_config``.
    """
    if not isinstance(config, dict) or "config" not in config:
        raise ValueError("The config of a model is a dictionary of `class_name` and `config`.")
    return deserialize_layer({"class_name": "Functional"} | config, custom_objects)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)
