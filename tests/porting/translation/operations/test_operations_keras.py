"""Functions of keras.ops and TensorFlow in a graph: what live Keras saves computes the same in PyTorch.

Each group is one model with an output for each row, so that Keras starts up once for all of them.
"""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

ELEMENTWISE = {
    "negative": lambda o, x, y: -x,
    "abs": lambda o, x, y: o.abs(x),
    "square": lambda o, x, y: o.square(x),
    "sqrt": lambda o, x, y: o.sqrt(o.abs(x)),
    "rsqrt": lambda o, x, y: o.rsqrt(o.abs(x) + 0.1),
    "exp": lambda o, x, y: o.exp(x),
    "expm1": lambda o, x, y: o.expm1(x),
    "log": lambda o, x, y: o.log(o.abs(x)),
    "log1p": lambda o, x, y: o.log1p(o.abs(x)),
    "log2 and 10": lambda o, x, y: o.log2(o.abs(x)) + o.log10(o.abs(y)),
    "sines": lambda o, x, y: o.sin(x) + o.cos(y) + o.tan(x) + o.sinh(x) + o.cosh(y) + o.tanh(x),
    "arcs": lambda o, x, y: o.arctan(x) + o.arcsin(o.tanh(x)) + o.arccos(o.tanh(x)) + o.arcsinh(x),
    "atan2": lambda o, x, y: o.arctan2(x, y),
    "erf": lambda o, x, y: o.erf(x),
    "whole": lambda o, x, y: o.floor(x) + o.ceil(y) * 2 + o.round(x) * 3 + o.sign(y),
    "reciprocal": lambda o, x, y: o.reciprocal(x),
    "like": lambda o, x, y: o.zeros_like(x) + o.ones_like(x) * 3,
    "full_like": lambda o, x, y: o.full_like(x, 2.5),
    "arithmetic": lambda o, x, y: (x * 2 - y / 4 + 1) * (1 - x) + 2 / y,
    "negative numbers": lambda o, x, y: x + (-2.0) - (y - (-3.0)),
    "floor_divide": lambda o, x, y: o.floor_divide(x, 0.3) + o.mod(y, 0.7),
    "power": lambda o, x, y: o.power(o.abs(x), 1.5) + o.power(x, 2) + o.power(2.0, x),
    "maximum": lambda o, x, y: o.maximum(x, y) + o.maximum(x, 0.1) + o.minimum(0.2, y) * o.minimum(x, y),
    "clip": lambda o, x, y: o.clip(x, -0.5, 0.7),
    "where": lambda o, x, y: o.where(x > y, x, y) + o.where(x > 0, 1.0, y),
    "logical": lambda o, x, y: o.where(o.logical_and(o.logical_or(x > 0, y > 0), o.logical_not(x > 1)), x, y),
    "logical_xor": lambda o, x, y: o.where(o.logical_xor(x >= 0, y <= 0), x, y),
    "equal": lambda o, x, y: o.cast(o.equal(o.round(x), 0), "float32") + o.cast(o.not_equal(x, y), "float32"),
    "to int and back": lambda o, x, y: o.cast(o.cast(x * 3, "int32"), "float32"),
    "divide_no_nan": lambda o, x, y: o.divide_no_nan(x, o.relu(y)),
    "logaddexp": lambda o, x, y: o.logaddexp(x, y),
    "stop_gradient": lambda o, x, y: o.stop_gradient(x),
    "a list of numbers": lambda o, x, y: x * np.arange(6, dtype="float32"),
    "rectifiers": lambda o, x, y: o.relu(x) + o.relu6(y * 9) + o.leaky_relu(x) + o.leaky_relu(y, 0.4),
    "elu": lambda o, x, y: o.elu(x) + o.elu(y, alpha=0.5) + o.selu(x) + o.celu(y, alpha=2.0),
    "gelu": lambda o, x, y: o.gelu(x) + o.gelu(y, approximate=False) * 2,
    "smooth": lambda o, x, y: o.softplus(x) + o.softsign(y) + o.silu(x) * y + o.log_sigmoid(x),
    "hard": lambda o, x, y: o.hard_sigmoid(x) + o.hard_silu(y) + o.hard_tanh(x) + o.tanh_shrink(y),
    "softmax": lambda o, x, y: o.softmax(x) + o.softmax(y, axis=1) + o.log_softmax(x, axis=1),
    "sigmoid": lambda o, x, y: o.sigmoid(x),
    "isnan": lambda o, x, y: o.where(o.isnan(o.log(x)), y, x),
}

REDUCED = {
    **{
        f"{name} {axis} {keep}": lambda o, x, y, name=name, axis=axis, keep=keep: getattr(o, name)(
            x, axis=axis, keepdims=keep
        )
        for name in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp")
        for axis, keep in ((-1, False), (1, True), ((1, 2), False), ((-1, 1), True))
    },
    "any": lambda o, x, y: o.cast(o.any(x > 1, axis=1), "float32") + o.cast(o.all(x > -1, axis=1), "float32"),
    "argmax": lambda o, x, y: o.cast(o.argmax(x, axis=-1) + o.argmin(y, axis=-1), "float32"),
    "argmax of all": lambda o, x, y: o.cast(o.argmax(x, axis=1, keepdims=True), "float32"),
    "average": lambda o, x, y: o.average(x, axis=-1) + o.average(x, axis=-1, weights=np.arange(6.0)),
    "normalize": lambda o, x, y: o.normalize(x) + o.normalize(y, axis=1) + o.normalize(x, order=1),
    "normalize small": lambda o, x, y: o.normalize(x * 1e-7) + o.normalize(y * 1e-6),
    "cumsum": lambda o, x, y: o.cumsum(x, axis=1),
    "matmul": lambda o, x, y: o.matmul(x, o.transpose(y, (0, 2, 1))),
    "matmul of numbers": lambda o, x, y: o.matmul(x, np.ones((6, 2), "float32")),
    "einsum": lambda o, x, y: o.einsum("btk,bsk->bts", x, y),
    "einsum of one": lambda o, x, y: o.einsum("btk->bk", x),
    "tensordot": lambda o, x, y: o.tensordot(x, np.ones((6, 2), "float32"), axes=1),
}

MOVED = {
    "reshape": lambda o, x, y: o.reshape(x, (-1, 24)),
    "reshape in two": lambda o, x, y: o.reshape(x, (-1, 4, 2, 3)),
    "transpose": lambda o, x, y: o.transpose(x, (0, 2, 1)),
    "swapaxes": lambda o, x, y: o.swapaxes(x, 1, -1),
    "moveaxis": lambda o, x, y: o.moveaxis(x, -1, 1),
    "expand_dims": lambda o, x, y: o.expand_dims(x, 1),
    "squeeze": lambda o, x, y: o.squeeze(o.expand_dims(x, 1), 1),
    "concatenate": lambda o, x, y: o.concatenate([x, y, x], axis=1),
    "stack": lambda o, x, y: o.stack([x, y], axis=-1),
    "split": lambda o, x, y: o.split(x, 3, axis=-1)[1],
    "split at": lambda o, x, y: o.split(x, [1, 4], axis=-1)[1],
    "unstack": lambda o, x, y: o.unstack(x, axis=1)[2],
    "tile": lambda o, x, y: o.tile(x, (1, 2, 3)),
    "repeat": lambda o, x, y: o.repeat(x, 3, axis=1),
    "pad": lambda o, x, y: o.pad(x, ((0, 0), (1, 2), (0, 3))),
    "pad with": lambda o, x, y: o.pad(x, ((0, 0), (1, 0), (0, 1)), constant_values=2.0),
    "flip": lambda o, x, y: o.flip(x, axis=1),
    "roll": lambda o, x, y: o.roll(x, 2, axis=1),
    "take": lambda o, x, y: o.take(x, [2, 0, 0], axis=1) + o.take(y, [1], axis=-2),
    "take the last": lambda o, x, y: o.take(x, [5, 1], axis=-1),
    "one_hot": lambda o, x, y: o.one_hot(o.cast(o.clip(x * 2, 0, 2), "int32"), 3),
    "first": lambda o, x, y: x[:, 0],
    "last": lambda o, x, y: x[:, -1, :],
    "some": lambda o, x, y: x[:, 1:4:2, ..., None],
    "rest": lambda o, x, y: x[..., 2:],
    "backwards": lambda o, x, y: o.flip(x, axis=(1, 2)),
    "broadcast_to": lambda o, x, y: o.broadcast_to(o.mean(x), (3, 2)),
}

GROUPS = {"elementwise": ELEMENTWISE, "reduced": REDUCED, "moved": MOVED}


def compared(k, engine, make, xs, path):
    """Return the rows of which PyTorch makes something else than Keras."""
    inputs = [k.Input(x.shape[1:]) for x in xs]
    rows = {name: row(*inputs) for name, row in make.items()}
    model = k.Model(inputs, list(rows.values()))
    want = model([np.array(x) for x in xs])
    model.save(path)
    with torch.no_grad():
        got = porting.load(path)(*map(torch.tensor, xs))
    wrong = {}
    for name, target, result in zip(rows, want, got, strict=True):
        target = np.asarray(target.detach() if engine == "keras" else target)
        same = target.shape == tuple(result.shape)
        error = np.abs(result.numpy() - target).max() if same else (target.shape, tuple(result.shape))
        if not same or not error <= 2e-5 * max(np.abs(target).max(), 1e-3):
            wrong[name] = error
    return wrong


@pytest.mark.parametrize("group", GROUPS)
def test_load_of_keras_ops_computes_what_keras_computes(group, tmp_path):
    k = live_keras("keras")
    make = {name: lambda x, y, row=row: row(k.ops, x, y) for name, row in GROUPS[group].items()}
    xs = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype("float32")
    assert compared(k, "keras", make, list(xs), tmp_path / "model.keras") == {}


TENSORFLOW = {
    "arithmetic": lambda tf, x, y: (x * 2 - y / 4 + 1) * (1 - x) + 2 / y - x**2,
    "functions": lambda tf, x, y: tf.exp(x) + tf.math.rsqrt(tf.abs(y)) + tf.math.atan(x) + tf.tanh(y),
    "divide_no_nan": lambda tf, x, y: tf.math.divide_no_nan(x, tf.nn.relu(y)),
    "squared_difference": lambda tf, x, y: tf.math.squared_difference(x, y),
    "gelu": lambda tf, x, y: tf.nn.gelu(x) + tf.nn.gelu(y, approximate=True),
    "leaky_relu": lambda tf, x, y: tf.nn.leaky_relu(x) + tf.nn.leaky_relu(y, alpha=0.4) + tf.nn.silu(x),
    "l2_normalize": lambda tf, x, y: tf.math.l2_normalize(x, axis=-1) + tf.math.l2_normalize(y, axis=1),
    "l2_normalize small": lambda tf, x, y: tf.math.l2_normalize(x * 1e-7, axis=-1),
    "l2_normalize planes": lambda tf, x, y: tf.math.l2_normalize(x, axis=[1, 2]),
    "epsilon": lambda tf, x, y: tf.math.l2_normalize(x, axis=1, epsilon=3.0),
    "mean": lambda tf, x, y: tf.reduce_mean(x, axis=1) + tf.math.reduce_std(y, axis=1),
    "matmul": lambda tf, x, y: tf.matmul(x, y, transpose_b=True),
    "split": lambda tf, x, y: tf.split(x, 2, axis=1)[1],
    "split by sizes": lambda tf, x, y: tf.split(x, [1, 2, 3], axis=2)[1],
    "split the rest": lambda tf, x, y: tf.split(x, [1, -1], axis=2)[1],
    "unstack": lambda tf, x, y: tf.unstack(x, axis=1)[3],
    "one_hot": lambda tf, x, y: tf.one_hot(tf.cast(x * 2, tf.int32), 4),
    "gather": lambda tf, x, y: tf.gather(x, [2, 0], axis=1),
    "clip": lambda tf, x, y: tf.clip_by_value(x, -0.5, 0.5),
    "where": lambda tf, x, y: tf.where(tf.greater(x, 0.0), x, y),
    "shape": lambda tf, x, y: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] * 2, 3]),
    "shape at once": lambda tf, x, y: tf.reshape(x[..., None], tf.shape(y)),
    "root of a size": lambda tf, x, y: x / tf.sqrt(tf.cast(tf.shape(x)[-1], tf.float32)),
    "slices": lambda tf, x, y: x[:, 1:3] + y[:, -1:, :],
    "tile": lambda tf, x, y: tf.tile(x[:, :1], [1, tf.shape(y)[1], 1]),
    "reverse": lambda tf, x, y: tf.reverse(x, axis=[1]),
    "transpose": lambda tf, x, y: tf.transpose(x, perm=[0, 2, 1]),
    "concat": lambda tf, x, y: tf.concat([x, y], axis=-1),
    "stack": lambda tf, x, y: tf.stack([x, y], axis=1),
    "argmax": lambda tf, x, y: tf.cast(tf.argmax(x, axis=-1), tf.float32),
    "roll": lambda tf, x, y: tf.roll(x, 1, axis=1),
}


def test_load_of_functions_of_tensorflow_computes_what_keras_computes(tmp_path):
    k, tf = live_keras("tf_keras"), live_keras("tensorflow")
    make = {name: lambda x, y, row=row: row(tf, x, y) for name, row in TENSORFLOW.items()}
    xs = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype("float32")
    assert compared(k, "tf_keras", make, list(xs), tmp_path / "model.h5") == {}


def image_rows(o, conv, pool):
    """Functions behind a convolution, whose result has its channels behind the batch in PyTorch."""
    return {
        "elementwise": lambda x: pool(o.relu(conv(x) * 2) + conv(x)),
        "softmax": lambda x: pool(o.softmax(conv(x))),
        "rows": lambda x: o.mean(conv(x), axis=1),
        "columns": lambda x: o.max(conv(x), axis=2),
        "channels": lambda x: o.sum(conv(x), axis=-1),
        "channels kept": lambda x: pool(o.mean(conv(x), axis=-1, keepdims=True) + conv(x)),
        "pixels": lambda x: o.mean(conv(x), axis=(1, 2)),
        "concatenate": lambda x: pool(o.concatenate([conv(x), conv(x)], axis=-1)),
        "flip": lambda x: pool(o.flip(conv(x), axis=1)),
        "split": lambda x: pool(o.split(conv(x), 2, axis=-1)[1]),
        "argmax": lambda x: o.cast(o.argmax(conv(x), axis=-1), "float32"),
        "vector": lambda x: pool(conv(x) * np.arange(4, dtype="float32")),
        "where": lambda x: pool(o.where(conv(x) > 0, conv(x), 0.5)),
        "normalize": lambda x: pool(o.normalize(conv(x), axis=-1)),
        "reshape": lambda x: o.reshape(conv(x), (-1, 7 * 5 * 4)),
        "get_item": lambda x: conv(x)[:, 2],
        "transpose": lambda x: o.transpose(conv(x), (0, 3, 2, 1)),
    }


def test_load_of_functions_behind_a_convolution_keeps_the_order_of_axes(tmp_path):
    k = live_keras("keras")
    conv, pool = k.layers.Conv2D(4, 2), k.layers.MaxPooling2D(2)
    x = np.random.default_rng(0).standard_normal((3, 8, 6, 3)).astype("float32")
    assert compared(k, "keras", image_rows(k.ops, conv, pool), [x], tmp_path / "model.keras") == {}


REFUSED = {
    "unknown": lambda o, x: o.sort(x),
    "mode": lambda o, x: o.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect"),
    "another number of times": lambda o, x: o.repeat(x, [1, 2, 3, 4], axis=1),
}


@pytest.mark.parametrize("word", REFUSED)
def test_port_of_function_without_counterpart_is_refused(word, tmp_path):
    k = live_keras("keras")
    x = k.Input((4, 6))
    k.Model(x, REFUSED[word](k.ops, x)).save(tmp_path / "model.keras")
    with pytest.raises(porting.NotPortableError, match="sort" if word == "unknown" else word):
        porting.port(tmp_path / "model.keras")
