"""A ported network of convolutions and normalizations trains on as it would have in Keras."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras
from torch.nn import functional

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]


def classifier(k):
    """Convolutions with normalizations of images (fused in TensorFlow), and of vectors (not fused)."""
    layers = k.layers
    x = k.Input((9, 8, 3))
    y = layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.MaxPooling2D(2, padding="same")(y)
    z = layers.DepthwiseConv2D(3, padding="same", activation="tanh")(y)
    y = layers.Add()([y, layers.BatchNormalization(momentum=0.5, center=False)(z)])
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(y)
    y = layers.BatchNormalization(scale=False)(layers.Flatten()(y))
    return k.Model(x, layers.Dense(3)(y))


def sequence(k):
    """Normalizations of sequences, which TensorFlow does not fuse, and layers that normalize samples."""
    layers = k.layers
    x = k.Input((8, 4))
    y = layers.BatchNormalization(momentum=0.8)(layers.Conv1D(6, 3, padding="causal")(x))
    y = layers.LayerNormalization()(layers.Conv1DTranspose(4, 2, strides=2, activation="relu")(y))
    y = layers.GroupNormalization(2)(y) if k.__name__ == "keras" else layers.LayerNormalization(axis=1)(y)
    return k.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


def frozen(k):
    """A frozen model called with training=False, as transfer learning does, below layers that learn."""
    layers = k.layers
    x = k.Input((6, 6, 3))
    base = k.Sequential([k.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    base.trainable = False
    head = layers.BatchNormalization()
    half = layers.BatchNormalization()
    half.trainable = False
    y = layers.GlobalMaxPooling2D()(half(head(base(x, training=False))))
    return k.Model(x, layers.Dense(3)(y))


@pytest.mark.parametrize("engine", ["tf_keras", "keras"])
@pytest.mark.parametrize("make", [classifier, sequence, frozen], ids=lambda make: make.__name__)
def test_training_ten_steps_ends_with_the_weights_of_keras(engine, make, tmp_path):
    k = live_keras(engine)
    k.utils.set_random_seed(3)
    model = make(k)
    rng = np.random.default_rng(0)
    model.set_weights([weight + rng.uniform(0, 0.3, weight.shape) for weight in model.get_weights()])
    path, after = (tmp_path / name for name in ("before.keras", "after.keras"))
    model.save(path)
    batches = [
        (rng.standard_normal((8, *model.input_shape[1:])).astype("float32"), rng.integers(0, 3, 8))
        for _ in range(10)
    ]
    model.compile(k.optimizers.SGD(0.1), k.losses.SparseCategoricalCrossentropy(from_logits=True))
    module = porting.load(path).train()
    optimizer = torch.optim.SGD([each for each in module.parameters() if each.requires_grad], lr=0.1)
    for x, y in batches:
        model.train_on_batch(x, y)
        optimizer.zero_grad()
        functional.cross_entropy(module(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    model.save(after)
    wanted, before = porting.load(after).state_dict(), porting.load(path).state_dict()
    assert any(not torch.equal(wanted[key], before[key]) for key in before)
    for key, value in module.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(value, wanted[key], rtol=2e-4, atol=2e-5, err_msg=key)
