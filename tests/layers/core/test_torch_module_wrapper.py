"""TorchModuleWrapper: a module of torch in graphs, sequences and subclasses, with its weights and mode."""

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras
from torch import nn

import batchdot
from batchdot.layers import Dense, TorchModuleWrapper

MODULES = {
    "linear": (lambda: nn.Linear(4, 3), (4,)),
    "sequential": (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (4,)),
    "conv": (lambda: nn.Conv1d(4, 6, 3), (4, 9)),
    "norm": (lambda: nn.BatchNorm1d(4), (4,)),
    "lstm": (lambda: nn.LSTM(4, 5, batch_first=True), (7, 4)),
    "gru": (lambda: nn.GRU(4, 5, batch_first=True, bidirectional=True, num_layers=2), (7, 4)),
    "attention": (lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), (7, 4)),
    "flatten": (lambda: nn.Flatten(), (7, 4)),
}


def first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("name", MODULES)
def test_module_in_a_graph(name: str) -> None:
    make, shape = MODULES[name]
    module, x = make(), torch.randn(3, *shape)
    symbol = batchdot.Input(shape)
    out = first(TorchModuleWrapper(module)(symbol))
    model = batchdot.Model(symbol, out)
    wanted = first(module(x))
    assert out.shape == (None, *wanted.shape[1:])
    assert {id(p) for p in model.parameters()} == {id(p) for p in module.parameters()}
    torch.testing.assert_close(model(x), first(module(x)))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(again.eval()(x), model.eval()(x))
    with pytest.raises(NotImplementedError, match="has no config"):
        model.to_json()


def keras_3_wrapper(shape: tuple[int, ...]) -> Any:
    """Return the output shape and the number of weights of a wrapped Linear in Keras 3."""
    layer = keras.layers.TorchModuleWrapper(nn.Linear(shape[-1], 3))
    out = layer(torch.ones(2, *shape))
    return tuple(out.shape), len(layer.trainable_weights)


@pytest.mark.parametrize("shape", [(4,), (5, 4)])
def test_wrapper_as_keras_3(shape: tuple[int, ...], keras_says: Any) -> None:
    layer = TorchModuleWrapper(nn.Linear(shape[-1], 3), name="own")
    found = tuple(layer(torch.ones(2, *shape)).shape), len(layer.trainable_weights)
    assert found == keras_says(keras_3_wrapper, shape)
    assert layer(batchdot.Input(shape)).shape == (None, *found[0][1:])
    assert layer.name == "own"


def test_state_of_a_recurrent_module_is_passed_on() -> None:
    x, lstm, other = batchdot.Input((7, 4)), nn.LSTM(4, 5, batch_first=True), nn.LSTM(4, 5, batch_first=True)
    _, state = TorchModuleWrapper(lstm)(x)
    sequence, (h, c) = TorchModuleWrapper(other)(x, state)
    values = torch.randn(2, 7, 4)
    wanted = other(values, lstm(values)[1])
    got = batchdot.Model(x, [sequence, h, c])(values)
    torch.testing.assert_close(got, [wanted[0], *wanted[1]])


def random_module() -> Any:
    return nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.BatchNorm1d(64))


def test_mode_is_that_of_the_call() -> None:
    module, x = random_module(), torch.randn(8, 4)
    symbol = batchdot.Input((4,))
    model = batchdot.Model(symbol, TorchModuleWrapper(module)(symbol))
    before = module[2].running_mean.clone()
    inference = [model(x, training=False), model(x, training=False), torch.from_numpy(model.predict(x))]
    assert all(torch.equal(value, inference[0]) for value in inference)
    assert torch.equal(module[2].running_mean, before)
    assert module.training
    assert not torch.equal(model(x), model(x))
    assert not torch.equal(module[2].running_mean, before)
    model.eval()
    assert not torch.equal(model(x, training=True), model(x, training=True))
    assert not module.training


def test_mode_of_a_call_is_not_seen_by_other_threads() -> None:
    layer, x = TorchModuleWrapper(random_module()).eval(), torch.randn(8, 4)
    wanted, wrong = layer(x), []
    busy = threading.Thread(target=lambda: [layer(x, training=True) for _ in range(200)])
    busy.start()
    while busy.is_alive():
        wrong += [] if layer.module.training is False else [1]
    busy.join()
    assert wrong == []
    assert layer(x).shape == wanted.shape


def test_wrapper_in_sequential_and_subclass() -> None:
    model = batchdot.Sequential([batchdot.Input((4,)), TorchModuleWrapper(nn.Linear(4, 3)), Dense(2)])
    assert model.output_shape == (None, 2)
    assert model.predict(np.ones((2, 4))).shape == (2, 2)

    class Mine(batchdot.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = TorchModuleWrapper(nn.Linear(4, 3))

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    assert Mine()(batchdot.Input((4,))).shape == (None, 3)


class Counts(nn.Module):
    """A module that needs values."""

    def forward(self, x: Any) -> Any:
        return x * int(x.sum().item())


def test_output_shape_of_a_module_that_needs_values() -> None:
    x = batchdot.Input((4,))
    with pytest.raises(ValueError, match="it needs values"):
        TorchModuleWrapper(Counts())(x)
    out = TorchModuleWrapper(Counts(), output_shape=(None, 4))(x)
    assert out.shape == (None, 4)
    assert batchdot.Model(x, out)(torch.ones(1, 4)).tolist() == [[4.0] * 4]


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="wraps a torch"):
        TorchModuleWrapper(torch.relu)
