"""Functional: the keys of its layers in state_dict, its tools in torch, and configs with repeated models."""

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

import batchdot
from batchdot import Input, Model
from batchdot.layers import Add, Dense, Dropout
from batchdot.models import Sequential, model_from_json

X = torch.arange(6.0).reshape(2, 3)

NAMES = {
    "plain": (["first", "second"], ["first", "second"]),
    "dots": (["a.b", "c.d.e"], ["a_b", "c_d_e"]),
    "dot then underscore": (["a.b", "a_b"], ["a_b_1", "a_b"]),
    "underscore then dot": (["a_b", "a.b"], ["a_b", "a_b_1"]),
    "suffix taken": (["a.b", "a_b", "a_b_1"], ["a_b_2", "a_b", "a_b_1"]),
    "methods of nn.Module": (["forward", "train", "half"], ["forward_1", "train_1", "half_1"]),
    "attributes of nn.Module": (["training", "_modules"], ["training_1", "_modules_1"]),
    "attributes of a model": (["output", "layers", "losses"], ["output_1", "layers_1", "losses_1"]),
    "attributes of an instance": (["built", "supports_masking"], ["built_1", "supports_masking_1"]),
    "taken and numbered": (["output", "output_1"], ["output_2", "output_1"]),
    "empty": ([""], ["layer"]),
}
ONE_BY_ONE = {  # keys are given as layers are added, and stay
    "dot then underscore": ["a_b", "a_b_1"],
    "suffix taken": ["a_b", "a_b_1", "a_b_1_1"],
    "taken and numbered": ["output_1", "output_1_1"],
}
CASES = [(kind, name) for kind in ("functional", "sequential", "added") for name in NAMES]


def make(kind: str, names: list[str]) -> Any:
    layers = [Dense(3, name=name, bias_initializer="uniform") for name in names]
    if kind == "sequential":
        return Sequential([Input((3,), name="x"), *layers])
    if kind == "added":
        model = Sequential([Input((3,), name="x")])
        for layer in layers:
            model.add(layer)
        return model
    x = hidden = Input((3,), name="x")
    for layer in layers:
        hidden = layer(hidden)
    return Model(x, hidden)


def keys_of(kind: str, case: str) -> list[str]:
    return ONE_BY_ONE.get(case, NAMES[case][1]) if kind == "added" else NAMES[case][1]


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_each_layer_has_a_key_of_its_own(kind: str, case: str) -> None:
    names, _ = NAMES[case]
    model, keys = make(kind, names), keys_of(kind, case)
    assert [key for key in model.state_dict() if key.endswith("kernel")] == [f"{key}.kernel" for key in keys]
    for name, key, layer in zip(names, keys, model.layers[-len(names) :], strict=True):
        assert layer.name == name
        assert model.get_layer(name) is layer
        assert model.get_submodule(key) is layer
    assert len(list(model.parameters())) == len(model.weights) == 2 * len(names)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_state_goes_round(kind: str, case: str) -> None:
    model, other = make(kind, NAMES[case][0]), make(kind, NAMES[case][0])
    assert not torch.equal(other(X), model(X))
    other.load_state_dict(model.state_dict())
    for again in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(X), model(X))
        assert list(again.state_dict()) == list(model.state_dict())
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    weights = {key: 2 * value for key, value in model.named_parameters()}
    wanted = copy.deepcopy(model)
    wanted.load_state_dict(weights)
    assert torch.equal(torch.func.functional_call(model, weights, (X,)), wanted(X))


@pytest.mark.parametrize("name", ["output", "a.b", "forward"])
def test_model_with_a_taken_name_is_exported(name: str) -> None:
    model = make("functional", [name])
    torch.testing.assert_close(torch.export.export(model, (X,)).module()(X), model(X))


def graph(keras: Any) -> Any:
    layers, x = keras.layers, keras.Input((3,))
    side = layers.Dense(3, name="side")(x)
    hidden = layers.Add()([layers.Dense(3)(x), side])
    inner = keras.Sequential([layers.Dense(3), layers.Dense(3, name="top")])
    return keras.Model(x, layers.Dense(2)(inner(hidden)))


def stack(keras: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), *[keras.layers.Dense(3) for _ in range(3)]])


def unbuilt_stack(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])


CODE = {  # the same code, and the keys that it gives in any process, after anything
    "graph": (graph, ["side", "dense", "sequential.dense", "sequential.top", "dense_1"]),
    "stack": (stack, ["dense", "dense_1", "dense_2"]),
    "unbuilt stack": (unbuilt_stack, ["dense", "dense_1"]),
}


@pytest.mark.parametrize("case", CODE)
def test_same_code_gives_the_same_keys(case: str) -> None:
    code, keys = CODE[case]
    first = code(batchdot)
    for _ in range(3):
        Dense(2)
    second = code(batchdot)
    first(X)
    names = {key.rpartition(".")[0] for key in first.state_dict()}
    assert names == set(keys)
    assert list(second.state_dict()) == list(first.state_dict())
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(X), first(X))
    again = model_from_json(second.to_json())
    again.load_state_dict(first.state_dict())
    assert torch.equal(again(X), first(X))


@pytest.mark.keras
@pytest.mark.parametrize("case", CODE)
def test_model_of_keras_has_the_keys_of_the_same_code(case: str) -> None:
    import tf_keras

    code, keys = CODE[case]
    theirs = code(tf_keras)
    theirs(X.numpy())
    mine = model_from_json(theirs.to_json())
    assert {key.rpartition(".")[0] for key in mine.state_dict()} == set(keys)
    mine.set_weights(theirs.get_weights())
    other = code(batchdot)
    other.load_state_dict(mine.state_dict())
    torch.testing.assert_close(other(X), torch.from_numpy(theirs(X.numpy()).numpy()), atol=1e-6, rtol=1e-5)


FORMER = {  # names, the keys of version 0.1, and whether torch kept the version with the state
    "an attribute's name": (["output", "a.b", "plain"], ["output", "a_b", "plain"], False),
    "numbered in the process": ([None, None, None], ["dense_8", "dense_9", "dense_10"], False),
    "numbered in another order": ([None, None, None], ["dense_1", "dense_2", "dense"], True),
    "names and numbers": ([None, "tower", None], ["dense_3", "tower", "dense_4"], True),
}


@pytest.mark.parametrize("prefix", ["", "0."])
@pytest.mark.parametrize("case", FORMER)
@pytest.mark.parametrize("kind", ["functional", "sequential", "unbuilt"])
def test_state_of_version_0_1_is_loaded_by_order(kind: str, case: str, prefix: str) -> None:
    names, former, has_version = FORMER[case]
    source = make("functional", names)
    keys = list(dict.fromkeys(key.split(".")[0] for key in source.state_dict()))
    rename = dict(zip(keys, former, strict=True))
    state = OrderedDict(
        (f"{prefix}{rename[layer]}.{weight}", 2 * value)
        for key, value in source.state_dict().items()
        for layer, weight in [key.split(".")]
    )
    if has_version:
        state._metadata = {"": {"version": 1}, "0": {"version": 1}}  # type: ignore[attr-defined]
    model = Sequential([Dense(3, name=name) for name in names]) if kind == "unbuilt" else make(kind, names)
    outer = nn.Sequential(model) if prefix else model
    with pytest.warns(UserWarning, match=rf"loaded by the order of the layers: .*{former[0]} as"):
        outer.load_state_dict(state)
    model(X)
    for mine, wanted in zip(model.weights, source.weights, strict=True):
        assert torch.equal(mine, 2 * wanted)


WRONG_STATES = {
    "a layer too many": lambda state: {**state, "other.kernel": torch.ones(1)},
    "a layer too few": lambda state: {k: v for k, v in state.items() if not k.startswith("b.")},
    "another weight": lambda state: {k.replace("a.kernel", "c.scale"): v for k, v in state.items()},
}


@pytest.mark.parametrize("case", WRONG_STATES)
def test_state_that_differs_in_more_than_names_is_refused(case: str) -> None:
    model = make("functional", ["a", "b"])
    state = WRONG_STATES[case](dict(model.state_dict()))
    with pytest.raises(RuntimeError, match=r"Unexpected key|Missing key"):
        model.load_state_dict(state)


def test_model_made_untrainable_trains_nothing() -> None:
    x = Input((3,))
    model = Model(x, Dense(2)(x), trainable=False)
    assert model.trainable_weights == []
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.layers[1].trainable


def test_submodules_are_in_the_order_of_the_layers() -> None:
    x = Input((3,), name="x")
    model = Model(x, Dense(1, name="b")(Dense(1, name="a.a")(x)))
    assert [key for key, _ in model.named_children()] == ["x", "a_a", "b"]


def test_layer_of_one_name_in_two_models_keeps_its_key() -> None:
    dense = Dense(3, name="output")
    x, y = Input((3,)), Input((3,))
    inner = Model(x, dense(x), name="inner")
    outer = Model(y, Add()([inner(y), dense(y)]))
    assert set(outer.state_dict()) == {
        *("inner.output_1.kernel", "inner.output_1.bias"),
        *("output_1.kernel", "output_1.bias"),
    }
    assert len(outer.weights) == 2


def make_twice(keras: Any, kind: str) -> Any:
    """Call a model inside twice, on its own output, and return both."""
    layers = keras.layers
    x, a = keras.Input((3,)), keras.Input((3,))
    if kind == "functional":
        tower = keras.Model(x, layers.Dense(3)(layers.Dropout(0.5)(x)), name="tower")
    else:
        tower = keras.Sequential([layers.Dropout(0.5), layers.Dense(3)], name="tower")
    once = tower(a)
    return keras.Model(a, [tower(once), once])


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_calls_of_a_model_inside_are_told_apart(kind: str) -> None:
    model = make_twice(batchdot, kind).eval()
    again = model_from_json(model.to_json()).eval()
    again.set_weights(model.get_weights())
    for mine, wanted in zip(again(X), model(X), strict=True):
        assert torch.equal(mine, wanted)


def test_training_reaches_layers_inside() -> None:
    x = Input((3,))
    model = Model(x, Dropout(0.999)(x))
    assert torch.equal(model(X, training=False), X)
    assert model(X + 1, training=True).count_nonzero() == 0
