"""Model: which class a call of Model returns, and subclasses of it in both styles."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import batchdot
from batchdot import Input, Model
from batchdot.layers import Dense, Dot
from batchdot.models import Functional, Sequential, model_from_config, model_from_json

X = torch.arange(6.0).reshape(2, 3)


class Tower(Model):
    """Makes its graph itself."""

    def __init__(self, units: int, name: str | None = None) -> None:
        x = Input((3,))
        super().__init__(x, Dense(units, name="dense")(x), name=name)
        self.units = units

    def unit_count(self) -> int:
        return self.units


class Doubled(Tower):
    """Wraps the call of the graph."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return 2 * super().call(inputs, training, mask)


class Matcher(Model):
    """Defines `call`."""

    def __init__(self, units: int = 2, name: str | None = None) -> None:
        super().__init__(name=name)
        self.units = units
        self.tower, self.dot = Dense(units), Dot(1)

    def call(self, inputs: Any) -> Tensor:
        x, y = inputs
        return self.dot([self.tower(x), self.tower(y)])

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}


class Either(Model):
    """Has a graph or none, as it is asked."""

    def __init__(self, graph: bool) -> None:
        if graph:
            x = Input((3,))
            super().__init__(inputs=x, outputs=x + 1)
        else:
            super().__init__()

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs) if isinstance(self, Functional) else inputs - 1


class Mixin:
    def greet(self) -> str:
        return f"I am {self.name}"  # type: ignore[attr-defined]


class Mixed(Mixin, Model):
    def __init__(self) -> None:
        x = Input((3,))
        super().__init__(x, Dense(1)(x), name="mixed")


def make_graph() -> tuple[Any, Any]:
    x = Input((3,))
    return x, Dense(2)(x)


WAYS = {
    "positional": lambda x, y: Model(x, y),
    "by keyword": lambda x, y: Model(inputs=x, outputs=y),
    "mixed": lambda x, y: Model(x, outputs=y, name="mixed"),
    "Functional": lambda x, y: Functional(x, y),
    "lists": lambda x, y: Model([x], [y]),
    "dicts": lambda x, y: Model({"x": x}, {"y": y}),
}


@pytest.mark.parametrize("way", WAYS)
def test_model_of_inputs_and_outputs_is_a_functional(way: str) -> None:
    model = WAYS[way](*make_graph())
    assert type(model) is Functional
    assert isinstance(model, Model)
    assert model.built


def test_model_without_inputs_is_no_functional() -> None:
    for model in (Model(), Model(None, None), Model(name="m"), Matcher()):
        assert not isinstance(model, Functional)
        assert not model.built
        assert list(model.nodes) == []
    with pytest.raises(NotImplementedError, match="neither inputs and outputs nor a `call` of its own"):
        Model()(X)


@pytest.mark.parametrize("given", [{"inputs": 1}, {"outputs": 1}])
def test_model_of_one_end_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="symbolic tensors that come from Input"):
        Model(**{key: make_graph()[0] for key in given})


@pytest.mark.parametrize("make", [lambda: Tower(4), lambda: Doubled(4), Mixed])
def test_subclass_with_a_graph_is_both_classes(make: Any) -> None:
    model = make()
    declared = {"Tower": Tower, "Doubled": Doubled, "Mixed": Mixed}[type(model).__name__]
    assert isinstance(model, declared)
    assert isinstance(model, Functional)
    assert issubclass(type(model), declared)
    assert not issubclass(declared, Functional)  # other instances may define `call`
    assert repr(model).startswith(f"{declared.__name__}(")
    assert model.get_config()["layers"][1]["class_name"] == "Dense"


def test_subclass_with_a_graph_keeps_its_own_methods() -> None:
    model = Tower(4, name="t")
    assert (model.unit_count(), model.name, model.output_shape) == (4, "t", (None, 4))
    assert Tower(3).name.startswith("tower")
    assert Mixed().greet() == "I am mixed"
    kernel, bias = model.weights
    torch.testing.assert_close(model(X), X @ kernel + bias)


def test_subclass_may_wrap_the_call_of_its_graph() -> None:
    model = Doubled(4)
    kernel, bias = model.weights
    for _ in range(3):
        torch.testing.assert_close(model(X), 2 * (X @ kernel + bias))
    a = Input((3,))
    outer = Model(a, model(a))
    torch.testing.assert_close(outer(X), 2 * (X @ kernel + bias))


def test_overridden_call_adds_the_losses_of_the_latest_call() -> None:
    class Penalized(Tower):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            out = super().call(inputs, training, mask)
            self.add_loss(out.square().mean())
            return out

    model = Penalized(4)
    for scale in (1, 2, 3):
        out = model(scale * X)
        torch.testing.assert_close(model.losses, [out.square().mean()])


def test_one_subclass_serves_both_styles() -> None:
    first, second, third = Either(True), Either(False), Either(True)
    assert [isinstance(model, Functional) for model in (first, second, third)] == [True, False, True]
    assert type(first) is type(third)
    assert torch.equal(first(X), X + 1)
    assert torch.equal(second(X), X - 1)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "pickle protocol 2": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("make", [lambda: Tower(4), lambda: Doubled(4), lambda: Either(True), Mixed])
def test_copy_of_a_subclass_with_a_graph(way: str, make: Any) -> None:
    model = make()
    again = COPIES[way](model)
    assert type(again) is type(model)
    assert torch.equal(again(X), model(X))
    assert vars(again).keys() == vars(model).keys()
    assert again.input is not model.input
    assert all(mine is not theirs for mine, theirs in zip(again.weights, model.weights, strict=True))
    again.load_state_dict(model.state_dict())


def test_subclass_is_made_again_from_its_graph() -> None:
    class Plain(Model):
        def shout(self) -> str:
            return self.name.upper()

    model = Plain(*make_graph(), name="plain")
    assert isinstance(model, Functional)
    again = Plain.from_config(model.get_config())
    assert (again.shout(), again.name) == ("PLAIN", "plain")
    again.set_weights(model.get_weights())
    assert torch.equal(again(X), model(X))


def test_subclass_with_a_config_of_its_own_goes_through_json() -> None:
    model = Matcher(5, name="m")
    model([X, X])
    again = model_from_json(model.to_json(), {"Matcher": Matcher})
    again([X, X])
    again.set_weights(model.get_weights())
    assert (type(again), again.name) == (Matcher, "m")
    assert torch.equal(again([X, X]), model([X, X]))


@pytest.mark.parametrize("class_name", ["Functional", "Model"])
def test_config_of_every_class_name_is_read(class_name: str) -> None:
    model = Model(*make_graph())
    again = model_from_config({"class_name": class_name, "config": model.get_config()})
    assert type(again) is Functional
    assert model.to_json().startswith('{"class_name": "Functional", "config": {"name": ')


def test_config_without_a_class_name_is_of_a_functional() -> None:
    assert type(model_from_config({"config": Model(*make_graph()).get_config()})) is Functional


def test_predict_of_a_subclass_takes_lists_of_numbers() -> None:
    class Same(Model):
        def call(self, inputs: Any) -> Any:
            return inputs + 0

    assert Same().predict([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert Same().predict(X).tolist() == X.tolist()


def test_models_are_public() -> None:
    assert batchdot.Model is batchdot.models.Model is Model
    assert batchdot.Sequential is batchdot.models.Sequential is Sequential
    assert batchdot.models.Functional is Functional
