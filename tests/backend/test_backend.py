"""keras.backend by its names: as tf_keras has them, on tensors and on symbolic tensors."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf_keras

import batchdot
from batchdot import backend as B  # noqa: N812  # as Keras code calls it K

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 3, 4)).astype("float32"), RNG.standard_normal((2, 4, 5)).astype("float32")

ROWS = [
    "dot(X[0], Y[0])",
    "dot(X, Y[0])",
    "batch_dot(X, Y)",
    "batch_dot(X, Y, axes=(2, 1))",
    "l2_normalize(X)",
    "l2_normalize(X, axis=-1)",
    "l2_normalize(X, axis=1)",
    "l2_normalize(X, axis=[0, 2])",
    "l2_normalize(X, axis=[-1, 1])",
    "expand_dims(X)",
    "expand_dims(X, 1)",
    "squeeze(X[:, :1], 1)",
    "squeeze(X[..., :1], -1)",
    "permute_dimensions(X, (0, 2, 1))",
    "permute_dimensions(X, pattern=[2, 0, 1])",
    "reshape(X, (-1, 3, 2, 2))",
    "reshape(X, shape=(-1, 6))",
    "transpose(X)",
    "transpose(X[0])",
    "cast(X, 'float64')",
    "cast(X, 'int32')",
    "cast(X, dtype='float16')",
    "zeros((2, 3))",
    "zeros((2, 3), dtype='int32')",
    "ones((2, 3), 'float64', 'own')",
    "constant([[1, 2], [3, 4]])",
    "constant(3, dtype='int64', shape=(2, 2))",
    "constant([1, 2, 3, 4], shape=(2, 2))",
    "variable(np.arange(4), name='own')",
    "variable([[1.5, 2.5]], dtype='float64')",
]
"""Calls of functions of the backend; the arrays become tensors."""


def read(row: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the function's name, its arguments by position and by name."""
    name = row.partition("(")[0]
    return name, *eval(row, {"X": X, "Y": Y, "np": np, name: lambda *args, **kwargs: (args, kwargs)})


def tensors(values: tuple[Any, ...], make: Any) -> list[Any]:
    return [make(value) if isinstance(value, np.ndarray) and value.ndim > 1 else value for value in values]


def keras_function(row: str) -> Any:
    """Return the dtype, shape and value of a call in tf_keras."""
    K = tf_keras.backend  # noqa: N806
    name, args, kwargs = read(row)
    out = getattr(K, name)(*tensors(args, K.constant), **kwargs)
    return K.dtype(out), K.int_shape(out), K.eval(out)


@pytest.mark.parametrize("row", ROWS)
def test_function_as_keras(row: str, keras_says: Any) -> None:
    dtype, shape, value = keras_says(keras_function, row)
    name, args, kwargs = read(row)
    for make in (torch.tensor, lambda array: array):  # arrays are taken as they are
        got = getattr(B, name)(*tensors(args, make), **kwargs)
        assert (B.dtype(got), B.int_shape(got)) == (dtype, shape)
        np.testing.assert_allclose(B.eval(got), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("row", [row for row in ROWS if "(X" in row])
def test_function_symbolic(row: str, unknown: bool) -> None:
    name, args, kwargs = read(row)
    inputs: list[Any] = []

    def place(array: Any) -> Any:
        batch = None if unknown and array.ndim == 3 else array.shape[0]
        inputs.append(batchdot.Input(batch_shape=(batch, *array.shape[1:])))
        return inputs[-1]

    out = getattr(B, name)(*tensors(args, place), **kwargs)
    real = tensors(args, torch.tensor)
    wanted = getattr(B, name)(*real, **kwargs)
    assert B.is_keras_tensor(out)
    assert B.ndim(out) == wanted.ndim
    assert all(size in (None, known) for size, known in zip(B.int_shape(out), wanted.shape, strict=True))
    assert unknown or B.int_shape(out) == tuple(wanted.shape)
    assert B.dtype(out) == B.dtype(wanted)
    model = batchdot.Model(inputs, out)
    torch.testing.assert_close(model([v for v in real if isinstance(v, torch.Tensor)]), wanted)
    again = batchdot.models.model_from_json(model.to_json())
    torch.testing.assert_close(again([v for v in real if isinstance(v, torch.Tensor)]), wanted)


def test_placeholders() -> None:
    x = B.placeholder((None, 3), name="own")
    assert B.int_shape(x) == B.shape(x) == (None, 3)
    assert x.name == "own"
    assert B.int_shape(B.placeholder(ndim=2)) == (None, None)
    assert B.int_shape(B.placeholder(shape=())) == ()
    assert B.dtype(B.placeholder((2,), dtype="int32")) == "int32"
    assert batchdot.Model(x, B.transpose(x))(torch.ones(2, 3)).shape == (3, 2)
    for asked in ({}, {"shape": (2,), "sparse": True}):
        with pytest.raises(ValueError, match=r"placeholder needs a shape|An Input is dense"):
            B.placeholder(**asked)


def test_random_variables() -> None:
    uniform = B.random_uniform_variable((100, 100), 2, 4, dtype="float64", seed=1)
    assert uniform.dtype == torch.float64
    assert 2 <= uniform.min() < uniform.max() < 4
    normal = B.random_normal_variable((100, 100), mean=5, scale=2, seed=1)
    assert normal.mean().item() == pytest.approx(5, abs=0.1)
    assert normal.std().item() == pytest.approx(2, abs=0.1)
    assert torch.equal(normal, B.random_normal_variable((100, 100), mean=5, scale=2, seed=1))


def test_values_in_and_out() -> None:
    x = B.variable([[1.0, 2.0]])
    B.set_value(x, np.array([[3, 4]]))
    assert B.get_value(x).tolist() == [[3.0, 4.0]]
    taken = B.get_value(x)
    taken[0] = 0
    assert x.tolist() == [[3.0, 4.0]]  # a copy
    assert B.get_value(2.5) == 2.5
    assert B.eval(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    assert B.eval(torch.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]
    source = np.ones(2, "float32")
    B.variable(source).zero_()
    assert source.tolist() == [1.0, 1.0]
    assert B.variable([1.0], constraint="non_neg").constraint(torch.tensor([-1.0])).item() == 0


def test_sparse_tensors() -> None:
    scipy = pytest.importorskip("scipy.sparse")
    matrix = scipy.random(4, 3, 0.5, format="csr", random_state=0)
    x = B.variable(matrix)
    assert B.is_sparse(x)
    assert not B.is_sparse(B.eval(x))
    assert B.dtype(x) == "float32"
    np.testing.assert_allclose(B.eval(x), matrix.toarray(), rtol=1e-6)
    np.testing.assert_allclose(B.eval(B.dot(x, B.ones((3, 2)))), matrix @ np.ones((3, 2)), rtol=1e-6)


REFUSED = [
    (lambda: B.eval(B.placeholder((2,))), TypeError, "A symbolic tensor has no value"),
    (lambda: B.set_value(B.zeros((2,)), [1]), ValueError, r"cannot set a tensor of shape \(2,\)"),
    (lambda: B.constant([1, 2], shape=(3,)), ValueError, r"cannot fill the shape \(3,\)"),
    (lambda: B.squeeze(torch.ones(2, 3), 1), ValueError, r"needs an axis of size 1"),
    (lambda: B.reshape(torch.ones(2, 3), (None, -1)), ValueError, "can infer one size only"),
    (lambda: B.cast(1, "float3"), TypeError, "Expected a torch.dtype or the name of one"),
    (lambda: B.set_floatx("int32"), ValueError, "Unknown `floatx` value: 'int32'"),
    (lambda: B.set_epsilon(0), ValueError, "`epsilon` should be a positive finite number. Received: 0"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_refused_in_a_sentence(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_l2_normalize_keeps_its_range() -> None:
    """As batch_dot does with normalize: squares neither overflow nor underflow, a zero stays a zero."""
    for scale, dtype in ((1e30, torch.float32), (1e-4, torch.float16), (1e200, torch.float64)):
        x = torch.tensor([[3.0, 4.0]], dtype=dtype) * scale
        out = B.l2_normalize(x, axis=1)
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), torch.tensor([[0.6, 0.8]]).double(), rtol=1e-3, atol=0)
    zero = torch.zeros(1, 2, requires_grad=True)
    B.l2_normalize(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()
    assert B.l2_normalize(torch.tensor([3, 4])).tolist() == pytest.approx([0.6, 0.8])
    assert B.l2_normalize(torch.tensor(5.0)).item() == 1


def test_settings() -> None:
    assert (B.floatx(), B.epsilon()) == ("float32", 1e-7)
    B.set_floatx("float16")
    B.set_epsilon(1e-3)
    try:
        assert B.zeros((1,)).dtype == B.variable(1.0).dtype == B.placeholder((1,)).dtype == torch.float16
        assert batchdot.initializers.Ones()((1,)).dtype == torch.float16
        assert batchdot.constraints.UnitNorm()(torch.tensor([1.0])).item() == pytest.approx(1 / 1.001)
    finally:
        B.set_floatx("float32")
        B.set_epsilon(1e-7)


def test_clear_session_counts_names_anew() -> None:
    B.clear_session()
    assert [batchdot.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    B.clear_session()
    assert batchdot.layers.Dense(1).name == "dense"


def test_every_name_is_exported() -> None:
    assert all(hasattr(B, name) for name in B.__all__)


@pytest.mark.keras
def test_names_and_settings_are_keras_s() -> None:
    K = tf_keras.backend  # noqa: N806
    assert all(hasattr(K, name) for name in B.__all__)
    assert (B.floatx(), B.epsilon()) == (K.floatx(), K.epsilon())
