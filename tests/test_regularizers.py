"""Regularizers against tf_keras."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf, tf_keras

from batchdot import regularizers

ROWS = [
    ("L1", {}),
    ("L1", {"l1": 0.5}),
    ("L1", {"l1": None}),
    ("L1", {"l": 0.5}),
    ("L2", {}),
    ("L2", {"l2": 0.5}),
    ("L2", {"l2": None}),
    ("L2", {"l": 2}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.5}),
    ("L1L2", {"l2": 0.5}),
    ("L1L2", {"l1": 0.25, "l2": 0.5}),
    ("L1L2", {"l1": None, "l2": None}),
    ("l1", {}),
    ("l2", {"l2": 0.1}),
    ("l1_l2", {}),
    ("l1_l2", {"l1": 0.5}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 2.0}),
    ("OrthogonalRegularizer", {"mode": "columns"}),
    ("orthogonal_regularizer", {"mode": "rows"}),
]


def rounded(regularizer):
    """Its config with the factors in float32, as tf_keras keeps them."""
    config = regularizer.get_config()
    return {key: float(np.float32(value)) if key != "mode" else value for key, value in config.items()}


def weight(dtype):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(dtype)
    x[2] = 0
    return x


def keras_regularizer(name, arguments, dtype):
    regularizer = getattr(tf_keras.regularizers, name)(**arguments)
    return np.asarray(regularizer(tf.constant(weight(dtype)))), regularizer.get_config()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "arguments"), ROWS)
def test_regularizer_as_keras(name, arguments, dtype, keras_says):
    want, config = keras_says(keras_regularizer, name, arguments, dtype)
    ours = getattr(regularizers, name)(**arguments)
    got = ours(torch.from_numpy(weight(dtype)))
    assert (got.shape, got.dtype) == ((), getattr(torch, dtype))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert rounded(ours) == config


def keras_defaults(name):
    return tf_keras.regularizers.get(name).get_config()


@pytest.mark.parametrize("name", ["L1", "L2", "L1L2", "l1_l2"])
def test_get_by_name_has_keras_defaults(name, keras_says):
    assert rounded(regularizers.get(name)) == keras_says(keras_defaults, name)


@pytest.mark.parametrize("name", ["L1", "L2", "l1_l2", "OrthogonalRegularizer"])
def test_gradients(name):
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(getattr(regularizers, name)(), x)
    zero = torch.zeros(4, 3, requires_grad=True)
    getattr(regularizers, name)()(zero).backward()
    assert zero.grad.isfinite().all()


NOT_A_NUMBER = "Value {} is not a valid regularization penalty number, "
ERRORS = [
    ("L1", {"l1": "a"}, ValueError, NOT_A_NUMBER.format("a") + "expected an int or float value."),
    ("L2", {"l2": [1.0]}, ValueError, NOT_A_NUMBER.format("[1.0]") + "expected an int or float value."),
    (
        "L2",
        {"l2": float("inf")},
        ValueError,
        NOT_A_NUMBER.format("inf") + "an infinite number or NaN are not",
    ),
    (
        "L1L2",
        {"l2": float("nan")},
        ValueError,
        NOT_A_NUMBER.format("nan") + "an infinite number or NaN are not",
    ),
    ("OrthogonalRegularizer", {"factor": "a"}, ValueError, NOT_A_NUMBER.format("a")),
    (
        "OrthogonalRegularizer",
        {"mode": "cols"},
        ValueError,
        "Invalid value for argument `mode`. Expected one of ",
    ),
]


def error_of(module, name, arguments):
    try:
        getattr(module, name)(**arguments)
    except Exception as error:
        return type(error), str(error)
    return pytest.fail("nothing was raised")


@pytest.mark.parametrize(("name", "arguments", "kind", "text"), ERRORS)
def test_regularizer_bad_argument_raises(name, arguments, kind, text):
    raised, says = error_of(regularizers, name, arguments)
    assert (raised, says[: len(text)]) == (kind, text)


@pytest.mark.keras
@pytest.mark.parametrize(("name", "arguments", "kind", "text"), ERRORS)
def test_regularizer_bad_argument_raises_in_keras(name, arguments, kind, text):
    raised, says = error_of(tf_keras.regularizers, name, arguments)
    assert (raised, says[: len(text)]) == (kind, text)


def test_an_unknown_argument_is_named():
    for cls in (regularizers.L1, regularizers.L2):
        with pytest.raises(TypeError, match=f"{cls.__name__} has no argument 'x'"):
            cls(x=1.0)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_orthogonal_regularizer_takes_matrices(shape):
    with pytest.raises(ValueError, match="Inputs to OrthogonalRegularizer must have rank 2"):
        regularizers.OrthogonalRegularizer()(torch.ones(shape))


def test_the_base():
    base = regularizers.Regularizer()
    assert base(torch.ones(2)) == 0
    with pytest.raises(NotImplementedError, match="does not implement get_config"):
        base.get_config()
