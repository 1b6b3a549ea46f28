"""Layers as torch.nn.Modules, beyond what the suite checks of each: dtypes, compiling, weights replaced."""

from typing import Any

import pytest
import torch
from tests.support.graphs import count_graphs
from torch import nn

import batchdot
from batchdot import layers


@pytest.mark.parametrize("make", [lambda: layers.Dot(1), layers.Concatenate, layers.Add])
def test_compile_before_first_call(make: Any) -> None:
    calls = [([torch.randn(size, 4), torch.randn(size, 4)],) for size in (5, 12, 7, 19)]
    assert count_graphs(make(), calls) <= 2


def test_dtype_given_is_that_of_weights_and_output() -> None:
    for name in ("float64", "bfloat16"):
        kind = getattr(torch, name)
        assert layers.Dense(2, dtype=name)(torch.ones(1, 3)).dtype == kind
        assert layers.Embedding(7, 2, dtype=name)(torch.tensor([[3]])).dtype == kind
        assert layers.Add(dtype=name)([torch.ones(1), torch.ones(1)]).dtype == kind
    big = layers.Embedding(4000, 1, dtype="float16")(torch.tensor([[2049.0]]))
    assert big.shape == (1, 1, 1)  # ids are not rounded to the dtype of the table
    assert (
        layers.Embedding.from_config(layers.Embedding(3, 2, dtype="float32").get_config()).dtype == "float32"
    )


def test_weights_stay_float32_while_inputs_are_cast() -> None:
    layer = layers.Dense(2)
    x = torch.ones(1, 3, dtype=torch.float64)
    assert layer(x).dtype == torch.float32
    assert layer(x).dtype == torch.float32


def test_parametrized_kernel_is_used() -> None:
    layer = layers.Dense(2, kernel_initializer="ones")
    x = torch.ones(1, 3)
    layer(x)
    nn.utils.parametrize.register_parametrization(layer, "kernel", nn.ReLU())
    with torch.no_grad():
        layer.parametrizations.kernel.original.neg_()
    assert layer(x).tolist() == [[0.0, 0.0]]


def test_functional_call_replaces_embeddings() -> None:
    layer = layers.Embedding(3, 2)
    x = torch.tensor([[1]])
    layer(x)
    out = torch.func.functional_call(layer, {"embeddings": torch.ones(3, 2)}, (x,))
    assert out.tolist() == [[[1.0, 1.0]]]


def ids(batch: int) -> torch.Tensor:
    return torch.randint(0, 7, (batch, 1))


def test_export_two_towers_dynamic_batch() -> None:
    users, items = batchdot.Input((1,), dtype="int64"), batchdot.Input((1,), dtype="int64")
    flat = layers.Flatten()
    towers = [
        layers.Dense(8, activation="relu")(flat(layers.Embedding(7, 4)(side))) for side in (users, items)
    ]
    model = batchdot.Model([users, items], layers.Dot(1, normalize=True)(towers)).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    inputs, sides = [ids(4), ids(4)], (([{0: batch}, {0: batch}],),)  # forward takes *args
    program = torch.export.export(model, (inputs,), dynamic_shapes=sides, strict=False)
    for size in (2, 9):
        x = [ids(size), ids(size)]
        torch.testing.assert_close(program.module()(x), model(x))


def test_floatx_is_the_default_dtype() -> None:
    batchdot.backend.set_floatx("float64")
    try:
        layer = layers.Dense(2)
        assert layer.dtype == "float64"
        assert layer([[1.0, 2.0]]).dtype == torch.float64
        assert batchdot.Input((2,)).dtype == torch.float64
        assert not layers.Dense.from_config(layer.get_config()).autocast
        assert layers.Dense.from_config(layers.Dense(2, dtype="float32").get_config()).dtype == "float32"
    finally:
        batchdot.backend.set_floatx("float32")
