"""Side by side with tf_keras 2.21 and Keras 3, on random calls: shape and value."""

import random

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, live_keras, tf, tf_keras

from batchdot import Dot, batch_dot, dot

pytestmark = pytest.mark.keras

CALLS = 300


def random_call(rng):
    """Return two arrays and axes. The batch size is like no other, so that no axis passes for it."""
    x_rank, y_rank = rng.randint(2, 5), rng.randint(2, 5)
    x_shape = [7, *(rng.randint(1, 4) for _ in range(x_rank - 1))]
    y_shape = [7, *(rng.randint(1, 4) for _ in range(y_rank - 1))]
    kind = rng.choice(("none", "int", "pair", "pair"))
    x_axis, y_axis = rng.randint(1, x_rank - 1), rng.randint(1, y_rank - 1)
    if kind == "none":
        axes = None
        x_axis, y_axis = x_rank - 1, y_rank - 1 if y_rank == 2 else y_rank - 2
    elif kind == "int":
        positive = min(x_rank, y_rank)
        axes = rng.choice((rng.randint(1, positive - 1), -rng.randint(1, positive - 1)))
        x_axis, y_axis = axes % x_rank, axes % y_rank
    else:
        axes = [a - rank if rng.random() < 0.5 else a for a, rank in ((x_axis, x_rank), (y_axis, y_rank))]
        axes = rng.choice((tuple, list))(axes)
    y_shape[y_axis] = x_shape[x_axis]
    arrays = np.random.default_rng(rng.randint(0, 2**31))
    x, y = (arrays.standard_normal(shape).astype(np.float32) for shape in (x_shape, y_shape))
    return x, y, axes


def compare(ours, theirs, call, tolerance=2e-5):
    theirs = np.asarray(theirs)
    assert tuple(ours.shape) == theirs.shape, call
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=tolerance, atol=tolerance, err_msg=str(call))


def calls(seed, count=CALLS):
    rng = random.Random(seed)
    for _ in range(count):
        x, y, axes = random_call(rng)
        yield x, y, axes, (x.shape, y.shape, axes)


def test_batch_dot_as_tf_keras():
    for x, y, axes, call in calls(1):
        theirs = tf_keras.backend.batch_dot(tf.constant(x), tf.constant(y), axes=axes)
        compare(batch_dot(torch.tensor(x), torch.tensor(y), axes), theirs, call)


def test_batch_dot_as_keras_3():
    keras_batch_dot = live_keras("keras.src.layers.merging.dot").batch_dot
    for x, y, axes, call in calls(2):
        theirs = keras_batch_dot(torch.tensor(x), torch.tensor(y), axes=axes)
        compare(batch_dot(torch.tensor(x), torch.tensor(y), axes), theirs, call)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-7, 1e-9])
@pytest.mark.parametrize("normalize", [False, True])
def test_dot_layer_as_tf_keras(normalize, scale):
    for x, y, axes, call in calls(3, CALLS // 4):
        if axes is None:
            continue
        x = x * np.float32(scale)
        theirs = tf_keras.layers.Dot(axes, normalize=normalize)([tf.constant(x), tf.constant(y)])
        ours = Dot(axes, normalize=normalize)([torch.tensor(x), torch.tensor(y)])
        compare(ours, theirs, call)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-7, 1e-9])
@pytest.mark.parametrize("normalize", [False, True])
def test_dot_layer_as_keras_3(normalize, scale):
    """Its floor is 1e-14 on the squared norm."""
    for x, y, axes, call in calls(4, CALLS // 4):
        if axes is None:
            continue
        x = x * np.float32(scale)
        theirs = keras.layers.Dot(axes, normalize=normalize)([torch.tensor(x), torch.tensor(y)])
        ours = Dot(axes, normalize=normalize, epsilon=1e-14)([torch.tensor(x), torch.tensor(y)])
        compare(ours, theirs, call)


def test_dot_layer_output_shape_as_tf_keras():
    for x, y, axes, call in calls(5, 100):
        if axes is None:
            continue
        theirs = tf_keras.layers.Dot(axes).compute_output_shape([x.shape, y.shape])
        assert tuple(Dot(axes).compute_output_shape([x.shape, y.shape])) == tuple(theirs), call


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64", "complex64"])
def test_dtypes_as_tf_keras(dtype):
    for x, y, axes, call in calls(6, 60):
        x, y = ((t * 1000).astype(dtype) if "int" in dtype else t.astype(dtype) for t in (x, y))
        if dtype == "complex64":
            x, y = x + 1j * x[::-1], y - 2j * y
        theirs = tf_keras.backend.batch_dot(tf.constant(x), tf.constant(y), axes=axes)
        ours = batch_dot(torch.tensor(x), torch.tensor(y), axes)
        assert str(ours.dtype) == f"torch.{dtype}"
        compare(ours, theirs, call, 0 if "int" in dtype else 1e-4)


def test_dot_as_tf_keras():
    rng = random.Random(7)
    for _ in range(100):
        x_rank, y_rank = rng.randint(2, 4), rng.randint(2, 4)
        x_shape = [rng.randint(0 if rng.random() < 0.1 else 1, 4) for _ in range(x_rank)]
        y_shape = [rng.randint(1, 4) for _ in range(y_rank)]
        y_shape[-2] = x_shape[-1]
        numbers = np.random.default_rng(1)
        x, y = (numbers.standard_normal(shape).astype("float32") for shape in (x_shape, y_shape))
        theirs = tf_keras.backend.dot(tf.constant(x), tf.constant(y))
        compare(dot(torch.tensor(x), torch.tensor(y)), theirs, (x_shape, y_shape))


def test_sparse_dot_as_tf_keras():
    x, y = torch.randn(5, 4) * (torch.rand(5, 4) < 0.4), torch.randn(4, 3)
    theirs = tf_keras.backend.dot(tf.sparse.from_dense(x.numpy()), tf.constant(y.numpy()))
    compare(dot(x.to_sparse(), y), theirs, "coo")


@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_as_tf_keras(normalize):
    for x, y, axes, call in calls(8, 40):
        if axes is None:
            continue
        a, b = tf.constant(x), tf.constant(y)
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            loss = tf.reduce_sum(tf_keras.layers.Dot(axes, normalize=normalize)([a, b]))
        theirs = tape.gradient(loss, [a, b])
        ours = torch.tensor(x).requires_grad_(), torch.tensor(y).requires_grad_()
        batch_dot(*ours, axes, normalize=normalize).sum().backward()
        for mine, other in zip(ours, theirs, strict=True):
            compare(mine.grad, other, call, 1e-3)
