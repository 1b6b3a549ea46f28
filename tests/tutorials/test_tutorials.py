"""Nine tutorials: their models compute what Keras's do, and a loop trains them as `fit` does."""

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf_keras
from tests.tutorials.language import QUESTION, STEPS, VOCABULARY, luong, memory_network, word2vec
from tests.tutorials.parts import KerasParts, TorchParts, keras_shapes, set_torch_weights
from tests.tutorials.recommenders import (
    DEPTH,
    ITEMS,
    NEGATIVE,
    USERS,
    WORDS,
    dssm,
    factorization_functional,
    factorization_subclassed,
    two_towers,
)
from tests.tutorials.vision import CLASSES, POINTS, point_net, siamese

import batchdot

B = 9
RNG = np.random.default_rng(0)


def ids(count: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, count, (B, *shape))


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal((B, *shape)).astype("float32")


def one_hot(count: int) -> np.ndarray:
    return np.eye(count, dtype="float32")[RNG.integers(0, count, B)]


BITS = RNG.integers(0, 2, (B, 1)).astype("float32")

TUTORIALS: dict[str, tuple[Any, Any, np.ndarray]] = {
    "factorization_functional": (
        factorization_functional,
        [ids(USERS), ids(ITEMS)],
        RNG.uniform(1, 5, (B, 1)).astype("float32"),
    ),
    "factorization_subclassed": (
        factorization_subclassed,
        np.stack([ids(USERS), ids(ITEMS)], axis=1),
        RNG.uniform(0, 1, (B, 1)).astype("float32"),
    ),
    "two_towers": (two_towers, [ids(USERS, 1), ids(ITEMS, 1)], BITS),
    "dssm": (dssm, [floats(WORDS, DEPTH) for _ in range(2 + NEGATIVE)], one_hot(1 + NEGATIVE)),
    "siamese": (siamese, [floats(6, 6), floats(6, 6)], BITS),
    "luong": (luong, floats(STEPS, 3), floats(QUESTION, 2)),
    "memory_network": (
        memory_network,
        [ids(VOCABULARY, STEPS), ids(VOCABULARY, QUESTION)],
        ids(VOCABULARY),
    ),
    "word2vec": (word2vec, [ids(VOCABULARY, 1), ids(VOCABULARY, QUESTION + 1, 1)], one_hot(QUESTION + 1)),
    "point_net": (point_net, floats(POINTS, 3), ids(CLASSES)),
}

RANDOM = {"siamese", "memory_network", "point_net"}
"""Tutorials with dropout, whose training is not the same twice."""


def inner_layers(model: Any) -> list[Any]:
    """Return the layers in a model, and in the models among these."""
    found = []
    for layer in model.layers:
        found += inner_layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def weights_of(name: str, shapes: Any) -> list[np.ndarray]:
    """Return the weights of a layer: the same for the same name and shapes."""
    rng = np.random.default_rng(crc32(name.encode()))
    arrays = [0.4 * rng.standard_normal(tuple(shape)).astype("float32") for shape in shapes]
    return [np.abs(array) + 0.5 if name.endswith("_bn") else array for array in arrays]


def keras_outputs(name: str) -> Any:
    """Return what a tutorial predicts in tf_keras, and again after a step of training, or None."""
    build, x, y = TUTORIALS[name]
    tf_keras.backend.clear_session()
    model, loss = build(tf_keras, KerasParts(tf_keras))
    model.predict(x, verbose=0)
    for layer in inner_layers(model):
        layer.set_weights(weights_of(layer.name, [w.shape for w in layer.get_weights()]))
    before = model.predict(x, verbose=0)
    if name in RANDOM:
        return before, None
    model.compile(optimizer=tf_keras.optimizers.SGD(0.5), loss=loss)
    model.fit(x, y, batch_size=B, epochs=1, shuffle=False, verbose=0)
    return before, model.predict(x, verbose=0)


def our_model(name: str) -> Any:
    """Return the tutorial's model here, with Keras's weights, and its loss."""
    build, x, _ = TUTORIALS[name]
    batchdot.backend.clear_session()
    model, loss = build(batchdot, TorchParts())
    model.predict(x)
    for layer in inner_layers(model):
        if isinstance(layer, batchdot.layers.TorchModuleWrapper):
            set_torch_weights(layer.module, weights_of(layer.name, keras_shapes(layer.module)))
        else:
            layer.set_weights(weights_of(layer.name, [w.shape for w in layer.get_weights()]))
    return model, loss


K = batchdot.backend
LOSSES = {
    "mse": lambda y, p: K.mean(K.square(p - y)),
    "binary_crossentropy": lambda y, p: K.mean(K.binary_crossentropy(y, p)),
    "categorical_crossentropy": lambda y, p: K.mean(K.categorical_crossentropy(y, p)),
    "sparse_categorical_crossentropy": lambda y, p: K.mean(K.sparse_categorical_crossentropy(y, p)),
}


def as_tensors(values: Any) -> Any:
    return [torch.from_numpy(v) for v in values] if isinstance(values, list) else torch.from_numpy(values)


def train(model: Any, loss: Any, x: Any, y: np.ndarray, steps: int, rate: float) -> list[float]:
    """The loop that stands for `compile` and `fit`; return the losses."""
    criterion = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    found = []
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        value = criterion(torch.from_numpy(y), model(as_tensors(x))) + sum(model.losses)
        value.backward()
        optimizer.step()
        found.append(value.item())
    return found


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorial_predicts_as_keras(name: str, keras_says: Any) -> None:
    wanted, _ = keras_says(keras_outputs, name)
    model, _ = our_model(name)
    np.testing.assert_allclose(model.predict(TUTORIALS[name][1]), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", sorted(set(TUTORIALS) - RANDOM))
def test_loop_is_fit(name: str, keras_says: Any) -> None:
    _, wanted = keras_says(keras_outputs, name)
    model, loss = our_model(name)
    _, x, y = TUTORIALS[name]
    train(model, loss, x, y, 1, 0.5)
    np.testing.assert_allclose(model.predict(x), wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", TUTORIALS)
def test_loop_reaches_every_weight(name: str) -> None:
    model, loss = our_model(name)
    _, x, y = TUTORIALS[name]
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    losses = train(model, loss, x, y, 16, 0.05)
    assert min(losses[-5:]) < losses[0]
    assert [key for key, value in trained.items() if value.grad is None] == []
