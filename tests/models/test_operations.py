"""Models with operations, as Keras 3 saved them, and configs of mixed precision."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, tf_keras

import batchdot

ROWS = """
ops.multiply(x, y)
x * y
x * 2.0 - 1.0
1.0 / (x + 3.0)
-x
abs(x)
x ** 2
x // 0.5
x % 0.7
x @ ops.transpose(y, (0, 2, 1))
x * np.ones(5, "float32")
x + np.arange(20, dtype="float32").reshape(4, 5)
x > y
ops.logical_and(x > 0, y > 0)
ops.maximum(x, y)
ops.minimum(x, 0.25)
ops.where(x > 0, x, 0.0)
ops.sum(x, axis=-1)
ops.sum(x, axis=(1, 2), keepdims=True)
ops.mean(x, axis=1)
ops.max(x, axis=1)
ops.min(x, axis=[1, 2])
ops.prod(x, axis=2)
ops.std(x, axis=1)
ops.var(x, axis=(1, 2))
ops.any(x > 1, axis=1)
ops.all(x > -1, axis=1)
ops.argmax(x, axis=-1)
ops.argmin(x, axis=1)
ops.average(x, axis=1)
ops.logsumexp(x, axis=1)
ops.norm(x, axis=-1)
ops.normalize(x, axis=-1)
ops.cumsum(x, axis=1)
ops.reshape(x, (-1, 20))
ops.transpose(x, (0, 2, 1))
ops.expand_dims(x, 1)
ops.squeeze(ops.expand_dims(x, 1), 1)
ops.concatenate([x, y], axis=1)
ops.stack([x, y], axis=1)
ops.split(x, 2, axis=1)[1]
ops.split(x, [1, 3], axis=2)[1]
ops.tile(x, [1, 2, 1])
ops.repeat(x, 2, axis=1)
ops.flip(x, axis=1)
ops.take(x, [2, -1], axis=1)
ops.pad(x, [[0, 0], [1, 2], [0, 0]])
ops.swapaxes(x, 1, 2)
ops.moveaxis(x, 1, 2)
ops.broadcast_to(ops.sum(x, axis=0, keepdims=True), (3, 4, 5))
x[:, 1:, ..., 0]
x[:, -1]
x[..., None]
ops.einsum("bij,bkj->bik", x, y)
ops.tensordot(x, y[0], axes=[[2], [1]])
ops.matmul(x, ops.transpose(y, (0, 2, 1)))
ops.cast(x, "float16")
ops.one_hot(ops.argmax(x, axis=-1), 5)
ops.ones_like(x)
ops.zeros_like(x, dtype="int32")
ops.clip(x, -0.5, 0.5)
ops.relu(x)
ops.leaky_relu(x)
ops.gelu(x)
ops.gelu(x, approximate=False)
ops.elu(x)
ops.selu(x)
ops.silu(x)
ops.softmax(x, axis=1)
ops.log_softmax(x)
ops.sigmoid(x)
ops.hard_sigmoid(x)
ops.softplus(x)
ops.softsign(x)
ops.exp(x)
ops.log(ops.abs(x) + 1.0)
ops.sqrt(ops.square(x))
ops.sin(x) + ops.cos(x) + ops.tanh(x)
ops.floor(x) + ops.ceil(x) + ops.round(x) + ops.sign(x)
ops.stop_gradient(x)
ops.erf(x)
layers.Multiply()([x, y])
layers.Dot(2)([x * 2.0, y])
""".strip().splitlines()
"""Expressions of x and y of shape (B, 4, 5)."""

X, Y = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")


def keras_3_model(row: str) -> Any:
    """Return the JSON of a model of Keras 3, and its output."""
    keras.utils.clear_session()  # or names would depend on earlier questions
    x, y = keras.Input((4, 5), name="x"), keras.Input((4, 5), name="y")
    names = {"x": x, "y": y, "ops": keras.ops, "layers": keras.layers, "np": np}
    model = keras.Model([x, y], eval(row, names), name="model")
    return model.to_json(), model.predict([X, Y], verbose=0)


@pytest.mark.parametrize("row", ROWS)
def test_operation_of_keras_3_runs(row: str, keras_says: Any) -> None:
    text, wanted = keras_says(keras_3_model, row)
    model = batchdot.models.model_from_json(text)
    got = model.predict([X, Y])
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert [tensor.name or tensor.node.layer.name for tensor in model.inputs] == ["x", "y"]
    again = batchdot.models.model_from_json(model.to_json())
    np.testing.assert_array_equal(again.predict([X, Y]), got)


def test_operation_is_not_taken_for_a_layer(keras_says: Any) -> None:
    text, _ = keras_says(keras_3_model, "ops.multiply(x, y)")
    model = batchdot.models.model_from_json(text)
    assert not any(isinstance(layer, batchdot.layers.Multiply) for layer in model.layers)
    assert model.get_layer("multiply").function == "keras.ops.multiply"


def test_unknown_operation_is_refused(keras_says: Any) -> None:
    text, _ = keras_says(keras_3_model, "ops.multiply(x, y)")
    with pytest.raises(ValueError, match=r"Unknown operation of Keras 3 in layer 'multiply': 'Conv'"):
        batchdot.models.model_from_json(text.replace('"Multiply"', '"Conv"'))


def mixed_model(policy: str, live: Any = keras) -> str:
    """Return the JSON of a model of mixed precision."""
    live.utils.clear_session() if live is keras else live.backend.clear_session()
    x = live.Input((3,), name="x")
    layer = live.layers.Dense(2, dtype=policy, name="dense")
    return live.Model(x, live.layers.Dot(1, name="dot")([layer(x), layer(x)]), name="mixed").to_json()


def tf_keras_mixed_model(policy: str) -> str:
    """Return the same, as tf_keras writes it."""
    return mixed_model(policy, tf_keras)


@pytest.mark.parametrize("question", [mixed_model, tf_keras_mixed_model])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_policy_is_the_dtype_of_weights(question: Any, policy: str, keras_says: Any) -> None:
    text = keras_says(question, policy)
    if policy == "float64":
        dense = batchdot.models.model_from_json(text).get_layer("dense")
        assert dense.dtype == "float64"
        return
    with pytest.warns(UserWarning, match=f"autocast.device, torch.{policy.removeprefix('mixed_')}"):
        model = batchdot.models.model_from_json(text)
    assert model.get_layer("dense").dtype == "float32"
    assert model(torch.ones(2, 3)).dtype == torch.float32
    json.loads(model.to_json())


@pytest.mark.parametrize("make", [lambda p: p, lambda p: {"class_name": "Policy", "config": {"name": p}}])
def test_policy_as_an_argument(make: Any) -> None:
    with pytest.warns(UserWarning, match="read as float32"):
        layer = batchdot.layers.Dense(2, dtype=make("mixed_float16"))
    assert layer(torch.ones(1, 3)).dtype == torch.float32
    assert layer(torch.ones(1, 3).double()).dtype == layer(torch.ones(1, 3).double()).dtype
    policy = type("DTypePolicy", (), {"name": "float64"})()
    assert batchdot.layers.Dense(2, dtype=policy).dtype == "float64"
