"""Functions of torch and methods of Tensor on symbolic tensors: nodes whose models compute the same."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.support.live_keras import tf_keras
from torch import Tensor, nn

import batchdot
from batchdot import Input, Model, layers
from batchdot.symbolic.torch_functions import find_function

ROWS = """
torch.sum(x * y, 1)
torch.cat([x, y], 1)
torch.cat((x, y), dim=-1)
torch.stack([x, y], 1)
torch.einsum("btd,bsd->bts", x, y)
torch.where(x > 0, x, 0.0)
torch.maximum(x, y)
torch.bmm(x, y.mT)
torch.relu(x)
torch.softmax(x, -1)
torch.max(x, 1).values
torch.topk(x, 2).indices
torch.split(x, 2, 1)[1]
torch.zeros_like(x)
torch.linalg.vector_norm(x, dim=-1)
torch.matmul(x, torch.ones(5, 2))
torch.ones(5) * x
x - torch.ones(4, 1)
torch.ones(5).mul(x)
torch.tensordot(x, torch.ones(5, 3), 1)
torch.special.expit(x)
torch.broadcast_to(x[:, :1], x.shape) if None not in x.shape else x
torch.ops.aten.sin(x)
F.normalize(x, dim=1)
F.relu(x)
F.cosine_similarity(x, y, dim=-1)
F.linear(x, torch.ones(3, 5))
F.gelu(x, approximate="tanh")
F.pad(x, (1, 2))
F.softmax(x, dim=1)
F.max_pool1d(x, 2)
F.scaled_dot_product_attention(x, y, y)
F.one_hot(i, 4)
F.embedding(i, torch.ones(4, 2))
x.sum(1)
x.sum((1, 2), keepdim=True)
x.mean()
x.mean(dim=1).unsqueeze(1)
x.amax(1)
x.max(1).indices
x.std(2, correction=0)
x.abs().sqrt().exp()
x.clamp(min=0, max=1)
x.reshape(-1, 20)
x.view(-1, 2, 10)
x.flatten(1)
x.permute(0, 2, 1)
x.transpose(1, 2)
x.mT
x[:, 0].T
x.unsqueeze(1).squeeze(1)
x.repeat(1, 2, 1)
x.expand(-1, -1, 5)
x.to(torch.float64)
x.to(dtype=torch.int32)
x.half().float()
x.long()
x.masked_fill(x > 0, -1.0)
x == 0
x != y
torch.ones(5) == x
(i != 0).to(torch.float32)
i == torch.tensor([0, 1, 2])
x.gather(1, i.unsqueeze(-1))
x.index_select(1, torch.tensor([0, 2]))
x.softmax(-1) @ y.mT
x.chunk(2, 1)[0]
x.unbind(1)[2]
x.cumsum(1).flip(1)
x.argmax(-1)
x.norm(dim=1)
x.matmul(y.mT)
x.mul(y).add(1).neg()
x[:, i[:1, 0]] if None not in x.shape else x
x[:, None, ..., 1:]
x[:, torch.tensor([0, 2])]
x[..., 0].relu()
batchdot.activations.elu(x)
""".strip().splitlines()
"""Expressions of x and y of shape (B, 4, 5), and of i of shape (B, 3)."""

GENERATOR = torch.Generator().manual_seed(0)
VALUES: dict[str, Tensor] = {
    "x": torch.randn(6, 4, 5, generator=GENERATOR),
    "y": torch.randn(6, 4, 5, generator=GENERATOR),
    "i": torch.randint(4, (6, 3), generator=GENERATOR),
}


def evaluate(row: str, names: dict[str, Any]) -> Any:
    return eval(row, {**names, "torch": torch, "F": F, "batchdot": batchdot})


@pytest.mark.parametrize("batch", [None, 6])
@pytest.mark.parametrize("row", ROWS)
def test_function_on_symbolic_tensors(row: str, batch: int | None) -> None:
    inputs = {
        name: Input(batch_shape=(batch, *value.shape[1:]), dtype=value.dtype)
        for name, value in VALUES.items()
    }
    out, wanted = evaluate(row, inputs), evaluate(row, VALUES)
    if out is inputs["x"]:
        return  # a row for known sizes
    assert batchdot.backend.is_keras_tensor(out)
    assert out.dtype == wanted.dtype
    assert out.dim() == wanted.dim()
    assert all(size in (None, known) for size, known in zip(out.size(), wanted.shape, strict=True))
    assert batch is None or out.shape == tuple(wanted.shape)
    model = Model([*inputs.values()], [out, inputs["y"] * 1, inputs["i"] + 0])
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(again([*VALUES.values()])[0], wanted)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if not ("torch.ones(" in row or "torch.tensor(" in row or "aten" in row)]
)
def test_function_in_a_config(row: str) -> None:
    inputs = {name: Input(value.shape[1:], dtype=value.dtype) for name, value in VALUES.items()}
    out = evaluate(row, inputs)
    model = Model([*inputs.values()], [out * 1, inputs["y"] * 1, inputs["i"] + 0])
    again = batchdot.models.model_from_json(model.to_json())
    values = [*VALUES.values()]
    assert again(values)[0].dtype == model(values)[0].dtype
    torch.testing.assert_close(again(values)[0], model(values)[0])


def test_config_names_functions_of_tensors_only() -> None:
    for name in ("torch.load", "torch.save", "torch.hub.load", "os.system", "torch.ops.aten.sin", "eval"):
        assert find_function(name) is None
        with pytest.raises(ValueError, match="There is no function"):
            layers.Function(name)


def test_values_that_are_no_tensors() -> None:
    x = Input((3,))
    assert torch.is_floating_point(x) is True
    assert x.is_complex() is False
    assert (x.size(), x.size(-1), x.dim(), x.ndimension()) == ((None, 3), 3, 2, 2)
    assert x.numel() is None
    assert torch.numel(Input(batch_shape=(2, 3))) == 6
    assert not hasattr(x, "nothing")
    assert not hasattr(x, "data_ptr_")


class Net(nn.Module):
    """A module with a function of torch, and no layer."""

    def forward(self, x: Any) -> Any:
        return torch.relu(x)


REFUSED = [
    (lambda x: x.add_(1), TypeError, r"not changed in place. Write x = x.add\("),
    (lambda x: F.relu(x).relu_(), TypeError, r"Write x = x.relu\("),
    (
        lambda x: nn.Linear(3, 2)(x),
        TypeError,
        r"Linear was called on .* Wrap .*ModuleWrapper",
    ),
    (lambda x: nn.LSTM(3, 2)(x), TypeError, "LSTM was called on a symbolic tensor"),
    (lambda x: nn.Dropout()(x), TypeError, "Dropout was called on a symbolic tensor"),
    (lambda x: nn.Sequential(nn.ReLU())(x), TypeError, "was called on a symbolic tensor"),
    (lambda x: Net()(x), TypeError, "Net was called on a symbolic tensor"),
    (lambda x: x.item(), ValueError, "it needs values"),
    (lambda x: torch.nonzero(x), ValueError, "it needs values"),
    (lambda x: x.device, AttributeError, "A symbolic tensor has no 'device'"),
    (lambda x: torch.cat([x, torch.ones(2, 4)]), ValueError, "cannot be called on an input of shape"),
    (lambda x: np.exp(x), TypeError, "does not support ufuncs"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_refused_in_a_sentence(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call(Input((3,)))


def test_weights_in_a_function_belong_to_the_model() -> None:
    x = Input((3,))
    weight, scale = nn.Parameter(torch.randn(2, 3)), torch.full((2,), 3.0)
    model = Model(x, F.linear(x, weight) * scale)
    assert [parameter is weight for parameter in model.parameters()] == [True]
    assert len(model.state_dict()) == 1
    model(torch.ones(4, 3)).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full((2, 3), 12.0))
    double = copy.deepcopy(model).double()
    assert double(torch.ones(1, 3).double()).dtype == torch.float64
    with pytest.raises(ValueError, match="works with a tensor of its own"):
        model.to_json()


# numpy arrays, numbers and lists beside a symbolic tensor, as tf_keras has them.

OPERANDS = [
    "np.ones(3)",
    "np.arange(3)",
    "np.ones((3,), 'float32')",
    "np.float64(2)",
    "np.int32(2)",
    "2",
    "2.5",
]
OPERANDS += ["[1.0, 2.0, 3.0]", "np.full((1, 3), 2.0)"]
OPERATORS = [
    "{} * x",
    "x * {}",
    "{} + x",
    "{} - x",
    "x - {}",
    "{} / x",
    "x / {}",
    "x ** {}",
    "{} ** x",
    "{} < x",
]
OPERATORS += ["x >= {}", "{} // x", "x % {}", "{} % x"]
PAIRS = [pattern.format(operand) for pattern in OPERATORS for operand in OPERANDS]
PAIRS += ["np.ones((1, 3)) * x * np.ones((1, 1))", "x @ np.ones((3, 2))", "-x", "abs(x - 2)", "~(x > 1)"]
PAIRS += ["(x > 1) & (x < 3)", "(x > 1) | (x < 0)", "(x > 1) ^ (x < 3)"]
POINTS = np.array([[0.5, 1.5, 2.5], [3.5, 1.0, 2.0]], "float32")


def keras_arithmetic(row: str) -> Any:
    x = tf_keras.Input((3,))
    return tf_keras.Model(x, eval(row, {"np": np, "x": x})).predict(POINTS, verbose=0)


@pytest.mark.parametrize("row", PAIRS)
def test_arithmetic_with_arrays(row: str, keras_says: Any) -> None:
    wanted = keras_says(keras_arithmetic, row)
    x = Input((3,))
    model = Model(x, eval(row, {"np": np, "x": x}))
    got = model.predict(POINTS)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    again = batchdot.models.model_from_json(model.to_json())
    np.testing.assert_array_equal(again.predict(POINTS), got)


def test_equality_of_a_symbolic_tensor_is_a_tensor_as_in_keras() -> None:
    x, y = Input((3,)), Input((3,))
    assert (x == None, x != None, x == "a") == (False, True, False)  # noqa: E711
    assert {x: 1}[x] == 1
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(x == y)


class MakesGraph(nn.Module):
    """A module that makes a graph of its own in its `forward`."""

    def forward(self, x: Tensor) -> Any:
        i = Input((4,))
        return Model(i, torch.sum(i, 1))(x)


class TakesKeyword(nn.Module):
    """A module that is given a symbolic tensor by name."""

    def forward(self, **kwargs: Any) -> Any:
        return torch.sum(kwargs["x"], 1)


def test_module_without_a_wrapper_is_refused_only_for_symbolic_tensors() -> None:
    assert MakesGraph()(torch.ones(2, 4)).tolist() == [4.0, 4.0]
    with pytest.raises(TypeError, match=r"TakesKeyword was called on a symbolic tensor\. Wrap"):
        TakesKeyword()(x=Input((4,)))
