"""Softmax and Activation: masks, and the meanings that Keras 3 gives to names."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, tf, tf_keras

from batchdot import layers

X = [[1.0, 2.0, 1.0], [0.0, -3.0, 4.0]]
MASK = np.array([[True, False, True], [False, False, True]])


def keras_masked_softmax(robust: bool, dtype: str) -> Any:
    layer = tf_keras.layers.Softmax(robust_masking=robust, dtype=dtype)
    return layer(tf.constant(np.array(X, dtype)), tf.constant(MASK)).numpy()


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_softmax_mask_as_keras(robust: bool, dtype: str, keras_says: Any) -> None:
    wanted = keras_says(keras_masked_softmax, robust, dtype)
    layer = layers.Softmax(robust_masking=robust)
    x, mask = torch.tensor(np.array(X, dtype)), torch.tensor(MASK)
    for got in (layer(x, mask), layer(x, mask=mask), layer(x, mask.to(x.dtype))):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-3)


def keras_3_entry(activation: str) -> Any:
    keras.backend.clear_session()
    return json.loads(json.dumps(keras.layers.serialize(keras.layers.Activation(activation))))


def test_hard_sigmoid_from_keras_3_config(keras_says: Any) -> None:
    x = torch.tensor([1.0])
    assert layers.deserialize(keras_says(keras_3_entry, "hard_sigmoid"))(x).item() == pytest.approx(2 / 3)
    assert layers.Activation("hard_sigmoid")(x).item() == pytest.approx(0.7)
