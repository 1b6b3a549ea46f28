"""What 124 calls of batch_dot gave on real engines, TensorFlow 1.15 among them: data/keras_outcomes.json.

Where TensorFlow 2 follows the documentation, so do we; where it raises, so do we, but for DEVIATIONS.
"""

import json
from ast import literal_eval

import numpy as np
import pytest
import torch
from tests.support import ROOT, oracle
from tests.support.live_keras import live_keras, tf, tf_keras

from batchdot import batch_dot

RECORD = json.loads((ROOT / "tests" / "data" / "keras_outcomes.json").read_text())
CASES = [dict(zip(RECORD["columns"], row, strict=True)) for row in RECORD["cases"]]
ENGINES = ("tf2.0", "tf2.3", "tf_keras2.21", "keras3.15.1-torch")

# axes as recorded: what we do instead of what tf_keras 2.21 does
DEVIATIONS = {
    "True": TypeError,  # a bool is no axis
    "(True, True)": TypeError,
    "False": TypeError,
    "np.int64(1)": 1,  # an integer is one
    "[[1], [1]]": ([1], [1]),  # several axes are an extension
    "[[1, 2], [1, 2]]": ([1, 2], [1, 2]),
}


def read_axes(text):
    return eval(text, {"np": np, "array": np.array})


def tensors(case):
    generator = torch.Generator().manual_seed(1)
    shapes = literal_eval(case["x"]), literal_eval(case["y"])
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def assert_right(out, x, y, axes, batch_dims=1):
    axes = axes if axes is None or isinstance(axes, int) else tuple(
        int(a) if np.ndim(a) == 0 else tuple(a) for a in axes
    )  # fmt: skip
    right = oracle.batch_dot(oracle.to_numpy(x), oracle.to_numpy(y), axes, batch_dims)
    assert tuple(out.shape) == right.shape
    np.testing.assert_allclose(oracle.to_numpy(out), right, atol=1e-5)


def name(case):
    return f"{case['x']}{case['y']}{case['axes']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_outcome(case):
    x, y = tensors(case)
    axes = read_axes(case["axes"])
    kind = DEVIATIONS.get(case["axes"])
    if kind is TypeError:
        with pytest.raises(TypeError, match="a bool is not an axis"):
            batch_dot(x, y, axes)
    elif kind is not None:
        assert case["tf_keras2.21"] in ("TypeError", "ValueError")
        assert_right(batch_dot(x, y, axes), x, y, kind)
    elif case["tf_keras2.21"].endswith(" doc"):
        out = batch_dot(x, y, axes)
        assert_right(out, x, y, axes)
        assert f"{tuple(out.shape)} doc" == case["tf_keras2.21"]
    else:
        kinds = {"TypeError": (TypeError, ValueError), "IndexError": (IndexError, ValueError, TypeError)}
        with pytest.raises(kinds.get(case["tf_keras2.21"], ValueError)):
            batch_dot(x, y, axes)


def shares_leading_axes(case):
    x, y = literal_eval(case["x"]), literal_eval(case["y"])
    differs = str(case["tf1.15"]).endswith("other")
    return differs and len(x) == len(y) > 3 and x[:-2] == y[:-2]


SHARED = [case for case in CASES if shares_leading_axes(case)]


@pytest.mark.parametrize("case", SHARED, ids=name)
def test_batch_dims_as_tensorflow_1(case):
    """TensorFlow 1 multiplied the last two axes as matrices, whatever the axes said, and shared the rest."""
    x, y = tensors(case)
    axes, last = read_axes(case["axes"]), x.ndim - 1
    axes = (last, last - 1) if axes is None else (axes, axes) if isinstance(axes, int) else axes
    x_axis, y_axis = (-1 if axis == last else -2 for axis in axes)
    out = batch_dot(x, y, (x_axis, y_axis), batch_dims=x.ndim - 2)
    assert f"{tuple(out.shape)} other" == case["tf1.15"]
    torch.testing.assert_close(out, (x if x_axis == -1 else x.mT) @ (y if y_axis == -2 else y.mT))


def outcome(function, make, case):
    """Return what an engine does, as the record says it."""
    arrays = [tensor.numpy() for tensor in tensors(case)]
    try:
        out = np.asarray(function(*map(make, arrays), axes=read_axes(case["axes"])))
    except Exception as error:
        return type(error).__name__
    axes = read_axes(case["axes"])
    axes = axes if axes is None or isinstance(axes, int) else tuple(map(int, axes))
    right = oracle.batch_dot(*arrays, axes)
    same = out.shape == right.shape and np.allclose(out, right, atol=1e-5)
    return f"{out.shape} {'doc' if same else 'other'}"


@pytest.mark.keras
@pytest.mark.parametrize("case", CASES, ids=name)
def test_outcome_of_live_keras_as_recorded(case):
    assert outcome(tf_keras.backend.batch_dot, tf.constant, case) == case["tf_keras2.21"]
    keras_3 = live_keras("keras.src.layers.merging.dot").batch_dot
    assert outcome(keras_3, torch.tensor, case) == case["keras3.15.1-torch"]


def test_record_is_whole():
    assert (len(CASES), len(SHARED)) == (124, 9)
    # Engines of the documented rule agree wherever they answer; Keras 3 on torch fails on empty sizes.
    for case in CASES:
        results = {case[e] for e in ENGINES if str(case[e]).startswith("(")}
        assert len(results) <= 1
