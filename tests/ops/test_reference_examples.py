"""The examples of Keras's own documentation, in Keras's names, on arrays and on symbolic tensors.

And a question that was answered wrongly.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import batchdot

tf = SimpleNamespace(keras=batchdot)


def test_dot_layer_of_two_matrices():
    x = np.arange(10).reshape(1, 5, 2)
    y = np.arange(10, 20).reshape(1, 2, 5)
    out = tf.keras.layers.Dot(axes=(1, 2))([x, y])
    assert out.shape == (1, 2, 2)
    assert out.dtype == torch.int64
    assert out.tolist() == [[[260, 360], [320, 445]]]


def test_dot_layer_after_dense_layers():
    x1 = tf.keras.layers.Dense(8)(np.arange(10).reshape(5, 2))
    x2 = tf.keras.layers.Dense(8)(np.arange(10, 20).reshape(5, 2))
    dotted = tf.keras.layers.Dot(axes=1)([x1, x2])
    assert dotted.shape == (5, 1)
    assert dotted.dtype == x1.dtype == torch.float32
    for i in range(5):
        torch.testing.assert_close(dotted[i, 0], x1[i] @ x2[i])


def test_dot_layer_of_vectors():
    a, b = torch.randn(4, 6), torch.randn(4, 6)
    out = tf.keras.layers.Dot(1)([a, b])
    assert out.shape == (4, 1)
    torch.testing.assert_close(out[:, 0], torch.stack([p @ q for p, q in zip(a, b, strict=True)]))
    proximity = tf.keras.layers.Dot(1, normalize=True)([a, b])
    torch.testing.assert_close(proximity[:, 0], torch.cosine_similarity(a, b))


def test_backend_batch_dot():
    x_batch = tf.keras.backend.ones(shape=(32, 20, 1))
    y_batch = tf.keras.backend.ones(shape=(32, 30, 20))
    out = tf.keras.backend.batch_dot(x_batch, y_batch, axes=(1, 2))
    assert tf.keras.backend.int_shape(out) == (32, 1, 30)
    assert (out == 20).all()


def test_backend_batch_dot_shape_inference():
    x, y = torch.randn(100, 20), torch.randn(100, 30, 20)
    out = tf.keras.backend.batch_dot(x, y, axes=(1, 2))
    assert tuple(out.shape) == (100, 30)
    torch.testing.assert_close(out, torch.stack([b @ a for a, b in zip(x, y, strict=True)]))
    x, y = (tf.keras.backend.placeholder(shape=shape) for shape in ((100, 20), (100, 30, 20)))
    assert tf.keras.backend.int_shape(tf.keras.backend.batch_dot(x, y, axes=(1, 2))) == (100, 30)


@pytest.mark.parametrize(
    ("x", "y", "shape"),
    [((2, 3), (3, 4), (2, 4)), ((32, 28, 3), (3, 4), (32, 28, 4)), ((2, 3), (4, 3, 5), (2, 4, 5))],
    ids=str,
)
def test_backend_dot(x, y, shape):
    symbolic = tf.keras.backend.dot(*(tf.keras.backend.placeholder(shape=sizes) for sizes in (x, y)))
    assert f"shape={shape} dtype=float32" in repr(symbolic)
    x = tf.keras.backend.random_uniform_variable(shape=x, low=0, high=1)
    assert 0 <= x.min() < x.max() < 1
    y = torch.rand(y)
    out = tf.keras.backend.dot(x, y)
    assert tuple(out.shape) == shape
    np.testing.assert_allclose(out.numpy(), np.dot(x.numpy(), y.numpy()), rtol=1e-5)


# "What is the PyTorch equivalent of tf.keras.layers.Dot?": its answers gave (32,), an error and an error.
QUESTION = [
    ((32, 128), (32, 128), -1, (32, 1), "bk,bk->b"),
    ((32, 64, 10, 128), (32, 32, 15, 128), -1, (32, 64, 10, 32, 15), "bpqk,brsk->bpqrs"),
    ((32, 64, 10, 128), (32, 128, 32, 15), (3, 1), (32, 64, 10, 32, 15), "bpqk,bkrs->bpqrs"),
]


@pytest.mark.parametrize(("x", "y", "axes", "shape", "equation"), QUESTION, ids=str)
def test_the_question(x, y, axes, shape, equation):
    symbolic = tf.keras.layers.Dot(axes)([tf.keras.Input(x[1:]), tf.keras.Input(y[1:])])
    assert symbolic.shape == (None, *shape[1:])
    x, y = torch.randn(x), torch.randn(y)
    right = torch.einsum(equation, x.double(), y.double()).reshape(shape)
    for out in (tf.keras.layers.Dot(axes)([x, y]), batchdot.batch_dot(x, y, axes)):
        assert tuple(out.shape) == shape
        torch.testing.assert_close(out.double(), right, rtol=0, atol=1e-4)
