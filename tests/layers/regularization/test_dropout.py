"""Dropout: what it drops, when it drops, and from which random numbers."""

import copy

import pytest
import torch

import batchdot
from batchdot import layers


def test_dropout_share_and_mean() -> None:
    torch.manual_seed(0)
    for layer in (layers.Dropout(0.3), layers.Dropout(0.3, seed=5), layers.Dropout(0.3, (None, None))):
        out = layer(torch.ones(200, 500), training=True)
        assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
        assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
        assert out.mean().item() == pytest.approx(1, abs=0.02)


def test_dropout_training_by_argument_or_mode() -> None:
    layer, x = layers.Dropout(0.9), torch.ones(1000)
    assert not torch.equal(layer(x), x)  # a module trains until eval()
    assert torch.equal(layer(x, training=False), x)
    assert torch.equal(layer(x, False), x)
    layer.eval()
    assert torch.equal(layer(x), x)
    assert not torch.equal(layer(x, training=True), x)


def test_dropout_training_told_by_model() -> None:
    start = batchdot.Input((1000,))
    model = batchdot.Model(start, layers.Dropout(0.9)(start))
    x = torch.ones(1, 1000)
    assert torch.equal(model(x, training=False), x)
    assert not torch.equal(model.eval()(x, training=True), x)
    assert torch.equal(model(x), x)


def test_dropout_seed_same_choices_in_every_layer() -> None:
    x = torch.ones(100)
    one, other = layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3)
    first = one(x)
    assert torch.equal(first, other(x))
    assert not torch.equal(first, one(x))
    assert torch.equal(copy.deepcopy(one)(x), one(x))
    third = layers.Dropout(0.5, seed=3)
    third(batchdot.Input((4,)))
    assert torch.equal(third(x), first)  # inference draws nothing


def test_dropout_noise_shape_one_choice_along_axis() -> None:
    out = layers.Dropout(0.5, noise_shape=(None, 1, 3))(torch.ones(20, 5, 3))
    assert torch.equal(out, out[:, :1].expand(20, 5, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.complex64])
def test_dropout_keeps_dtype(dtype: torch.dtype) -> None:
    x = torch.ones(4, dtype=dtype)
    for layer in (layers.Dropout(0.5), layers.Dropout(0.5, seed=1)):
        assert layer(x, training=True).dtype == dtype


def test_dropout_compiles_in_training() -> None:
    torch.compiler.reset()
    layer = layers.Dropout(0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert set(compiled(torch.ones(1000)).unique().tolist()) == {0.0, 2.0}
