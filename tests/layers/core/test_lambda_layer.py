"""Lambda: what its function is given, and what a config may say of it."""

from typing import Any

import pytest
import torch
from torch import Tensor

import batchdot
from batchdot import layers


def square(x: Tensor) -> Tensor:
    return x * x


def test_lambda_gets_mask_training_arguments() -> None:
    def scale(x: Tensor, factor: float, training: bool | None = None, mask: Any = None) -> Tensor:
        return x * factor * (2 if training else 1) * (1 if mask is None else mask)

    layer, x = layers.Lambda(scale, arguments={"factor": 3.0}), torch.ones(2)
    assert layer(x, training=False).tolist() == [3.0, 3.0]
    assert layer(x, training=True).tolist() == [6.0, 6.0]
    assert layer.eval()(x, mask=torch.tensor([0.0, 1.0])).tolist() == [0.0, 3.0]


def test_lambda_output_shape_as_told() -> None:
    x = batchdot.Input((None, 3))
    assert layers.Lambda(square)(x).shape == (None, None, 3)
    assert layers.Lambda(square, output_shape=(5, 3))(x).shape == (None, 5, 3)
    assert layers.Lambda(square, output_shape=lambda s: s)(x).shape == (None, None, 3)
    assert layers.Lambda(lambda x: x.sum(-1)).compute_output_shape((None, 4, 3)) == (None, 4)


def test_lambda_mask() -> None:
    ids_ = batchdot.Input((5,), dtype="int64")
    embedded = layers.Embedding(7, 3, mask_zero=True)(ids_)
    assert layers.Lambda(square)(embedded).mask is None
    assert layers.Lambda(square, mask=lambda x, m: m)(embedded).mask.shape == (None, 5)


def test_lambda_config_names_function() -> None:
    layer = layers.Lambda(square, output_shape=(3,), name="own")
    config = layer.get_config()
    assert config["function"] == "square"
    assert config["function_type"] == "function"
    with batchdot.registry.custom_object_scope({"square": square}):
        again = layers.Lambda.from_config(config)
    assert again(torch.tensor([3.0])).item() == 9
    assert again.get_config() == config
    known = layers.Lambda(batchdot.backend.l2_normalize, arguments={"axis": -1})
    out = layers.deserialize(layers.serialize(known))(torch.tensor([[3.0, 4.0]]))
    assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_lambda_bytecode_refused() -> None:
    config = {"name": "own", "function": ["4wAAAA==", None, None], "function_type": "lambda"}
    with pytest.raises(ValueError, match="Lambda layer 'own' was written as bytecode, which is not run"):
        layers.Lambda.from_config(config)
    entry = {"class_name": "Lambda", "config": config}
    layer = layers.deserialize(entry, custom_objects={"own": square})
    assert layer(torch.tensor([3.0])).item() == 9
    keras_3 = {"name": "own", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}}
    with pytest.raises(ValueError, match="bytecode"):
        layers.Lambda.from_config(keras_3)


def test_lambda_config_imports_nothing() -> None:
    config = {"name": "own", "function": "system", "function_type": "function", "module": "os"}
    with pytest.raises(ValueError, match="Unknown function of Lambda layer 'own' 'system'"):
        layers.Lambda.from_config(config)


def test_lambda_of_lambda_has_no_config() -> None:
    layer = layers.Lambda(lambda x: x, name="own")
    with pytest.raises(NotImplementedError, match="Layer own cannot be written as a config"):
        layer.get_config()
    assert repr(layer) == "Lambda(name='own', function=<lambda>)"
