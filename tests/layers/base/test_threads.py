"""One layer or model in several threads: first calls, symbolic calls, predict and training side by side."""

import copy
import pickle
import threading
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from tests.support.threads import run_together
from torch import Tensor, nn

from batchdot import Input, Model, Sequential, layers

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def call_together(layer: Any) -> list[Tensor]:
    """Return the results of a layer called in four threads."""
    results: list[Tensor] = []
    run_together(*[lambda: results.append(layer(X))] * 4)
    return results


class Slow(layers.Layer):
    """A layer whose `build` lets other threads run before and after it says that it is built."""

    def build(self, input_shape: Any) -> None:
        pause = threading.Event()
        self.kernel = self.add_weight("kernel", (4, 2))
        pause.wait(0.0005)
        self.built = True
        pause.wait(0.0005)
        self.bias = self.add_weight("bias", (2,), initializer="ones")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs @ self.kernel + self.bias


FIRST_CALLS: dict[str, Callable[[], Any]] = {
    "Slow": Slow,
    "Dense": lambda: layers.Dense(2, activation="tanh"),
    "Dense with weights": lambda: layers.Dense(2, weights=[torch.ones(4, 2), torch.ones(2)]),
    "Sequential": lambda: Sequential([layers.Dense(3), layers.Dropout(0.5), layers.Dense(2)]).eval(),
    "Reshape": lambda: layers.Reshape((2, 2)),
}


@pytest.mark.parametrize("name", FIRST_CALLS)
def test_first_calls_in_four_threads_build_once(name: str) -> None:
    for _ in range(50):
        layer = FIRST_CALLS[name]()
        results = call_together(layer)
        wanted = layer(X)
        fresh = FIRST_CALLS[name]()
        fresh(X)
        assert len(layer.weights) == len(fresh.weights)
        assert len(layer.state_dict()) == len(fresh.state_dict())
        for result in results:
            torch.testing.assert_close(result, wanted)


def test_state_loaded_before_the_first_calls_is_used_by_all() -> None:
    state = {"kernel": torch.ones(4, 2), "bias": torch.ones(2)}
    for _ in range(50):
        layer = layers.Dense(2)
        layer.load_state_dict(state)
        results = call_together(layer)
        for result in results:
            torch.testing.assert_close(result, X @ state["kernel"] + 1)


def test_copies_made_during_the_first_call_work() -> None:
    for _ in range(50):
        layer, copies = Slow(), []
        call, duplicate = (
            (lambda layer=layer: layer(X)),
            (lambda c=copies, m=layer: c.append(copy.deepcopy(m))),
        )
        run_together(call, duplicate, call, duplicate)
        for twin in copies:
            assert twin(X).shape == (8, 2)
            assert len(twin.weights) == 2


class WithTorch(Model):
    """A model with layers and torch modules whose mode matters, in every kind of container."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(4, activity_regularizer="l2")
        self.drop = layers.Dropout(0.5)
        self.torch_drop = nn.Dropout(0.5)
        self.stack = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(0.5)))
        self.rnn = nn.LSTM(4, 4, 2, dropout=0.5, batch_first=True)
        self.many = nn.ModuleList([nn.Dropout(0.5), layers.Dropout(0.5)])
        self.by_name = nn.ModuleDict({"a": nn.AlphaDropout(0.5)})

    def call(self, inputs: Tensor) -> Any:
        hidden = self.torch_drop(self.drop(self.first(inputs)))
        hidden = self.rnn(self.stack(hidden)[:, None])[0][:, 0]
        for module in self.many:
            hidden = module(hidden)
        for child in self.children():
            hidden = child(hidden) if isinstance(child, nn.Dropout) else hidden
        hidden = self.by_name["a"](hidden)
        return nn.functional.dropout(hidden, 0.5, self.training)


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("told", ["predict", "argument"])
def test_call_told_not_to_train_reaches_torch_modules_and_changes_no_mode(told: str) -> None:
    model = WithTorch()
    model(X)
    model.train()
    model.many[0].eval()
    before = modes(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    found = torch.as_tensor(model.predict(X)) if told == "predict" else model(X, training=False)
    assert modes(model) == before
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    torch.testing.assert_close(found, model.eval()(X), check_device=False)
    assert not torch.equal(model(X, training=True), model(X))
    assert not any(modes(model))
    assert model.stack[1].num_batches_tracked == state["stack.1.num_batches_tracked"] + 1


def test_view_of_a_module_keeps_its_state() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x

    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.counter = Counter()

        def call(self, inputs: Tensor) -> Any:
            assert isinstance(self.counter, Counter)
            return self.counter(inputs)

    outer = Outer()
    for _ in range(3):
        outer(X, training=True)
    assert outer.counter.calls == 3
    assert type(outer.counter) is Counter


def test_predict_keeps_the_losses_of_training() -> None:
    model = WithTorch()
    model(X)
    (loss,) = model.losses
    model.predict(X + 1)
    model(Input((4,)))
    assert model.losses[0] is loss
    loss.backward()


def test_threads_that_call_train_and_predict_are_right() -> None:
    model = WithTorch()
    model(X)
    wanted = torch.as_tensor(model.predict(X))
    inputs = Input((4,))

    def predict() -> None:
        for _ in range(200):
            torch.testing.assert_close(torch.as_tensor(model.predict(X)), wanted)

    def symbolic() -> None:
        for _ in range(200):
            assert layers.Lambda(lambda t: t - X[0])(inputs).shape == (None, 4)
            assert model.drop(model.first(inputs)).shape == (None, 4)

    def switch() -> None:
        for index in range(200):
            model.torch_drop.train(index % 2 == 0)
            model.stack.train(index % 2 == 0)

    run_together(predict, symbolic, switch)


def test_training_beside_predict_and_symbolic_calls_learns_the_same() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        model = Sequential([Input((4,)), layers.Dense(4, activity_regularizer="l2"), layers.Dropout(0.0)])
        model.add(layers.Dense(1))
        return model

    def train(model: Any) -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for _ in range(200):
            optimizer.zero_grad()
            loss = model(X).square().mean() + sum(model.losses)
            assert len(model.losses) == 1
            loss.backward()
            optimizer.step()

    alone, together, other = make(), make(), Input((4,))
    train(alone)
    stop = threading.Event()

    def learn() -> None:
        try:
            train(together)
        finally:
            stop.set()

    def predict() -> None:
        while not stop.is_set():
            assert together.predict(X).shape == (8, 1)

    def symbolic() -> None:
        while not stop.is_set():
            assert together(other).shape == (None, 1)

    run_together(learn, predict, symbolic)
    for mine, wanted in zip(together.weights, alone.weights, strict=True):
        torch.testing.assert_close(mine, wanted)


# Layers and models that hold losses, each after a call.


def doubled() -> Tensor:
    return torch.tensor(2.0)


LOSSES: dict[str, Callable[[], Any]] = {
    "of an activity": lambda: layers.Dense(2, activity_regularizer="l2"),
    "of a weight": lambda: layers.Dense(2, kernel_regularizer="l2"),
    "constant": lambda: with_loss(torch.tensor(2.0)),
    "number": lambda: with_loss(2.0),
    "function": lambda: with_loss(doubled),
    "computed from weights": lambda: with_loss(None),
    "of a model": lambda: Sequential([layers.Dense(2, activity_regularizer="l2")]),
    "of a subclass": WithTorch,
}


def with_loss(loss: Any) -> Any:
    layer = layers.Dense(2)
    layer.add_loss(layer(X).square().mean() if loss is None else loss)
    return layer


def in_a_process(data: bytes) -> list[float]:
    layer = pickle.loads(data)
    layer(X)
    return [loss.item() for loss in layer.losses]


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", LOSSES)
def test_layer_that_holds_a_loss_is_copied(name: str, how: str) -> None:
    layer = LOSSES[name]().eval()
    layer(X)
    twin = COPIES[how](layer)
    torch.testing.assert_close(twin(X), layer(X))
    torch.testing.assert_close([loss.item() for loss in twin.losses], [loss.item() for loss in layer.losses])
    assert not {id(weight) for weight in layer.weights} & {id(weight) for weight in twin.weights}


def test_layer_that_holds_losses_is_sent_to_a_process() -> None:
    layer = with_loss(doubled)
    layer.add_loss(layer(X).square().mean())
    with get_context("spawn").Pool(1) as pool:
        (found,) = pool.map(in_a_process, [pickle.dumps(layer)])
    torch.testing.assert_close(found, [loss.item() for loss in layer.losses])
