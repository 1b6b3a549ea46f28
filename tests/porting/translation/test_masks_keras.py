"""Masks that enter and leave models inside of models: what live Keras saves computes the same in PyTorch."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras
from tests.support.porting.zoo import randomized

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

STEPS, FEATURES = 6, 4


def classified(k, tensor):
    """Return what obeys the mask of a tensor."""
    return [k.layers.GlobalAveragePooling1D()(tensor), k.layers.LSTM(3)(tensor)]


def embedding_inside(k):
    """The ids go into a model that makes the mask of them."""
    ids = k.Input((STEPS,), dtype="int32")
    encoder = k.Sequential(
        [k.Input((STEPS,)), k.layers.Embedding(9, FEATURES, mask_zero=True)], name="encoder"
    )
    return k.Model(ids, classified(k, encoder(ids)))


def residual(k):
    """A block that is called on what it returned: its mask goes through two layers of attention."""
    i = k.Input((STEPS, FEATURES))
    y = k.layers.Add()([i, k.layers.MultiHeadAttention(2, 3)(i, i)])
    block = k.Model(i, k.layers.LayerNormalization()(y), name="block")
    ids = k.Input((STEPS,), dtype="int32")
    words = k.layers.Embedding(9, FEATURES, mask_zero=True)(ids)
    return k.Model(ids, classified(k, block(block(words))))


def stops(k):
    """A model whose last layer takes no mask along."""
    i = k.Input((STEPS, FEATURES))
    block = k.Model(i, k.layers.Conv1D(FEATURES, 3, padding="same")(i), name="block")
    ids = k.Input((STEPS,), dtype="int32")
    return k.Model(ids, classified(k, block(k.layers.Embedding(9, FEATURES, mask_zero=True)(ids))))


def two_outputs(k):
    """One output with a mask, one without, and a mask that is made of two."""
    a, b = k.Input((STEPS, FEATURES)), k.Input((STEPS, FEATURES))
    inner = k.Model([a, b], [k.layers.Add()([a, b]), k.layers.Conv1D(FEATURES, 1)(b)], name="inner")
    one, two = k.Input((STEPS,), dtype="int32"), k.Input((STEPS,), dtype="int32")
    table = k.layers.Embedding(9, FEATURES, mask_zero=True)
    both, plain = inner([table(one), table(two)])
    return k.Model([one, two], [*classified(k, both), *classified(k, plain)])


def masking_inside(k):
    """Masking in a model in a model."""
    inner = k.Sequential([k.Input((STEPS, FEATURES)), k.layers.Masking(0.0)], name="inner")
    middle = k.Sequential([k.Input((STEPS, FEATURES)), inner, k.layers.Dropout(0.1)], name="middle")
    ids = k.Input((STEPS,), dtype="int32")
    rows = k.layers.Embedding(9, FEATURES, embeddings_initializer="zeros")(ids)
    return k.Model(ids, classified(k, middle(rows)))


@pytest.mark.parametrize("engine", ["tf_keras", "keras"])
@pytest.mark.parametrize(
    "make", [embedding_inside, residual, stops, two_outputs, masking_inside], ids=lambda make: make.__name__
)
def test_load_of_model_whose_masks_cross_models_agrees_with_keras(make, engine, tmp_path):
    model = randomized(live_keras(engine), make)
    if make is masking_inside:
        model.set_weights([np.eye(9, FEATURES, k=-1), *model.get_weights()[1:]])
    ids = [np.random.default_rng(seed).integers(0, 4, (5, STEPS)).astype("int32") for seed in (0, 1)]
    given = ids[: len(model.inputs)]
    wanted = model.predict(given, verbose=0)
    for container in ("m.keras", "m.h5"):
        model.save(tmp_path / container)
        found = porting.load(tmp_path / container)(*map(torch.tensor, given))
        for mine, yours in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine.detach(), yours, rtol=1e-4, atol=1e-5)
