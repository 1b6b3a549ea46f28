"""Weights that a function of a Lambda takes from around it are weights of the layer."""

import copy
from typing import Any

import pytest
import torch
from tests.support.one_truth import check, leaves
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from batchdot import Input, Model
from batchdot.layers import Dense, Lambda
from batchdot.models import Sequential

X = torch.arange(8.0).reshape(2, 4) / 8
GLOBAL = nn.Parameter(torch.full((4, 2), 0.5))


def of_a_parameter() -> Any:
    weight = nn.Parameter(torch.ones(4, 2))
    return lambda x: x @ weight


def of_a_module() -> Any:
    linear = nn.Linear(4, 2)
    return lambda x: linear(x)


def of_a_layer() -> Any:
    dense = Dense(2)
    return lambda x: dense(x) + 1


def of_a_global() -> Any:
    return lambda x: x @ GLOBAL


def of_a_function_inside() -> Any:
    weight = nn.Parameter(torch.ones(4, 2))

    def call(x: Tensor) -> Tensor:
        return sum((x * scale @ weight for scale in (1.0, 2.0)), torch.zeros(()))

    return call


def of_a_default() -> Any:
    parameter, module = nn.Parameter(torch.ones(4, 2)), nn.Linear(2, 2)

    def call(x: Tensor, weight: Tensor = parameter, *, linear: Any = module) -> Any:
        return linear(x @ weight)

    return call


def of_several() -> Any:
    first, second = nn.Parameter(torch.ones(4, 2)), nn.Linear(2, 2)
    return lambda x: second(x @ first) + GLOBAL.sum()


FUNCTIONS = {
    "a parameter": of_a_parameter,
    "a module": of_a_module,
    "a layer": of_a_layer,
    "a global": of_a_global,
    "a function inside": of_a_function_inside,
    "defaults": of_a_default,
    "several": of_several,
}


@pytest.mark.parametrize("case", FUNCTIONS)
@pytest.mark.parametrize("kind", ["layer", "functional", "sequential"])
def test_captured_weights_are_weights_of_the_layer(kind: str, case: str) -> None:
    layer = Lambda(FUNCTIONS[case]())
    x = Input((4,))
    model: Any = layer
    if kind == "functional":
        model = Model(x, layer(x))
    if kind == "sequential":
        model = Sequential([Dense(4), layer])
    model(X)
    before = model(X).detach()
    check(model, X)
    copied = copy.deepcopy(model)
    check(copied, X)
    for parameter in copied.parameters():
        torch.nn.init.constant_(parameter, 0.25)
    assert not torch.equal(copied(X), model(X))
    given = {key: (3 * value).detach().requires_grad_() for key, value in model.named_parameters()}
    assert leaves(torch.func.functional_call(model, given, (X,))) == set(given.values())
    assert before.shape == (2, 2)


def test_captured_weight_may_be_pruned_and_parametrized() -> None:
    for tool in (
        lambda layer: prune.l1_unstructured(layer, "weight", 3),
        lambda layer: parametrize.register_parametrization(layer, "weight", nn.ReLU()),
    ):
        layer = Lambda(of_a_parameter())
        tool(layer)
        check(layer, X)


def test_weight_among_the_arguments_is_a_weight_of_the_layer() -> None:
    layer = Lambda(lambda x, weight: x @ weight, arguments={"weight": nn.Parameter(torch.ones(4, 2))})
    check(layer, X)
    given = {"weight": torch.zeros(4, 2)}
    assert not torch.func.functional_call(layer, given, (X,)).any()


def test_self_is_not_captured() -> None:
    class Own(Model):
        def __init__(self) -> None:
            super().__init__()
            self.alpha = nn.Parameter(torch.ones(4))
            self.scale = Lambda(lambda x: x * self.alpha)

        def call(self, inputs: Tensor) -> Any:
            return self.scale(inputs)

    model = Own()
    check(model, X)
    assert list(model.train().state_dict()) == ["alpha"]


def test_variable_that_is_assigned_later_is_not_captured() -> None:
    layer = Lambda(lambda x: x * later)
    later = 2.0
    assert torch.equal(layer(X), 2 * X)
    assert list(layer.parameters()) == []
