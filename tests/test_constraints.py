"""Constraints against tf_keras."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf_keras

from batchdot import constraints

ROWS = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("max_norm", {"max_value": 3, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("non_neg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": -1}),
    ("unit_norm", {"axis": (0, 2)}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 2.0, "max_value": 3.0}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.5, "rate": 0.25, "axis": 1}),
    ("min_max_norm", {"min_value": 2, "max_value": 3, "axis": [1, 2]}),
]


def weight(dtype, scale):
    w = (scale * np.random.default_rng(0).normal(size=(5, 3, 2))).astype(dtype)
    w[:, 1] = 0
    return w


def keras_constraint(name, arguments, dtype, scale):
    constraint = getattr(tf_keras.constraints, name)(**arguments)
    if name.lower().startswith("non"):
        tf_keras.backend.set_floatx(dtype)  # its NonNeg multiplies by floatx
    try:
        return np.asarray(constraint(weight(dtype, scale))), constraint.get_config()
    finally:
        tf_keras.backend.set_floatx("float32")


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 10.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "arguments"), ROWS)
def test_constraint_as_keras(name, arguments, dtype, scale, keras_says):
    want, config = keras_says(keras_constraint, name, arguments, dtype, scale)
    ours, w = getattr(constraints, name)(**arguments), weight(dtype, scale)
    given = torch.from_numpy(w.copy())
    got = ours(given)
    assert got.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6 if dtype == "float32" else 1e-14, atol=0)
    assert (given.numpy() == w).all()  # nothing in place
    assert ours.get_config() == config


def test_max_norm_within_bound_unchanged():
    w = torch.tensor([[0.3, 3.0], [0.4, 4.0]])
    torch.testing.assert_close(constraints.MaxNorm(1.0)(w), torch.tensor([[0.3, 0.6], [0.4, 0.8]]))
    assert constraints.Constraint()(w) is w
    assert constraints.Constraint().get_config() == {}
