"""Keys of a layer's state: names with dots, names that are taken, modules in lists and dicts."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from batchdot import layers
from batchdot.symbolic.tensor import KerasTensor

X = torch.ones(1, 2)


class Weighted(layers.Layer):
    """A layer with weights of given names, and attributes set to them or to something else."""

    def __init__(self, names: tuple[str, ...], attributes: dict[str, Any]) -> None:
        super().__init__()
        self.names, self.attributes = names, attributes

    def build(self, input_shape: Any) -> None:
        made = [
            self.add_weight(name, (1,), initializer=lambda shape, dtype, i=i: torch.full(shape, float(i)))
            for i, name in enumerate(self.names)
        ]
        for name, value in self.attributes.items():
            setattr(self, name, made[value] if isinstance(value, int) else value)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs


# Names of weights, attributes (a number is that of a weight), and the keys of the weights in order.
ROWS: dict[str, tuple[tuple[str, ...], dict[str, Any], list[str]]] = {
    "dots": (("a.b", "a_b", "a/b"), {}, ["a_b", "a_b_1", "a_b_2"]),
    "equal": (("a", "a"), {}, ["a", "a_1"]),
    "as an attribute": (("a",), {"w": 0}, ["w"]),
    "crosswise": (("a", "b"), {"b": 0, "a": 1}, ["b", "a"]),
    "of another's name": (("a", "b"), {"a": 1}, ["a_1", "a"]),
    "of a module": (("a",), {"a": nn.Linear(1, 1)}, ["a_1"]),
    "of a number": (("a",), {"a": 3.0}, ["a_1"]),
    "of a method": (("call",), {}, ["call_1"]),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("trainable", [True, False])
def test_weights_of_any_names_are_all_kept(name: str, trainable: bool) -> None:
    names, attributes, keys = ROWS[name]
    layer = Weighted(names, attributes)
    layer.trainable = trainable
    layer(X)
    own = [info.key for info in layer._weight_infos]
    assert own == keys
    state = layer.state_dict()
    assert [state[key].item() for key in keys] == list(map(float, range(len(names))))
    for attribute, value in attributes.items():
        found = getattr(layer, attribute)
        assert found is value if not isinstance(value, int) else found.item() == value
    layer.load_state_dict({key: value + 1 for key, value in state.items()})
    assert [layer.state_dict()[key].item() for key in keys] == [i + 1.0 for i in range(len(names))]


class Holding(layers.Layer):
    """A layer that calls the layers of a list or dict, one after the other."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def call(self, inputs: Tensor) -> Any:
        for layer in self.held.values() if hasattr(self.held, "values") else self.held:
            inputs = layer(inputs)
        return inputs


def dense() -> layers.Dense:
    return layers.Dense(2, use_bias=False)


HELD: dict[str, tuple[Any, list[str]]] = {
    "list": ([dense(), dense()], ["0", "1"]),
    "dict": ({"a": dense(), "b": dense()}, ["a", "b"]),
    "dots": ({"a.b": dense(), "a_b": dense()}, ["a_b", "a_b_1"]),
    "numbers": ({1: dense(), 2: dense()}, ["1", "2"]),
    "methods": ({"keys": dense(), "training": dense(), "": dense()}, ["keys_1", "training_1", "_"]),
}


@pytest.mark.parametrize("name", HELD)
def test_modules_in_a_container_are_found_and_called(name: str) -> None:
    held, keys = HELD[name]
    layer = Holding(held)
    copies = [layer, copy.deepcopy(layer)]
    for each in copies:
        each(X)
        assert list(each.state_dict()) == [f"held.{key}.kernel" for key in keys]
        assert len(each.trainable_weights) == len(keys)
    if isinstance(held, dict):
        for key, module in held.items():
            assert layer.held[key] is module
    copies[1].load_state_dict(layer.state_dict())
    torch.testing.assert_close(copies[1](X), layer(X))
    copies[1].double()
    assert copies[1](X.double()).dtype == torch.float64


def test_compute_output_spec_of_layers_with_and_without_a_rule() -> None:
    x = KerasTensor((None, 3), torch.float64)
    dot = layers.Dot(1)
    for spec in (dot.compute_output_spec([x, x]), dot.compute_output_spec(x, x)):
        assert (spec.shape, spec.dtype) == ((None, 1), torch.float64)
    spec = layers.Softmax().compute_output_spec(x)
    assert (spec.shape, spec.dtype) == ((None, 3), torch.float64)
    assert dot.inbound_nodes == []
    assert x.node is None


class Known(layers.Layer):
    """A layer that knows its output and cannot be run on meta tensors; its mask is that of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs[:, : int(inputs.sum().item()) + 1]

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor((inputs.shape[0], None, inputs.shape[2]), inputs.dtype)


def test_compute_output_spec_of_a_subclass_decides_symbolic_calls() -> None:
    import batchdot

    x = batchdot.Input((4, 2))
    out = Known()(layers.Masking()(x))
    assert out.shape == (None, None, 2)
    assert out.mask is not None
    assert out.mask.shape == (None, 4)
    model = batchdot.Model(x, out)
    assert model(torch.zeros(1, 4, 2)).shape == (1, 1, 2)
