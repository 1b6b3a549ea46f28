"""The examples of the reference documents, run as they stand with ``tf.keras`` being this library."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import batchdot

tf = SimpleNamespace(keras=batchdot)


def test_dot_of_integers() -> None:  # layers.Dot, first example
    x = np.arange(10).reshape(1, 5, 2)
    y = np.arange(10, 20).reshape(1, 2, 5)
    out = tf.keras.layers.Dot(axes=(1, 2))([x, y])
    assert (tuple(out.shape), out.dtype) == ((1, 2, 2), torch.int64)
    assert out.tolist() == [[[260, 360], [320, 445]]]


def test_dot_of_dense_on_integers() -> None:  # layers.Dot, second example
    x1 = tf.keras.layers.Dense(8)(np.arange(10).reshape(5, 2))
    x2 = tf.keras.layers.Dense(8)(np.arange(10, 20).reshape(5, 2))
    dotted = tf.keras.layers.Dot(axes=1)([x1, x2])
    assert dotted.shape == torch.Size([5, 1])
    assert dotted.dtype == x1.dtype == torch.float32
    torch.testing.assert_close(dotted, (x1 * x2).sum(1, keepdim=True))


def test_batch_dot_of_ones() -> None:  # backend.batch_dot, the example
    x_batch = tf.keras.backend.ones(shape=(32, 20, 1))
    y_batch = tf.keras.backend.ones(shape=(32, 30, 20))
    xy_batch_dot = tf.keras.backend.batch_dot(x_batch, y_batch, axes=(1, 2))
    assert tf.keras.backend.int_shape(xy_batch_dot) == (32, 1, 30)
    assert xy_batch_dot.unique().tolist() == [20.0]


def test_batch_dot_shape_inference() -> None:  # backend.batch_dot, "Shape inference"
    x = tf.keras.backend.placeholder(shape=(100, 20))
    y = tf.keras.backend.placeholder(shape=(100, 30, 20))
    assert tf.keras.backend.int_shape(tf.keras.backend.batch_dot(x, y, axes=(1, 2))) == (100, 30)
    assert tf.keras.backend.batch_dot(torch.ones(100, 20), torch.ones(100, 30, 20), (1, 2)).shape == (100, 30)


@pytest.mark.parametrize(
    ("x_shape", "wanted"), [((2, 3), (2, 4)), ((32, 28, 3), (32, 28, 4))], ids=["first", "second"]
)
def test_dot_of_placeholders(x_shape: Any, wanted: Any) -> None:  # backend.dot, first two examples
    x = tf.keras.backend.placeholder(shape=x_shape)
    y = tf.keras.backend.placeholder(shape=(3, 4))
    xy = tf.keras.backend.dot(x, y)
    assert xy.shape == wanted
    assert xy.dtype == torch.float32
    assert f"shape={wanted} dtype=float32" in repr(xy)


def test_dot_of_a_variable() -> None:  # backend.dot, third example
    x = tf.keras.backend.random_uniform_variable(shape=(2, 3), low=0, high=1)
    y = tf.keras.backend.ones((4, 3, 5))
    xy = tf.keras.backend.dot(x, y)
    assert tf.keras.backend.int_shape(xy) == (2, 4, 5)
    assert 0 <= x.min() < x.max() < 1
    torch.testing.assert_close(xy, x.sum(1)[:, None, None].expand(2, 4, 5))


def test_the_layer_of_the_class_description() -> None:  # layers.Dot: (batch_size, n) gives (batch_size, 1)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    out = tf.keras.layers.Dot(axes=1)([a, b])
    assert out.shape == (4, 1)
    for i in range(4):
        torch.testing.assert_close(out[i, 0], a[i] @ b[i])
    cosines = tf.keras.layers.Dot(axes=1, normalize=True)([a, b])
    torch.testing.assert_close(cosines[:, 0], torch.cosine_similarity(a, b))


# The three answers to "What is the PyTorch equivalent?" are wrong; these are the shapes they were asked for.
QUESTION = [
    ((32, 128), (32, 128), -1, "bk,bk->b"),
    ((32, 64, 10, 128), (32, 32, 15, 128), -1, "bijk,bmnk->bijmn"),
    ((32, 64, 10, 128), (32, 128, 32, 15), (3, 1), "bijk,bkmn->bijmn"),
]


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "einsum"), QUESTION)
def test_the_question(x_shape: Any, y_shape: Any, axes: Any, einsum: str) -> None:
    x, y = torch.randn(x_shape), torch.randn(y_shape)
    wanted = torch.einsum(einsum, x, y)
    wanted = wanted[:, None] if wanted.ndim == 1 else wanted
    out = tf.keras.layers.Dot(axes)([x, y])
    assert out.shape == wanted.shape
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)
    symbolic = tf.keras.layers.Dot(axes)([tf.keras.Input(x_shape[1:]), tf.keras.Input(y_shape[1:])])
    assert symbolic.shape == (None, *wanted.shape[1:])
