"""Core and activation layers in every form: what live Keras saves computes the same in PyTorch."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

BOTH, OLD = ("tf_keras", "keras"), ("tf_keras",)


def slopes(k):
    """PReLU with slopes of its own for each position, each channel, each row, and one in all."""
    for axes in (None, [1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3]):
        yield k.layers.PReLU(alpha_initializer="random_normal", shared_axes=axes)


def rectifiers(k):
    layers = k.layers
    slope = "alpha" if k.__name__ == "tf_keras" else "negative_slope"
    yield layers.LeakyReLU(**{slope: 0.1})
    yield layers.ELU(alpha=0.5)
    for ceiling, bend, start in ((None, 0.2, 0), (6, 0, 0), (1, 0.1, 0), (None, 0, 0.5), (1, 0.1, 0.5)):
        yield layers.ReLU(max_value=ceiling, negative_slope=bend, threshold=start)
    for axis in (-1, 1, [1, 2], [-1]):
        yield layers.Softmax(axis=axis)


def thresholds(k):
    yield k.layers.ThresholdedReLU(theta=0.5)
    yield k.layers.ThresholdedReLU(theta=0)


def products(k):
    """Equations that are a linear layer, and that are not: two axes contracted, made, moved."""
    for equation, shape, bias in (
        ("...x,xy->...y", (5,), "y"),
        ("abcx,xy->abcy", (None, None, 5), None),
        ("abcd,cde->abe", (None, 5), "e"),
        ("abcd,def->abcef", (None, None, 2, 3), "ef"),
        ("abcd,de->aebc", (5, None, None), None),
        ("abcd,bcde->abce", (4, 3, 5), "bce"),
    ):
        yield k.layers.EinsumDense(equation, shape, bias_axes=bias, activation="tanh")


def reshaping(k):
    layers = k.layers
    yield from (layers.Flatten(), layers.Reshape((-1, 2)), layers.Permute((3, 1, 2)))
    yield layers.Masking(0.5)
    yield layers.Dense(3, activation="hard_sigmoid")


ROWS = {make.__name__: (make, BOTH) for make in (slopes, rectifiers, products, reshaping)}
ROWS["thresholds"] = (thresholds, OLD)


@pytest.mark.parametrize(
    ("row", "engine"), [(row, engine) for row, (_, engines) in ROWS.items() for engine in engines]
)
def test_load_of_layers_agrees_with_keras(row, engine, tmp_path):
    k = live_keras(engine)
    x = k.Input((4, 3, 6))
    model = k.Model(x, [layer(x) for layer in ROWS[row][0](k)])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "m.keras")
    given = rng.normal(size=(5, 4, 3, 6)).astype("float32")
    given[0, 0, 0] = 0.5  # on the edge of thresholds, and masked
    module = porting.load(tmp_path / "m.keras")
    for found, want in zip(module(torch.tensor(given)), model.predict(given, verbose=0), strict=True):
        np.testing.assert_allclose(found.detach(), want, atol=2e-5)
    module.double()(torch.tensor(given, dtype=torch.float64))


@pytest.mark.parametrize("container", ["m.keras", "m.h5"])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("engine", BOTH)
def test_load_of_softmax_with_rows_wholly_masked_agrees_with_keras(engine, axis, container, tmp_path):
    k = live_keras(engine)
    x, mask = k.Input((4, 3)), k.Input((4, 3), dtype="bool")
    model = k.Model([x, mask], k.layers.Softmax(axis=axis)(x, mask=mask))
    model.save(tmp_path / container)
    rng = np.random.default_rng(0)
    given, kept = rng.normal(size=(3, 4, 3)).astype("float32"), rng.random((3, 4, 3)) < 0.5
    kept[0], kept[1] = False, True
    found = porting.load(tmp_path / container)(torch.tensor(given), torch.tensor(kept))
    np.testing.assert_allclose(found, model.predict([given, kept], verbose=0), rtol=1e-5, atol=1e-6)
