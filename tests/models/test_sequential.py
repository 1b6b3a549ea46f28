"""Sequential: how it is built, changed, called, copied, and written in the form of every Keras version."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.graphs import count_graphs
from tests.support.one_truth import check
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

import batchdot
from batchdot import Input, Layer, Model, Sequential
from batchdot.layers import Add, Dense, Dot, Dropout, Embedding, Flatten, InputLayer, Masking
from batchdot.layers.base.naming import clear_names
from batchdot.models import Functional, model_from_config, model_from_json

X = torch.arange(15.0).reshape(5, 3) / 10


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    clear_names()


def stack(*options: Any, **first: Any) -> Sequential:
    return Sequential([*options, Dense(4, activation="relu", name="one", **first), Dense(2, name="two")])


def expected(model: Sequential, x: Tensor) -> Tensor:
    """Compute what `stack` returns, without it."""
    one, bias_one, two, bias_two = model.weights
    return torch.relu(x @ one + bias_one) @ two + bias_two


# Building.

KNOWN: dict[str, tuple[Callable[[], Sequential], Any]] = {
    "Input": (lambda: stack(Input((3,))), (None, 3)),
    "Input with a batch size": (lambda: stack(Input((3,), batch_size=5)), (5, 3)),
    "InputLayer": (lambda: stack(InputLayer((3,))), (None, 3)),
    "input_shape": (lambda: stack(input_shape=(3,)), (None, 3)),
    "input_dim": (lambda: stack(input_dim=3), (None, 3)),
    "batch_input_shape": (lambda: stack(batch_input_shape=(5, 3)), (5, 3)),
    "a functional model": (lambda: stack(identity()), (None, 3)),
    "a sequential model": (lambda: stack(Sequential([Dense(3, input_shape=(3,))])), (None, 3)),
    "a layer in an unbuilt one": (lambda: stack(Sequential([Flatten(input_shape=(3,))])), (None, 3)),
}


def identity() -> Model:
    x = Input((3,))
    return Model(x, Dense(3, kernel_initializer="identity")(x))


@pytest.mark.parametrize("way", KNOWN)
def test_model_of_a_known_input_shape_is_built_at_once(way: str) -> None:
    make, shape = KNOWN[way]
    model = make()
    assert model.built
    assert all(layer.built for layer in model.layers)
    assert (model.input_shape, model.output_shape) == (shape, (*shape[:1], 2))
    assert model(X).shape == (5, 2)
    assert len(model.input_names) == len(model.output_names) == 1


DEFERRED: dict[str, Callable[[Sequential], Any]] = {
    "a tensor": lambda model: model(X),
    "an array": lambda model: model(X.numpy()),
    "a list of numbers": lambda model: model(X.tolist()),
    "training": lambda model: model(X, training=True),
    "a symbolic tensor": lambda model: model(Input((3,))),
    "build": lambda model: model.build((None, 3)),
    "build of a list": lambda model: model.build([None, 3]),
    "build of a Size": lambda model: model.build(X.shape),
    "predict": lambda model: model.predict(X),
    "predict of a list": lambda model: model.predict(X.tolist()),
    "compute_mask": lambda model: model.compute_mask(X),
}


@pytest.mark.parametrize("way", DEFERRED)
def test_model_of_an_unknown_input_shape_is_built_when_it_is_known(way: str) -> None:
    model = stack()
    assert not model.built
    assert (model.weights, model.get_weights()) == ([], [])
    assert all(map(is_lazy, model.parameters()))
    assert [layer.name for layer in model.layers] == ["one", "two"]
    DEFERRED[way](model)
    assert model.built
    batch = 5 if way not in ("a symbolic tensor", "build", "build of a list") else None
    assert (model.input_shape, model.output_shape) == ((batch, 3), (batch, 2))
    assert [weight.shape for weight in model.weights] == [(3, 4), (4,), (4, 2), (2,)]
    torch.testing.assert_close(model(X), expected(model, X))
    model.build((None, 3))  # says nothing new
    assert model(X[:2]).shape == (2, 2)
    assert [len(layer.inbound_nodes) for layer in model.layers] == [1, 1]


UNBUILT = [
    ("input_shape", AttributeError, "Sequential model 'm' has no defined inputs yet."),
    ("inputs", AttributeError, "Sequential model 'm' has no defined inputs yet."),
    ("output", AttributeError, "Sequential model 'm' has no defined outputs yet."),
    ("output_shape", AttributeError, "Sequential model 'm' has no defined outputs yet."),
    ("outputs", AttributeError, "Sequential model 'm' has no defined outputs yet."),
    ("nonsense", AttributeError, "'Sequential' object has no attribute 'nonsense'"),
]


@pytest.mark.parametrize(("attribute", "kind", "text"), UNBUILT)
def test_unbuilt_model_says_what_it_does_not_know(attribute: str, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        getattr(Sequential([Dense(2)], name="m"), attribute)
    assert str(caught.value) == text


def test_unbuilt_model_computes_shapes() -> None:
    model = stack()
    assert model.compute_output_shape((7, 3)) == (7, 2)
    assert not model.built
    model.build((None, 3))
    assert model.compute_output_shape((7, 3)) == (7, 2)


class DotByKey(Layer):
    def call(self, inputs: Any) -> Tensor:
        return (inputs["x"] * inputs["y"]).sum(1, keepdim=True)


def test_several_inputs_go_to_the_first_layer() -> None:
    for inputs in ([X, 2 * X], {"x": X, "y": 2 * X}):
        first = Dot(1) if isinstance(inputs, list) else DotByKey()
        model = Sequential([first, Flatten()])
        wanted = (2 * X * X).sum(1, keepdim=True)
        for _ in range(3):
            torch.testing.assert_close(model(inputs), wanted)
        assert model.layers[0] is first
        assert len(model.inputs) == 2
        np.testing.assert_allclose(model.predict(inputs, batch_size=2), wanted.numpy(), rtol=1e-6)
    model = Sequential([Dot(1), Dense(2)])
    model.build([(None, 3), (None, 3)])
    assert model.input_shape == [(None, 3), (None, 3)]
    assert model.pop().name == "dense"
    assert model([X, X]).shape == (5, 1)


# Changing.


@pytest.mark.parametrize("built", [True, False])
def test_add_and_pop(built: bool) -> None:
    model = Sequential(name="m")
    if built:
        model.add(Input((3,)))
    one, two = Dense(4, activation="relu", name="one"), Dense(2, name="two")
    model.add(one)
    model.add(two)
    assert model.built is built
    torch.testing.assert_close(model(X), expected(model, X))
    assert model.pop() is two
    assert [layer.name for layer in model.layers] == ["one"]
    assert (model.output_shape[1:], len(model.weights)) == ((4,), 2)
    assert not any(key.startswith("two") for key in model.state_dict())
    assert model(X).shape == (5, 4)
    model.add(two)
    torch.testing.assert_close(model(X), expected(model, X))
    assert [len(layer.inbound_nodes) for layer in (one, two)] == [1, 1]
    assert len(one.outbound_nodes) == 1
    model.pop()
    model.pop()
    assert model.layers == []
    model.add(Dense(7))
    assert model(X).shape == (5, 7)
    assert [key for key in model.state_dict() if key.endswith("kernel")] == ["dense.kernel"]


def test_pop_of_an_unbuilt_model() -> None:
    model = stack()
    assert model.pop().name == "two"
    assert not model.built
    assert model(X).shape == (5, 4)


def test_layers_of_features() -> None:
    model = stack(Input((3,)))
    features = Model(model.inputs, [layer.output for layer in model.layers])
    first, second = features(X)
    assert first.shape == (5, 4)
    assert torch.equal(second, model(X))
    assert model.get_layer("two") is model.get_layer(index=1) is model.layers[1]


def test_a_single_layer_and_any_iterable_of_layers() -> None:
    for layers in (Dense(2), [Dense(2)], (Dense(2),), iter([Dense(2)]), nn.ModuleList([Dense(2)])):
        assert Sequential(layers)(X).shape == (5, 2)
    assert Sequential(Input((3,))).output_shape == (None, 3)
    assert torch.equal(Sequential([Input((3,))])(X), X)


# Refusals.


def named(name: str) -> Dense:
    return Dense(2, name=name)


class Splits(Layer):
    def call(self, inputs: Any) -> Any:
        return [inputs, inputs]


class Fails(Layer):
    def call(self, inputs: Any) -> Any:
        raise OSError("the disk is gone")


NOT_A_LAYER = "The added layer must be an instance of class Layer. Received: layer={} of type {}."
SEVERAL = (
    "All layers in a Sequential model should have a single output tensor. For multi-output layers, use the "
    "functional API."
)
TWICE = (
    'All layers added to a Sequential model should have unique names. Name "a" is already the name of a '
    "layer in this model. Update the `name` argument to pass a unique name."
)
CONFIGURED = "Sequential model 'm' has already been configured to use input shape (None, 3). "
EMPTY = "Sequential model m cannot be built because it has no layers. Call `model.add(layer)`."
A_SHAPE = "Expected a shape, or a list or dict of shapes. Received: "

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Sequential([3]), TypeError, NOT_A_LAYER.format("3", "<class 'int'>")),
    (lambda: Sequential(3), TypeError, NOT_A_LAYER.format("3", "<class 'int'>")),
    (lambda: Sequential([None]), TypeError, NOT_A_LAYER.format("None", "<class 'NoneType'>")),
    (lambda: Sequential([Dense]), TypeError, NOT_A_LAYER.format(Dense, "<class 'type'>")),
    (
        lambda: Sequential([nn.Identity()]),
        TypeError,
        NOT_A_LAYER.format("Identity()", "<class 'torch.nn.modules.linear.Identity'>"),
    ),
    (
        lambda: Sequential([Input((3,), name="x") + 1]),
        TypeError,
        NOT_A_LAYER.format(
            "<KerasTensor shape=(None, 3) dtype=float32>", "<class 'batchdot.symbolic.tensor.KerasTensor'>"
        ),
    ),
    (lambda: Sequential([named("a"), named("a")]), ValueError, TWICE),
    (lambda: Sequential([Input((3,)), named("a"), named("a")]), ValueError, TWICE),
    (
        lambda: Sequential([Input((3,)), Input((4,))], name="m"),
        ValueError,
        CONFIGURED + "You cannot add a different Input layer to it.",
    ),
    (
        lambda: Sequential([Dense(2), Input((4,))], name="m"),
        ValueError,
        "An Input is the first thing in a Sequential model, and m has layers already.",
    ),
    (
        lambda: Sequential([Input((3,)), Dense(2)], name="m").build((None, 4)),
        ValueError,
        CONFIGURED + "You cannot build it with input_shape (None, 4)",
    ),
    (
        lambda: Sequential([Input((3,)), Dense(2)], name="m").build((None, 3, 3)),
        ValueError,
        CONFIGURED + "You cannot build it with input_shape (None, 3, 3)",
    ),
    (lambda: Sequential(name="m").build((None, 3)), ValueError, EMPTY),
    (lambda: Sequential(name="m")(X), ValueError, EMPTY),
    (lambda: Sequential(name="m").predict(X), ValueError, EMPTY),
    (lambda: Sequential([], name="m")(Input((3,))), ValueError, EMPTY),
    (lambda: Sequential([Dense(2)]).build(), ValueError, "You must provide an `input_shape` argument."),
    (lambda: Sequential([Dense(2)]).build(3), ValueError, A_SHAPE + "3"),
    (lambda: Sequential([Dense(2)]).build("ab"), ValueError, A_SHAPE + "'ab'"),
    (lambda: Sequential([Dense(2)]).build((None, "a")), ValueError, A_SHAPE + "None"),
    (lambda: Sequential().pop(), TypeError, "There are no layers in the model."),
    (lambda: Sequential([Input((3,))]).pop(), TypeError, "There are no layers in the model."),
    (lambda: Sequential([Splits(), Dense(2)])(X), ValueError, SEVERAL),
    (lambda: Sequential([Input((3,)), Splits()]), ValueError, SEVERAL),
    (
        lambda: Sequential([Dense(2)], "m"),
        TypeError,
        "Expected `trainable` argument to be a boolean, but got: 'm'",
    ),
    (
        lambda: Sequential([Dense(2)], name=3),
        TypeError,
        "Expected `name` argument to be a string, but got: 3",
    ),
    (
        lambda: Sequential([Input((3,)), Dense(2)], name="m")(X[0]),
        ValueError,
        "Input 0 of model m has shape (3,) instead of (None, 3).",
    ),
    (
        lambda: Sequential([Input((3,)), Dense(2)], name="m")([X, X]),
        ValueError,
        "Model m has 1 input. Received: 2.",
    ),
    (
        lambda: Sequential([Dense(2)], name="m").count_params(),
        ValueError,
        "You tried to call `count_params` on layer m, but the layer isn't built. "
        "You can build it manually via: `m.build(input_shape)`.",
    ),
    (
        lambda: Sequential([Dense(2, name="a")]).get_layer("b"),
        ValueError,
        "No such layer: b. Existing layers are: ['a'].",
    ),
    (
        lambda: Sequential.from_config({"name": "m"}),
        ValueError,
        "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys, or "
        "the list of layers. Received: config={'name': 'm'}",
    ),
]


@pytest.mark.parametrize("index", range(len(REFUSED)))
def test_what_cannot_be_is_refused(index: int) -> None:
    attempt, kind, text = REFUSED[index]
    with pytest.raises(kind) as caught:
        attempt()
    assert type(caught.value) is kind
    assert str(caught.value) == text


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("wrong", [Splits, Fails, lambda: Dense(2, name="one"), lambda: 3])
def test_refused_layer_leaves_the_model_as_it_was(known: bool, wrong: Any) -> None:
    model = stack(*[Input((3,))] if known else [])
    if not known:
        model(X)
    before, layers, state = model(X), model.layers, list(model.state_dict())
    with pytest.raises((ValueError, TypeError, OSError)):
        model.add(wrong())
    assert (model.layers, list(model.state_dict())) == (layers, state)
    assert torch.equal(model(X), before)
    model.add(Dense(6))
    assert model(X).shape == (5, 6)


@pytest.mark.parametrize("wrong", [Splits, Fails])
def test_failed_build_can_be_repeated(wrong: Any) -> None:
    model = stack()
    model.add(wrong())
    for _ in range(2):
        with pytest.raises((ValueError, OSError)):
            model(X)
        assert not model.built
    model.pop()
    torch.testing.assert_close(model(X), expected(model, X))
    assert [len(layer.inbound_nodes) for layer in model.layers] == [1, 1]


# As a layer.


def test_model_called_on_several_inputs_shares_its_weights() -> None:
    tower = stack()
    a, b = Input((3,)), Input((3,))
    model = Model([a, b], Dot(1)([tower(a), tower(b)]))
    assert len(model.weights) == len(tower.weights) == 4
    wanted = (expected(tower, X) * expected(tower, X + 1)).sum(1, keepdim=True)
    torch.testing.assert_close(model([X, X + 1]), wanted)
    assert len(tower.inbound_nodes) == 2
    outer = Sequential([model, Dense(1)])
    assert outer([X, X]).shape == (5, 1)


def test_models_are_nested() -> None:
    inner = stack()
    model = Sequential([Dense(3), inner, Sequential([Dense(7, name="last")], name="tail")], name="outer")
    assert model(X).shape == (5, 7)
    assert [layer.name for layer in model.layers] == ["dense", inner.name, "tail"]
    assert list(model.state_dict())[2] == f"{inner.name}.one.kernel"
    assert [tuple(w.shape) for w in model.weights] == [(3, 3), (3,), (3, 4), (4,), (4, 2), (2,), (2, 7), (7,)]
    assert isinstance(nn.Sequential(nn.Linear(3, 3), model)(X), Tensor)


def test_one_layer_stands_twice() -> None:
    dense = Dense(3)
    for model in (Sequential([Input((3,)), dense, dense]), Sequential([dense, Flatten(), dense])):
        kernel, bias = dense.weights or (model(X), dense.weights)[1]
        torch.testing.assert_close(model(X), (X @ kernel + bias) @ kernel + bias)
        assert len(model.layers) - len(set(model.layers)) == 1
        assert len(model.weights) == 2
        assert model.pop() is dense
        torch.testing.assert_close(model(X), X @ kernel + bias)


def test_one_layer_in_two_models() -> None:
    shared = Dense(3)
    first, second = Sequential([shared, Dense(1)]), Sequential([Input((3,)), shared])
    assert first(X).shape == (5, 1)
    torch.testing.assert_close(second(X), X @ shared.weights[0] + shared.weights[1])


class Passed(Layer):
    """Keeps the mask and the mode that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True
        self.seen: list[Any] = []

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not inputs.is_meta:
            self.seen.append((training, None if mask is None else mask.tolist()))
        return inputs


@pytest.mark.parametrize("known", [True, False])
def test_masks_are_passed_on(known: bool) -> None:
    ids, passed = torch.tensor([[1, 2, 0], [3, 0, 0]]), Passed()
    layers = [Embedding(5, 2, mask_zero=True), passed, Dense(2), Passed()]
    model = Sequential(([Input((3,), dtype="int64")] if known else []) + layers)
    model(ids)
    wanted = [[True, True, False], [True, False, False]]
    assert [layer.seen[-1][1] for layer in (passed, layers[-1])] == [wanted, wanted]
    assert model.compute_mask(ids).tolist() == wanted
    a = Input((3,), dtype="int64")
    outside = Passed()
    Model(a, outside(model(a)))(ids)
    assert outside.seen[-1][1] == wanted
    given = Sequential([Masking(1.0), Passed()])
    given(torch.tensor([[[1.0], [2.0]]]))
    assert given.layers[1].seen[-1][1] == [[False, True]]


def test_mask_that_is_given_is_passed_on() -> None:
    passed = Passed()
    model = Sequential([Input((3, 2)), passed])
    mask = torch.tensor([[True, False, True]])
    model(torch.ones(1, 3, 2), mask=mask)
    assert passed.seen[-1][1] == mask.tolist()
    assert model.compute_mask(torch.ones(1, 3, 2), mask).tolist() == mask.tolist()


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_mask_from_outside_reaches_layers_inside(kind: str) -> None:
    passed, after = Passed(), Passed()
    x = Input((None, 2))
    inner = Model(x, passed(x)) if kind == "functional" else Sequential([passed])
    outer = Sequential([Embedding(5, 2, mask_zero=True), inner, after])
    for _ in range(2):
        outer(torch.tensor([[1, 0]]))
        assert (passed.seen[-1][1], after.seen[-1][1]) == ([[True, False]], [[True, False]])
    inner(torch.ones(1, 2, 2))
    assert passed.seen[-1][1] is None


def test_training_is_passed_on() -> None:
    passed = Passed()
    model = Sequential([Sequential([passed]), Dropout(0.999)])
    for training, mode, wanted in [(True, False, True), (False, True, False), (None, True, True)]:
        out = model.train(mode)(X + 1, training=training)
        assert passed.seen[-1][0] is wanted
        assert torch.equal(out, X + 1) is not wanted
    assert torch.equal(model.eval()(X), X)


def test_losses_are_gathered() -> None:
    model = Sequential([Dense(2, kernel_regularizer="l2"), Dense(1, activity_regularizer="l2")])
    out = model(X)
    regularized = 0.01 * model.weights[0].square().sum()
    torch.testing.assert_close(sum(model.losses), regularized + 0.01 * out.square().sum() / 5)
    model(X)
    assert len(model.losses) == 2


def test_trainable() -> None:
    model = Sequential([Dense(2), Dense(1)], trainable=False)
    model(X)
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (0, 4)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.add(Dense(3))
    assert not model.layers[-1].trainable
    model.trainable = True
    assert len(model.trainable_weights) == 6
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gradients_reach_every_weight() -> None:
    model = stack(Input((3,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [weight.detach().clone() for weight in model.weights]
    (model(X) - 1).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(model.weights, before, strict=True))


# Weights and state.


def test_weights_are_in_the_order_of_the_layers() -> None:
    model = stack()
    model(X)
    arrays = [np.full(weight.shape, index, "float32") for index, weight in enumerate(model.weights)]
    model.set_weights(arrays)
    assert [key for key, _ in model.named_parameters()] == [
        "one.kernel",
        "one.bias",
        "two.kernel",
        "two.bias",
    ]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), arrays, strict=True))
    assert model.layers[1].get_weights()[1].tolist() == [3.0, 3.0]
    assert (model.count_params(), len(model.variables)) == (26, 4)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("built", [True, False])
def test_copies(way: str, built: bool) -> None:
    model = stack()
    if built:
        model(X)
    again = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert type(again) is Sequential
    assert again.built is built
    assert [layer.name for layer in again.layers] == ["one", "two"]
    again(X)
    torch.testing.assert_close(again(X), expected(again, X))
    assert again.layers[0].output is not getattr(model.layers[0], "output", None) if built else True
    again.add(Dense(6))
    assert again(X).shape == (5, 6)
    assert len(model.layers) == 2


def test_state_is_loaded_before_the_model_is_built() -> None:
    model, other = stack(), stack()
    wanted = model(X)
    other.load_state_dict(model.state_dict())
    assert list(other.state_dict()) == list(model.state_dict())
    assert torch.equal(other(X), wanted)


@pytest.mark.parametrize("way", ["call", "build"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_model_is_moved_before_it_is_built(way: str, dtype: torch.dtype) -> None:
    model = stack().to(dtype)
    if way == "build":
        model.build((None, 3))
    assert model(X.to(dtype)).dtype == dtype
    assert {weight.dtype for weight in model.weights} == {dtype}
    assert model(X.tolist()).dtype == dtype


def test_model_is_made_on_the_meta_device() -> None:
    model = stack().to("meta")
    assert model(X.to("meta")).shape == (5, 2)
    assert all(weight.is_meta for weight in model.weights)


# torch.


@pytest.mark.parametrize("known", [True, False])
def test_one_graph_is_compiled_for_any_batch(known: bool) -> None:
    model = stack(*[Input((3,))] if known else [])
    model(X)
    assert count_graphs(model, [(torch.randn(size, 3),) for size in (5, 7, 9)]) <= 2


def test_unbuilt_model_is_compiled() -> None:
    torch.compiler.reset()
    model = stack()
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(X), expected(model, X))
    torch.testing.assert_close(compiled(X), expected(model, X))


def test_model_is_exported() -> None:
    model = stack(Input((3,)))
    exported = torch.export.export(model, (X,), dynamic_shapes={"args": ({0: torch.export.Dim("batch")},)})
    torch.testing.assert_close(exported.module()(X[:2]), expected(model, X[:2]))


def test_torch_func() -> None:
    model = stack(Input((3,)))
    weights = dict(model.named_parameters())

    def loss(weights: Any, x: Tensor) -> Tensor:
        return torch.func.functional_call(model, weights, (x[None],)).square().sum()

    found = torch.vmap(torch.func.grad(loss), (None, 0))(weights, X)
    model.zero_grad()
    model(X).square().sum().backward()
    for key, weight in weights.items():
        torch.testing.assert_close(found[key].sum(0), weight.grad)


def test_hooks_see_each_call() -> None:
    model, seen = called(stack()), []
    model.register_forward_hook(lambda *_: seen.append("model"))
    model.layers[1].register_forward_hook(lambda *_: seen.append("layer"))
    for _ in range(3):
        model(X)
    assert seen == ["layer", "model"] * 3


# Printing.


def test_summary_before_and_after_building() -> None:
    model, lines = Sequential([Dense(4, name="one"), Dense(2, name="two")], name="m"), []
    model.summary(print_fn=lines.append)
    assert [line.split() for line in lines if "Dense" in line] == [
        ["one", "(Dense)", "?", "not", "built"],
        ["two", "(Dense)", "?", "not", "built"],
    ]
    assert "Total weights: 0 (0 bytes)" in lines
    lines.clear()
    model.build((None, 3))
    model.summary(print_fn=lines.append)
    assert [line.split() for line in lines if "Dense" in line] == [
        ["one", "(Dense)", "(None,", "4)", "16", "one_input"],
        ["two", "(Dense)", "(None,", "2)", "10", "one"],
    ]
    assert "Total weights: 26 (104 bytes)" in lines


def test_repr_has_the_layers() -> None:
    assert str(Sequential([Dense(2, name="a")], name="m")).splitlines() == [
        "Sequential(",
        "  name='m'",
        "  (a): Dense(name='a', units=2, activation='linear', use_bias=True)",
        ")",
    ]


def test_predict_goes_in_batches() -> None:
    model = Sequential([Dense(2), Dropout(0.9)])
    first = model.predict(X.numpy(), batch_size=2)
    assert isinstance(first, np.ndarray)
    np.testing.assert_allclose(first, model.eval()(X).detach().numpy(), rtol=1e-6)
    assert Sequential([Dense(2)]).predict(np.ones((0, 3))).shape == (0, 2)


# Configs.


def dense(units: int, name: str, **more: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": units, **more}}


def keras_3(class_name: str, config: Any, module: str = "keras.layers") -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


POLICY = keras_3("DTypePolicy", {"name": "float32"}, "keras")
ONE, TWO = dense(4, "one", activation="relu"), dense(2, "two")
FIRST = dense(4, "one", activation="relu", batch_input_shape=[None, 3])
INPUT = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "x"}}
BUILD = {"build_config": {"input_shape": [5, 4]}}
THREE = [
    keras_3("Dense", {"name": "one", "units": 4, "activation": "relu", "dtype": POLICY}),
    keras_3("Dense", {"name": "two", "units": 2, "dtype": POLICY})
    | {"build_config": {"input_shape": [5, 4]}},
]
INPUT_3 = keras_3("InputLayer", {"batch_shape": [None, 3], "dtype": "float32", "name": "x"})

FORMS: dict[str, tuple[Any, bool]] = {
    "Keras 1 and 2.0: a list": ([FIRST, TWO], True),
    "a list of unknown shape": ([ONE, TWO], False),
    "2.2.3: a dictionary": ({"name": "m", "layers": [FIRST, TWO]}, True),
    "a dictionary of unknown shape": ({"name": "m", "layers": [ONE, TWO]}, False),
    "TensorFlow 2: build_input_shape": (
        {"name": "m", "layers": [ONE, TWO], "build_input_shape": [None, 3]},
        True,
    ),
    "TensorFlow 2: an input layer": ({"name": "m", "layers": [INPUT, ONE, TWO]}, True),
    "TensorFlow 2: both": (
        {"name": "m", "layers": [INPUT, FIRST, TWO], "build_input_shape": [None, 3]},
        True,
    ),
    "Keras 3": (
        {
            "name": "m",
            "trainable": True,
            "dtype": POLICY,
            "layers": [INPUT_3, *THREE],
            "build_input_shape": [None, 3],
        },
        True,
    ),
    "Keras 3 of unknown shape": ({"name": "m", "trainable": True, "dtype": POLICY, "layers": THREE}, False),
}


@pytest.mark.parametrize("way", ["from_config", "model_from_config", "json", "keras 3", "inside a list"])
@pytest.mark.parametrize("form", FORMS)
def test_config_of_every_form_is_read(form: str, way: str) -> None:
    config, built = FORMS[form]
    config, before = copy.deepcopy(config), copy.deepcopy(config)
    named = {"class_name": "Sequential", "config": config}
    model = {
        "from_config": lambda: Sequential.from_config(config),
        "model_from_config": lambda: model_from_config(named),
        "json": lambda: model_from_json(json.dumps(named | {"keras_version": "2.1.6", "backend": "theano"})),
        "keras 3": lambda: model_from_config(
            named | {"module": "keras", "registered_name": None, "compile_config": {}, "build_config": {}}
        ),
        "inside a list": lambda: Sequential.from_config([named]).layers[0],
    }[way]()
    assert type(model) is Sequential
    assert model.built is built
    assert [layer.name for layer in model.layers] == ["one", "two"]
    assert model.name == ("m" if isinstance(config, dict) else model.name)
    model(X)
    torch.testing.assert_close(model(X), expected(model, X))
    assert config == before


WRITTEN: dict[str, Callable[[], Sequential]] = {
    "unbuilt": stack,
    "built by input": lambda: stack(Input((3,), name="x")),
    "built by shape": lambda: stack(input_shape=(3,)),
    "built by call": lambda: called(stack()),
    "frozen": lambda: called(Sequential([Dense(2), Dense(3)], trainable=False)),
    "several inputs": lambda: called(Sequential([Dot(1), Dense(2)]), [X, X]),
    "nested": lambda: called(Sequential([Sequential([Dense(3)], name="inner"), identity()])),
    "empty": Sequential,
}


def called(model: Sequential, inputs: Any = X) -> Sequential:
    model(inputs)
    return model


@pytest.mark.parametrize("name", WRITTEN)
def test_config_goes_round(name: str) -> None:
    model = WRITTEN[name]()
    text = model.to_json()
    again = model_from_json(text)
    assert json.loads(again.to_json()) == json.loads(text)
    assert (again.built, again.name, again.trainable) == (model.built, model.name, model.trainable)
    if not model.layers:
        return
    inputs = [X, X] if name == "several inputs" else X
    model(inputs), again(inputs)
    again.set_weights(model.get_weights())
    assert torch.equal(again(inputs), model(inputs))
    assert len(again.trainable_weights) == len(model.trainable_weights)
    clone = Sequential.from_config(model.get_config())
    assert clone.get_config() == model.get_config()


def test_config_has_the_form_of_tf_keras() -> None:
    document = json.loads(stack(input_shape=(3,)).to_json())
    assert {key: document[key] for key in ("module", "class_name", "registered_name")} == {
        "module": "keras",
        "class_name": "Sequential",
        "registered_name": None,
    }
    assert set(document["config"]) == {"name", "trainable", "layers"}
    assert [entry["class_name"] for entry in document["config"]["layers"]] == ["InputLayer", "Dense", "Dense"]
    assert document["config"]["layers"][0]["config"]["name"] == "one_input"


class Named(Sequential):
    """A subclass, found among custom objects."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return -super().call(inputs, training, mask)


def test_subclass_is_written_by_its_own_name() -> None:
    model = Named([Dense(2, input_shape=(3,))])
    again = model_from_json(model.to_json(), {"Named": Named})
    again.set_weights(model.get_weights())
    assert type(again) is Named
    assert torch.equal(again(X), model(X))
    assert torch.equal(again(X), -(X @ model.weights[0] + model.weights[1]))
    with pytest.raises(ValueError, match="Unknown layer 'Named'"):
        model_from_json(model.to_json())


def test_custom_layers_are_found() -> None:
    text = Sequential([Passed2(), Dense(2)]).to_json()
    assert model_from_json(text, {"Passed2": Passed2})(X).shape == (5, 2)
    with pytest.raises(ValueError, match="Unknown layer 'Passed2'"):
        model_from_json(text)


class Passed2(Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


# Size.


def test_a_stack_of_many_layers() -> None:
    model = Sequential([Input((3,)), *[Flatten() for _ in range(400)]])
    assert torch.equal(model(X), X)
    assert len(model.layers) == 400
    again = copy.deepcopy(model)
    assert torch.equal(again(X), X)


def test_functional_around_a_stack_and_a_sum() -> None:
    x = Input((3,))
    tower = stack()
    model = Model(x, Add()([tower(x), tower(x)]))
    torch.testing.assert_close(model(X), 2 * expected(tower, X))
    assert isinstance(tower, Functional)
    assert batchdot.Sequential is Sequential


# Replacing layers.

REPLACED: dict[str, tuple[Any, tuple[int, int]]] = {
    "a torch module": (lambda: nn.Linear(3, 7), (5, 2)),
    "a layer": (lambda: Dense(7), (5, 2)),
    "a torch Sequential": (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (5, 2)),
}


@pytest.mark.parametrize("how", ["call", "build", "symbolic", "shape"])
@pytest.mark.parametrize("name", REPLACED)
def test_layer_replaced_before_the_first_call_is_called(name: str, how: str) -> None:
    make, shape = REPLACED[name]
    model = stack()
    model.one = make()
    if how == "build":
        model.build((None, 3))
    elif how == "symbolic":
        assert model(Input((3,))).shape == (None, 2)
    elif how == "shape":
        assert model.compute_output_shape((5, 3)) == shape
    check(model, X)
    torch.testing.assert_close(model(X), model.two(model.one(X)))
    assert copy.deepcopy(model)(X).shape == shape
