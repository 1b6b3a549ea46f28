"""Layers of several dtypes, and modules that are cast as a whole, beside live Keras."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras
from tests.support.porting.zoo import randomized

from batchdot import porting
from batchdot.porting.verification.inputs import random_inputs

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

BOTH = ("tf_keras", "keras")


def chain(k):
    """Each layer in another dtype than the one before."""
    x = k.Input((3,))
    y = k.layers.Dense(4, "tanh", dtype="float16")(x)
    y = k.layers.Dense(4, "tanh", dtype="float64")(y)
    y = k.layers.BatchNormalization(dtype="float16")(k.layers.Dropout(0.1)(y))
    return k.Model(x, k.layers.Dense(2)(y))


def uniform(k):
    """All weights in another dtype than the input."""
    x = k.Input((3,))
    y = k.layers.Dense(4, "tanh", dtype="float64")(k.layers.Flatten()(x))
    return k.Model(x, k.layers.Dense(2, dtype="float64")(y))


def sequences(k):
    """Ids that float16 cannot count, to a recurrent layer of another dtype, whose state has a third one."""
    ids, state = k.Input((5,), name="ids"), k.Input((4,), name="state", dtype="float64")
    words = k.layers.Embedding(5000, 3, dtype="float16")(ids)
    both = k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True))(words)
    return k.Model([ids, state], k.layers.GRU(4)(both, initial_state=k.layers.Dense(4)(state)))


def merges(k):
    """Layers without weights over several dtypes: products, sums, attention."""
    x = k.Input((4, 3))
    low, full = k.layers.Dense(3, dtype="float16")(x), k.layers.Dense(3)(x)
    layers = [k.layers.Dot(2), k.layers.Dot(2, normalize=True), k.layers.Add(), k.layers.Multiply()]
    layers += [k.layers.Concatenate(), k.layers.Maximum(), k.layers.Average(), k.layers.Attention()]
    return k.Model(x, [layer([low, full]) for layer in layers])


def heads(k):
    x = k.Input((4, 6))
    y = k.layers.MultiHeadAttention(2, 3, dtype="float64")(x, k.layers.Dense(6, dtype="float16")(x))
    return k.Model(x, k.layers.LayerNormalization()(y))


def nested(k):
    """A model that is called with two dtypes, and one that multiplies what it gets."""
    a, b, x = k.Input((3,)), k.Input((3,)), k.Input((3,))
    inner = k.Model(a, k.layers.Dense(3, dtype="float64")(k.layers.Dense(3)(a)), name="inner")
    dot = k.Model([a, b], k.layers.Dot(1)([a, b]), name="product")
    low, full = k.layers.Dense(3, dtype="float16")(x), k.layers.Dense(3)(x)
    return k.Model(x, [dot([inner(low), full]), inner(full)])


MIXED = (chain, uniform, sequences, merges, heads, nested)


def as_list(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


def ported(k, make, path):
    """Return a model, its port, and inputs for both."""
    model = randomized(k, make)
    model.save(path)
    return model, porting.load(path), list(random_inputs(porting.read(path)).values())


@pytest.mark.parametrize("engine", BOTH)
@pytest.mark.parametrize("make", MIXED, ids=lambda make: make.__name__)
def test_load_of_several_dtypes_agrees_with_keras(make, engine, tmp_path):
    model, module, given = ported(live_keras(engine), make, tmp_path / "m.keras")
    found = as_list(module(*map(torch.tensor, given)))
    for mine, yours in zip(found, as_list(model.predict(given, verbose=0)), strict=True):
        np.testing.assert_allclose(mine.detach().double(), yours, rtol=5e-3, atol=5e-3)


def integers(k):
    """Layers that take floating point numbers, called with integers."""
    x = k.Input((3,), dtype="int32")
    return k.Model(x, [k.layers.Dense(2)(x), k.layers.Dense(2)(k.layers.Flatten()(x))])


def encodings(k):
    """One-hots and counts, alone, beside floating point numbers, and through layers without weights."""
    ids, x = k.Input((3,), dtype="int32", name="ids"), k.Input((3,), name="x")
    layers = k.layers
    made = [layers.CategoryEncoding(num_tokens=5, output_mode=mode)(ids) for mode in ("multi_hot", "count")]
    made += [
        layers.Discretization(bin_boundaries=[0.1, 1.5, 2.5], output_mode=mode)(x)
        for mode in ("multi_hot", "count")
    ]
    made += [layers.Concatenate()([made[0], x]), layers.Concatenate()([made[0], made[1]])]
    made += [layers.Dot(1)([made[1], layers.Dense(5)(x)])]
    inner = k.Sequential([k.Input((5,)), layers.Dense(2)], name="inner")
    return k.Model([ids, x], [*made, *(layers.Dense(2)(each) for each in made), inner(made[0])])


def images(k):
    """Images of integers, scaled and resized. Keras 3 on torch convolves no resized integers."""
    x = k.Input((6, 6, 3), dtype="uint8")
    layers = k.layers
    made = [layers.Rescaling(1 / 255)(x), layers.Resizing(4, 4)(x)]
    return k.Model(x, [layers.Conv2D(2, 3)(each) for each in made])


def nested_encoding(k):
    """One-hots that are made in a model inside, without weights."""
    a, ids = k.Input((3,), dtype="int32"), k.Input((3,), dtype="int32")
    inner = k.Model(a, k.layers.CategoryEncoding(num_tokens=5)(a), name="encoding")
    head = k.Sequential([k.Input((5,)), k.layers.Dense(2)], name="head")
    return k.Model(ids, [k.layers.Dense(2)(inner(ids)), head(inner(ids))])


def operations(k):
    ids, x = k.Input((3,), dtype="int32", name="ids"), k.Input((3,), name="x")
    hot = k.ops.one_hot(ids, 4)
    number = k.ops.cast(ids, "float32")
    made = [
        k.layers.Flatten()(hot),
        number * 2,
        number * x,
        k.ops.cast(ids > 1, "float32"),
        k.ops.mean(hot, 1),
    ]
    return k.Model([ids, x], [*made, *(k.layers.Dense(2)(each) for each in made)])


CAST = [(make, engine) for make in (integers, encodings, nested_encoding) for engine in BOTH]
CAST += [(images, "tf_keras"), (operations, "keras")]


@pytest.mark.parametrize(("make", "engine"), CAST, ids=[f"{make.__name__}-{engine}" for make, engine in CAST])
def test_load_of_model_over_integers_agrees_with_keras_in_any_dtype(make, engine, tmp_path):
    model, module, given = ported(live_keras(engine), make, tmp_path / "m.keras")
    wanted = as_list(model.predict(given, verbose=0))
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-4), (torch.bfloat16, 0.1)):
        tensors = [torch.tensor(array) for array in given]
        tensors = [each.to(dtype) if each.is_floating_point() else each for each in tensors]
        for mine, yours in zip(as_list(module.to(dtype)(*tensors)), wanted, strict=True):
            scale = np.abs(yours).max()
            np.testing.assert_allclose(mine.detach().double(), yours, rtol=0, atol=tolerance * scale)
