"""Activations against tf_keras and Keras 3, on a grid that holds the kinks."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, tf, tf_keras

from batchdot import activations

GRID = np.array(
    [
        -1000,
        -100,
        -40,
        -21,
        -20,
        -6.5,
        -3,
        -2.5,
        -1,
        -0.5,
        -1e-3,
        0,
        1e-3,
        0.5,
        1,
        2.5,
        3,
        6,
        6.5,
        20,
        21,
        40,
        80,
    ]
)

# The name, the arguments here, there (None: the same), and which Keras has it with this meaning.
ROWS = [
    ("linear", {}, None, "23"),
    ("relu", {}, None, "23"),
    ("relu", {"alpha": 0.5}, {"3": {"negative_slope": 0.5}}, "23"),
    ("relu", {"negative_slope": 0.5}, {"2": {"alpha": 0.5}}, "23"),
    ("relu", {"max_value": 6}, None, "23"),
    ("relu", {"max_value": 2.5}, None, "23"),
    ("relu", {"threshold": 2.5}, None, "23"),
    ("relu", {"threshold": -1.0}, None, "23"),
    ("relu", {"threshold": -1.0, "max_value": 2.0}, None, "23"),
    ("relu", {"alpha": 0.5, "max_value": 3.0, "threshold": 1.0}, {"3": {"negative_slope": 0.5}}, "23"),
    ("relu", {"alpha": 0.5, "max_value": 3.0}, {"3": {"negative_slope": 0.5}}, "23"),
    ("leaky_relu", {}, None, "3"),
    ("leaky_relu", {"negative_slope": 0.3}, None, "3"),
    ("relu6", {}, None, "3"),
    ("sigmoid", {}, None, "23"),
    ("hard_sigmoid", {}, None, "2"),
    ("tanh", {}, None, "23"),
    ("softmax", {}, None, "23"),
    ("softmax", {"axis": 0}, None, "23"),
    ("softmax", {"axis": (0, 1)}, None, "3"),
    ("log_softmax", {}, None, "3"),
    ("log_softmax", {"axis": 0}, None, "3"),
    ("softplus", {}, None, "23"),
    ("softsign", {}, None, "23"),
    ("elu", {}, None, "23"),
    ("elu", {"alpha": 0.5}, None, "23"),
    ("selu", {}, None, "23"),
    ("gelu", {}, None, "23"),
    ("gelu", {"approximate": True}, None, "23"),
    ("swish", {}, None, "23"),
    ("silu", {}, None, "3"),
    ("mish", {}, None, "23"),
    ("exponential", {}, None, "23"),
]
EVERY = [(version, *row[:3]) for row in ROWS for version in row[3]]
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}
# There the constants of gelu and hard_sigmoid are float32, and softplus is x above 20. (In float32
# torch's gelu is 1 + erf with its cancellation, which is its own to mend.)
COARSE = {("2", "gelu"): 1e-6, ("2", "hard_sigmoid"): 1e-7, ("3", "softplus"): 1e-9}


def grid(dtype, shape):
    return np.resize(GRID, shape).astype(dtype)


def shape_for(name, arguments):
    return (23, 4) if "axis" in arguments or "softmax" in name else (2, 3, 1, 9)


def keras_activation(version, name, arguments, dtype, shape):
    x = grid(dtype, shape)
    module, given = (tf_keras, tf.constant(x)) if version == "2" else (keras, torch.from_numpy(x))
    return np.asarray(getattr(module.activations, name)(given, **arguments))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("version", "name", "arguments", "theirs"), EVERY)
def test_activation_as_keras(version, name, arguments, theirs, dtype, keras_says):
    shape = shape_for(name, arguments)
    other = dict(arguments)
    if theirs and version in theirs:
        for renamed in ("alpha", "negative_slope"):
            other.pop(renamed, None)
        other |= theirs[version]
    want = keras_says(keras_activation, version, name, other, dtype, shape)
    got = getattr(activations, name)(torch.from_numpy(grid(dtype, shape)), **arguments)
    assert got.dtype == getattr(torch, dtype)
    tolerance = COARSE.get((version, name), TOLERANCE[dtype])
    np.testing.assert_allclose(got.numpy(), want, rtol=10 * tolerance, atol=tolerance)


def keras_activation_by_name(name):
    return np.asarray(tf_keras.activations.get(name)(grid("float32", (23, 4))))


@pytest.mark.parametrize("name", ["leaky_relu", "log_softmax", "relu6", "silu"])
def test_activation_by_name_as_keras_2(name, keras_says):
    x, want = grid("float32", (23, 4)), keras_says(keras_activation_by_name, name)
    np.testing.assert_allclose(activations.get(name)(torch.from_numpy(x)).numpy(), want, rtol=1e-5, atol=1e-6)


def test_hard_sigmoid_of_keras_3(keras_says):
    x, want = grid("float64", 23), keras_says(keras_activation, "3", "hard_sigmoid", {}, "float64", (23,))
    function = activations.get("hard_sigmoid", custom_objects=activations.KERAS_3)
    assert function is activations.hard_sigmoid_keras3
    np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), want, rtol=0, atol=1e-15)


NAMES = sorted({row[0] for row in ROWS} | {"hard_sigmoid_keras3"})


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 1, 2, 1, 2), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype_are_kept(name, dtype, shape):
    y = getattr(activations, name)(torch.ones(shape, dtype=dtype))
    assert (y.shape, y.dtype) == (torch.Size(shape), dtype)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_at_and_around_zero(name):
    x = torch.tensor([[-7.3, -0.7, 0.3, 1.1, 2.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(activations, name), x)
    extreme = torch.tensor([[-1e4, 0.0, 50.0]], dtype=torch.float64, requires_grad=True)
    getattr(activations, name)(extreme).sum().backward()
    assert extreme.grad.isfinite().all()


def test_softplus_keeps_the_digits_of_float64():
    x = torch.tensor([15.0, 25.0, 38.0, 45.0, 800.0], dtype=torch.float64)
    want = np.logaddexp(x.numpy(), 0)
    np.testing.assert_allclose(activations.softplus(x).numpy(), want, rtol=3e-16)
