"""Tools of torch that trace a layer, torch.fx and torch.jit; and lists as inputs beside tensors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import batchdot
from batchdot import Input, Model, layers

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))


class Towers(nn.Module):
    """A module of torch that calls layers with one argument, with a list, and with two."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.dot, self.drop = layers.Dense(3), layers.Dot(1), layers.Dropout(0.5)
        x, y = Input((3,)), Input((3,))
        self.model = Model([x, y], layers.Add()([x, layers.Activation("relu")(y)]))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        towers = [self.tower(x), self.tower(y)]
        return self.drop(self.dot(towers), training=False) + self.dot(x, y) + self.model(towers)


def test_fx_traces_each_call_of_a_layer_as_one_node() -> None:
    towers = Towers()
    wanted = towers(X, X + 1)
    traced = torch.fx.symbolic_trace(towers)
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert calls == ["tower", "tower", "dot", "drop", "dot", "model"]
    assert torch.equal(traced(X, X + 1), wanted)


@pytest.mark.parametrize("layer", [layers.Dot(1), layers.Dense(2), layers.Activation("relu")])
def test_fx_of_a_layer_itself_says_how(layer: Any) -> None:
    with pytest.raises(TypeError, match="Trace a module that holds the layer"):
        torch.fx.symbolic_trace(layer)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("module", [layers.Dot(1), nn.Sequential(nn.Linear(2, 2), layers.Dense(2))])
def test_jit_script_says_what_to_use(module: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"torch.export.export\(layer"):
        torch.jit.script(module)


LIST = [[1.0, 2.0, 3.0]] * 2
ONES = torch.ones(2, 3)
BESIDE: dict[str, Callable[[], Any]] = {
    "batch_dot": lambda: batchdot.batch_dot(LIST, ONES, 1),
    "batch_dot, second": lambda: batchdot.batch_dot(ONES, LIST, 1),
    "dot": lambda: batchdot.dot(LIST, ONES.T),
    "top_k": lambda: batchdot.top_k(LIST, ONES, 1).scores,
    "Dot": lambda: layers.Dot(1)([LIST, ONES]),
    "Dot of two": lambda: layers.Dot(1)(LIST, ONES),
    "Add": lambda: layers.Add()([ONES, LIST]),
    "Concatenate": lambda: layers.Concatenate()([LIST, ONES]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_list_beside_a_tensor_goes_to_the_device_of_the_tensor(name: str) -> None:
    wanted = BESIDE[name]()
    with torch.device("meta"):
        found = BESIDE[name]()
    assert found.device.type == "cpu"
    assert torch.equal(found, wanted)
