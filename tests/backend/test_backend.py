"""keras.backend by its names: as tf_keras has them, on tensors and on symbolic tensors."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, tf, tf_keras

import batchdot
from batchdot import backend as B  # noqa: N812  # as Keras code calls it K

RNG = np.random.default_rng(0)
ARRAYS = {
    "X": RNG.standard_normal((2, 3, 4)).astype("float32"),
    "Y": RNG.standard_normal((2, 4, 5)).astype("float32"),
    "Z": RNG.standard_normal((2, 3, 4)).astype("float32"),
    "N": RNG.integers(-3, 4, (2, 3)).astype("int32"),
    "IDS": RNG.integers(0, 4, (2, 3)).astype("int64"),
    "B": RNG.integers(0, 2, (2, 3)).astype("bool"),
    "P": RNG.dirichlet(np.ones(4), (2, 3)).astype("float32"),
    "T": np.eye(4, dtype="float32")[RNG.integers(0, 4, (2, 3))],
    "V": np.abs(RNG.standard_normal((1, 4))).astype("float32"),
    "I": RNG.standard_normal((2, 3, 3, 4)).astype("float32"),
}
"""Operands by the names that rows have for them; all have at least two axes."""

ROWS = """
dot(X[0], Y[0])
dot(X, Y[0])
batch_dot(X, Y)
batch_dot(X, Y, axes=(2, 1))
l2_normalize(X)
l2_normalize(X, axis=-1)
l2_normalize(X, axis=1)
l2_normalize(X, axis=[0, 2])
l2_normalize(X, axis=[-1, 1])
expand_dims(X)
expand_dims(X, 1)
squeeze(X[:, :1], 1)
squeeze(X[..., :1], -1)
permute_dimensions(X, (0, 2, 1))
permute_dimensions(X, pattern=[2, 0, 1])
reshape(X, (-1, 3, 2, 2))
reshape(X, shape=(-1, 6))
transpose(X)
transpose(X[0])
flatten(X)
batch_flatten(X)
batch_flatten(X[0])
concatenate([X, Z])
concatenate([X, Z, X], axis=1)
concatenate([X, Z], axis=0)
stack([X, Z])
stack([X, Z], axis=-1)
tile(X, (1, 2, 3))
tile(X[0], n=[2, 1])
repeat(X[0], 3)
repeat_elements(X, 2, 1)
repeat_elements(X, rep=3, axis=-1)
reverse(X, 1)
reverse(X, axes=[0, -1])
gather(X, np.array([1, 0, 1]))
gather(X[0], IDS % 3)
gather(X[0], indices=N * 0)
one_hot(IDS, 4)
one_hot(N, num_classes=3)
temporal_padding(X)
temporal_padding(X, padding=(2, 0))
spatial_2d_padding(I)
spatial_2d_padding(I, ((0, 1), (2, 3)), 'channels_first')
spatial_3d_padding(I[:, None], padding=((1, 0), (0, 1), (2, 2)), data_format='channels_last')
cast(X, 'float64')
cast(X, 'int32')
cast(X, dtype='float16')
cast_to_floatx(N)
abs(X)
abs(N)
square(X)
square(N)
sqrt(X)
exp(X)
log(P)
sin(X)
cos(X)
sign(X)
sign(N)
round(X * 4)
round(N * 0.5)
pow(V, 2)
pow(V, 0.5)
pow(V, a=X)
pow(N, 2)
clip(X, -0.5, 0.5)
clip(X, 0.5, -0.5)
clip(X, min_value=0, max_value=None)
clip(N, -1, 1)
maximum(X, Z)
maximum(X, 0.5)
maximum(N, 1)
minimum(X, Z[:1])
minimum(X, y=0.0)
equal(N, 1)
equal(X, X)
equal(IDS, IDS)
not_equal(N, 1)
greater(X, Z)
greater(X, 0)
greater_equal(N, 1)
less(X, 0.5)
less_equal(X, Z)
zeros_like(X)
zeros_like(X, dtype='int32')
ones_like(N)
ones_like(X, 'float64', 'own')
sum(X)
sum(X, axis=1)
sum(X, axis=-1, keepdims=True)
sum(X, [0, 2])
sum(X, (-1, 1), True)
sum(X, axis=[])
sum(N, axis=0)
prod(X)
prod(X, axis=1)
prod(X, axis=[-1, 0], keepdims=True)
prod(N)
mean(X)
mean(X, axis=-1)
mean(X, axis=(1, 2), keepdims=True)
mean(B)
mean(B, axis=1)
std(X)
std(X, axis=1)
std(X, [0, 1], keepdims=True)
var(X)
var(X, axis=-1)
var(B, axis=0)
max(X)
max(X, axis=1)
max(N, axis=[0, 1], keepdims=True)
min(X, axis=-1)
min(X, axis=(0, -1))
any(X)
any(N, axis=1)
any(B, axis=0, keepdims=True)
all(N)
all(B, axis=-1)
argmax(X)
argmax(X, axis=1)
argmax(N, axis=0)
argmax(B)
argmin(B, axis=0)
argmin(X)
argmin(X, axis=-2)
cumsum(X)
cumsum(X, axis=-1)
cumsum(N, axis=1)
cumprod(X)
cumprod(N, axis=1)
relu(X)
relu(X, alpha=0.2)
relu(X, max_value=0.5)
relu(X, alpha=0.2, max_value=1.0, threshold=0.25)
elu(X)
elu(X, alpha=0.5)
softmax(X)
softmax(X, axis=1)
softmax(X, axis=[1, 2])
softplus(X)
softsign(X)
sigmoid(X)
hard_sigmoid(X * 3)
tanh(X)
dropout(X, 0.0)
bias_add(X, V[0])
bias_add(I, V[0][:3], 'channels_first')
bias_add(I, I[0])
bias_add(X, X[0], data_format='channels_last')
batch_normalization(X, V[0], V[0], V[0], V[0])
batch_normalization(X, V[0], V[0], None, None, epsilon=0.1)
batch_normalization(X, V[0], V[0], beta=V[0], gamma=V[0], axis=2)
batch_normalization(X, V[:, :1], V[:, :1], None, V[:, :1])
binary_crossentropy(T, P)
binary_crossentropy(T, X, from_logits=True)
binary_crossentropy(T, T)
binary_focal_crossentropy(T, P)
binary_focal_crossentropy(T, X, apply_class_balancing=True, from_logits=True)
binary_focal_crossentropy(T, P, True, 0.4, 1.5)
categorical_crossentropy(T, P)
categorical_crossentropy(T, P * 2)
categorical_crossentropy(T, X, from_logits=True)
categorical_crossentropy(T, P, axis=1)
categorical_focal_crossentropy(T, P)
categorical_focal_crossentropy(T, X, alpha=0.4, gamma=1.0, from_logits=True)
sparse_categorical_crossentropy(IDS, P)
sparse_categorical_crossentropy(IDS, P * 0.5)
sparse_categorical_crossentropy(IDS, X, from_logits=True)
sparse_categorical_crossentropy(IDS[..., None], P)
sparse_categorical_crossentropy(IDS[:, :1] % 3, P[..., :1], axis=1)
sparse_categorical_crossentropy(IDS, P, ignore_class=1)
in_top_k(X[0], np.array([0, 3, 1]), 2)
in_top_k(X[1], targets=np.array([0, 1, 2]), k=1)
switch(X > 0, X, Z)
switch(B, X, Z)
in_train_phase(X, Z, training=True)
in_train_phase(X, Z, training=0)
in_test_phase(X, Z, training=1)
stop_gradient(X)
zeros((2, 3))
zeros((2, 3), dtype='int32')
ones((2, 3), 'float64', 'own')
eye(3)
eye(2, dtype='int32', name='own')
arange(4)
arange(1, 7, 2)
arange(-2)
arange(0, 1, 0.25, dtype='float32')
constant([[1, 2], [3, 4]])
constant(3, dtype='int64', shape=(2, 2))
constant([1, 2, 3, 4], shape=(2, 2))
variable(np.arange(4), name='own')
variable([[1.5, 2.5]], dtype='float64')
""".strip().splitlines()
"""Calls of functions of the backend; arrays of two axes and more become tensors."""


def read(row: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the function's name, its arguments by position and by name."""
    name = row.partition("(")[0]
    names = {**ARRAYS, "np": np, name: lambda *args, **kwargs: (args, kwargs)}
    return name, *eval(row, names)


def tensors(value: Any, make: Any) -> Any:
    """Return arguments with tensors made of the arrays in them."""
    if isinstance(value, list | tuple):
        return type(value)(tensors(item, make) for item in value)
    if isinstance(value, dict):
        return {key: tensors(item, make) for key, item in value.items()}
    return make(value) if isinstance(value, np.ndarray) and value.ndim > 1 else value


def keras_function(row: str) -> Any:
    """Return the dtype, shape and value of a call in tf_keras."""
    K = tf_keras.backend  # noqa: N806
    name, args, kwargs = read(row)
    out = getattr(K, name)(*tensors(args, tf.constant), **tensors(kwargs, tf.constant))
    return K.dtype(out), K.int_shape(out), K.eval(out)


@pytest.mark.parametrize("row", ROWS)
def test_function_as_keras(row: str, keras_says: Any) -> None:
    dtype, shape, value = keras_says(keras_function, row)
    name, args, kwargs = read(row)
    for make in (torch.tensor, lambda array: array):  # arrays are taken as they are
        got = getattr(B, name)(*tensors(args, make), **tensors(kwargs, make))
        assert (B.dtype(got), B.int_shape(got)) == (dtype, shape)
        np.testing.assert_allclose(B.eval(got), value, rtol=1e-5, atol=1e-6)


def has_tensors(row: str) -> bool:
    found: list[Any] = []
    tensors(read(row)[1:], found.append)
    return bool(found)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("row", [row for row in ROWS if has_tensors(row)])
def test_function_symbolic(row: str, unknown: bool) -> None:
    """A symbolic call has the dtype and the shape of one on tensors, and a model of it the values."""
    name, args, kwargs = read(row)
    inputs, real = [], []

    def place(array: Any) -> Any:
        batch = None if unknown and array.shape[0] == 2 else array.shape[0]
        inputs.append(batchdot.Input(batch_shape=(batch, *array.shape[1:]), dtype=str(array.dtype)))
        real.append(torch.tensor(array))
        return inputs[-1]

    out = getattr(B, name)(*tensors(args, place), **tensors(kwargs, place))
    wanted = getattr(B, name)(*tensors(args, torch.tensor), **tensors(kwargs, torch.tensor))
    assert B.is_keras_tensor(out)
    assert B.ndim(out) == wanted.ndim
    assert all(size in (None, known) for size, known in zip(B.int_shape(out), wanted.shape, strict=True))
    assert unknown or B.int_shape(out) == tuple(wanted.shape)
    assert B.dtype(out) == B.dtype(wanted)
    model = batchdot.Model(inputs, out)
    torch.testing.assert_close(model(real), wanted)
    again = batchdot.models.model_from_json(model.to_json())
    torch.testing.assert_close(again(real), wanted)


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int8", "int64", "uint32", "float16", "float64", "complex64", "complex128"]
)
def test_kind_of_a_dtype_is_numpys(name: str) -> None:
    kind = np.dtype(name).kind
    assert B.is_float_dtype(name) is (kind == "f")
    assert B.is_int_dtype(name) is (kind in "iu")


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
    (lambda: B.set_image_data_format("last"), ValueError, "Unknown data_format: 'last'"),
    (lambda: B.bias_add(torch.ones(2, 3), torch.ones(3), "last"), ValueError, "data_format is channels_last"),
    (lambda: B.bias_add(torch.ones(2, 3, 4), torch.ones(2, 3, 4)), ValueError, "A bias has 1 or 2 axes here"),
    (lambda: B.tile(torch.ones(2, 3), 2), ValueError, "tile takes a number for each axis"),
    (lambda: B.repeat(torch.ones(2), 2), ValueError, "repeat takes a tensor of two axes"),
    (lambda: B.gather(torch.ones(2, 3), [-1]), IndexError, "out of range"),
    (lambda: B.spatial_2d_padding(torch.ones(2, 3, 4)), ValueError, "Padding takes 4 axes and 2 pairs"),
    (lambda: B.binary_crossentropy([1.0], [[0.5]]), ValueError, "Targets and outputs have one shape"),
    (
        lambda: B.sparse_categorical_crossentropy([1, 0], [[0.5, 0.5]]),
        ValueError,
        "one index for each sample",
    ),
    (lambda: B.set_epsilon(0), ValueError, "`epsilon` should be a positive finite number. Received: 0"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_refused_in_a_sentence(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_random_tensors() -> None:
    for make in (B.random_normal, B.random_uniform, B.truncated_normal):
        x = make((50, 40), 2.0, 3.0, "float64", 1)
        assert (B.dtype(x), B.int_shape(x)) == ("float64", (50, 40))
        assert torch.equal(x, make(shape=(50, 40), dtype="float64", seed=1, **SPREAD[make.__name__]))
        assert 1.9 < x.mean() < 2.6
    assert B.random_uniform((99,), 2.0, 3.0).min() >= 2
    ones = B.random_bernoulli((1000,), 0.25, seed=2)
    assert set(ones.tolist()) == {0.0, 1.0}
    assert ones.mean().item() == pytest.approx(0.25, abs=0.05)
    assert B.random_binomial is B.random_bernoulli
    with pytest.raises(ValueError, match=r"known size. Received: shape=\(None, 2\). Draw it in .* Lambda"):
        B.random_normal(B.shape(batchdot.Input((2,))))


SPREAD = {
    "random_normal": {"mean": 2.0, "stddev": 3.0},
    "truncated_normal": {"mean": 2.0, "stddev": 3.0},
    "random_uniform": {"minval": 2.0, "maxval": 3.0},
}


def test_dropout_drops_a_fraction() -> None:
    x = torch.ones(100, 100)
    out = B.dropout(x, 0.25, seed=3)
    assert torch.equal(out, B.dropout(x, 0.25, seed=3))
    assert out.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert out.eq(0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    rows = B.dropout(x, 0.5, noise_shape=(None, 1))
    assert torch.equal(rows, rows[:, :1].expand(100, 100))
    with pytest.raises(ValueError, match=r"a fraction in \[0, 1\). Received: level=1"):
        B.dropout(x, 1)


def test_updates_in_place() -> None:
    x, y = B.variable([1.0, 2.0]), B.variable([0.0])
    assert B.update_add(x, 1) is x
    assert B.update_sub(x, [0.0, 1.0]).tolist() == [2.0, 2.0]
    assert B.update(y, np.array([5])) is y
    assert B.moving_average_update(y, 1.0, momentum=0.75).tolist() == [4.0]
    B.batch_set_value([(x, [7, 8]), (y, np.zeros(1))])
    assert [value.tolist() for value in B.batch_get_value([x, y])] == [[7.0, 8.0], [0.0]]
    weight = torch.ones(2, requires_grad=True)
    assert B.update_add(weight, 1).requires_grad
    first, second = B.stop_gradient([weight * 2, weight])
    assert [first.requires_grad, second.requires_grad] == [False, False]


def test_print_tensor_prints_in_calls_on_tensors(capsys: pytest.CaptureFixture[str]) -> None:
    x = batchdot.Input((3,))
    model = batchdot.Model(x, B.print_tensor(x, message="x =", summarize=1) + 1)
    assert capsys.readouterr().out == ""
    model(torch.tensor([[1.0, 2.0, 3.0]]))
    assert capsys.readouterr().out == "x = [[1. ... 3.]]\n"


class Noisy(batchdot.layers.Layer):
    """A layer as Keras 2 code writes it: it adds 1 in training."""

    def call(self, inputs: Any) -> Any:
        return B.in_train_phase(lambda: inputs + 1, inputs)


def phase_of(model: Any) -> list[float]:
    """Return the outputs in training, in inference, and in inference by an argument."""
    x = torch.zeros(1, 1)
    return [
        out.item() for out in (model.train()(x), model.eval()(x), model.train()(x, training=False), model(x))
    ]


PHASES = {
    "layer": lambda x: Noisy()(x),
    "lambda": lambda x: batchdot.layers.Lambda(lambda t: B.in_train_phase(t + 1, t))(x),
    "learning phase": lambda x: batchdot.layers.Lambda(lambda t: t + B.learning_phase())(x),
    "symbolic": lambda x: B.in_train_phase(x + 1, x),
    "function": lambda x: B.in_train_phase(lambda: x + 1, x),
    "test phase": lambda x: B.in_test_phase(x, lambda: x + 1),
}


@pytest.mark.parametrize("make", PHASES.values(), ids=PHASES)
def test_phase_is_that_of_the_call(make: Any) -> None:
    x = batchdot.Input((1,))
    assert phase_of(batchdot.Model(x, make(x))) == [1.0, 0.0, 0.0, 1.0]


def test_phase_of_a_lambda_alone() -> None:
    layer = batchdot.layers.Lambda(lambda t: B.in_train_phase(t + 1, t))
    assert [layer.train()(torch.zeros(1)).item(), layer.eval()(torch.zeros(1)).item()] == [1.0, 0.0]


def test_phase_that_nothing_says_is_refused() -> None:
    for call in (B.learning_phase, lambda: B.in_train_phase(1, 0)):
        with pytest.raises(RuntimeError, match=r"Pass training=..., or call K.set_learning_phase\(0\)"):
            call()
    with B.learning_phase_scope(1):
        assert (B.learning_phase(), B.in_train_phase("x", "alt")) == (1, "x")
        with B.learning_phase_scope(0):
            assert (B.learning_phase(), B.in_test_phase("x", "alt")) == (0, "x")
    with pytest.raises(ValueError, match="to be 0 or 1"):
        B.set_learning_phase(2)


def test_switch_chooses() -> None:
    x, y = torch.zeros(2), torch.ones(2)
    assert B.switch(torch.tensor(True), lambda: x, lambda: y) is x
    assert B.switch(torch.tensor(0), x, y) is y
    assert B.switch(torch.tensor([1, 0]), torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [
        [0.0] * 3,
        [1.0] * 3,
    ]
    with pytest.raises(ValueError, match=r"at most the axes of its expressions"):
        B.switch(torch.ones(2, 1), x, y)


def test_function_computes_arrays() -> None:
    x, y = batchdot.Input((2,)), batchdot.Input((2,))
    hidden = batchdot.layers.Dropout(0.5)(x)
    given = [np.ones((3, 2)), np.zeros((3, 2))]
    assert B.function([x, y], hidden + y)(given).tolist() == np.ones((3, 2)).tolist()
    (alone,) = B.function([x], [hidden])([given[0]])
    assert isinstance(alone, np.ndarray)
    assert B.function(x, hidden)(given[0]).dtype == np.float32
    with pytest.raises(ValueError, match="takes no updates"):
        B.function([x], [hidden], updates=[1])


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
    assert [name for name in B.__all__ if not (hasattr(K, name) or hasattr(keras.backend, name))] == []
    assert B.image_data_format() == K.image_data_format()
    assert (B.floatx(), B.epsilon()) == (K.floatx(), K.epsilon())
