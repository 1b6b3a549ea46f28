"""Models beside tf_keras 2.21 and Keras 3: the same code, the same weights, the same answers.

The models are in `keras_models`. Each is built by tf_keras and here with the same weights; what both say is
compared. Then each goes over as JSON: from tf_keras and from Keras 3 to here, from here to tf_keras.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.graphs import count_graphs
from tests.support.keras_models import MODELS, feed
from tests.support.live_keras import live_keras

import batchdot
from batchdot.layers.base.naming import clear_names

WITH_FUNCTIONS = {"capsules"}
"""Models with a Lambda: a config cannot hold its function."""

SHARED_BETWEEN_MODELS = {"nested_twice"}
"""Models with a layer that stands in two models: a config has it twice, and so has what is read."""

WRITTEN = [name for name in MODELS if name not in WITH_FUNCTIONS | SHARED_BETWEEN_MODELS]


def weights_for(model: Any) -> list[np.ndarray]:
    """Return an array for each weight of a model, the same in every library."""
    rng = np.random.default_rng(1)
    return [0.5 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()]


def run(model: Any, inputs: list[np.ndarray], **options: Any) -> list[np.ndarray]:
    """Return the outputs of a model as arrays."""
    outputs = model(inputs if len(inputs) > 1 else inputs[0], **options)
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return [
        output.detach().cpu().numpy() if hasattr(output, "detach") else output.numpy() for output in outputs
    ]


def is_masked(mask: Any) -> Any:
    return [is_masked(item) for item in mask] if isinstance(mask, list | tuple) else mask is not None


def describe_layer(layer: Any) -> dict[str, Any]:
    """Return what a layer of a model says of itself; of an InputLayer less."""
    is_input = type(layer).__name__ == "InputLayer"
    shapes = [getattr(layer, side, "several") for side in ("input_shape", "output_shape")]
    indices = range(0 if is_input else len(layer.inbound_nodes))
    return {
        "type": type(layer).__name__.replace("Functional", "Model"),
        "name": layer.name,
        "shapes": [shape[0] if isinstance(shape, list) and is_input else shape for shape in shapes],
        "params": layer.count_params(),
        "nodes": [len(layer.inbound_nodes), len(set(layer.outbound_nodes))],
        "node shapes": [[layer.get_input_shape_at(i), layer.get_output_shape_at(i)] for i in indices],
        "masks": [
            [is_masked(layer.get_input_mask_at(i)), is_masked(layer.get_output_mask_at(i))] for i in indices
        ],
    }


def describe(model: Any) -> dict[str, Any]:
    """Return what a model says of itself."""

    def places(weights: list[Any]) -> list[int]:
        return [next(i for i, known in enumerate(model.weights) if known is weight) for weight in weights]

    return {
        "name": model.name,
        "input names": list(model.input_names),
        "output names": list(model.output_names),
        "shapes": [model.input_shape, model.output_shape],
        "weights": [tuple(weight.shape) for weight in model.weights],
        "trainable": places(model.trainable_weights),
        "not trainable": places(model.non_trainable_weights),
        "variables": places(model.variables),
        "params": model.count_params(),
        "layers": [describe_layer(layer) for layer in model.layers],
    }


def keras_model(name: str) -> dict[str, Any]:
    """Return what tf_keras says of a model: its description, its outputs, its losses, its JSON."""
    tf_keras = live_keras("tf_keras")
    tf_keras.backend.clear_session()
    model = MODELS[name](tf_keras)
    model.set_weights(weights_for(model))
    outputs = run(model, feed(model), training=False)
    return {
        "description": describe(model),
        "outputs": outputs,
        "losses": [float(loss) for loss in model.losses],
        "json": None if name in WITH_FUNCTIONS else model.to_json(),
    }


def keras_3_model(name: str) -> tuple[list[str], list[np.ndarray], str]:
    """Return what Keras 3 says of a model: the names of its layers, its outputs, its JSON."""
    keras = live_keras("keras")
    keras.backend.clear_session()
    model = MODELS[name](keras)
    model.set_weights(weights_for(model))
    with torch.no_grad():
        outputs = run(model, feed(model), training=False)
    return [layer.name for layer in model.layers], outputs, model.to_json()


@dataclass
class Pair:
    """Our model, its inputs and outputs, and what tf_keras says of the same code with the same weights."""

    name: str
    ours: Any
    theirs: dict[str, Any]
    inputs: list[np.ndarray]
    given: list[np.ndarray]

    @property
    def description(self) -> dict[str, Any]:
        return self.theirs["description"]


@cache
def make_ours(name: str) -> Any:
    clear_names()
    ours = MODELS[name](batchdot)
    ours.set_weights(weights_for(ours))
    return ours.eval()


def make_pair(name: str, keras_says: Any) -> Pair:
    ours = make_ours(name)
    inputs = feed(ours)
    return Pair(name, ours, keras_says(keras_model, name), inputs, run(ours, inputs))


def assert_same(given: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert [array.dtype for array in given] == [array.dtype for array in wanted]
    for mine, theirs in zip(given, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-6)


@pytest.fixture(params=MODELS)
def pair(request: Any, keras_says: Any) -> Pair:
    return make_pair(request.param, keras_says)


@pytest.fixture(params=MODELS)
def ours(request: Any) -> Any:
    return make_ours(request.param)


def test_there_are_25_models() -> None:
    assert len(MODELS) >= 25


def test_outputs_as_tf_keras(pair: Pair) -> None:
    assert_same(pair.given, pair.theirs["outputs"])
    assert any(np.unique(array).size > 1 for array in pair.theirs["outputs"])


def test_description_as_tf_keras(pair: Pair) -> None:
    """Names, types, order, shapes, weights, counts, nodes and masks of the model and of its layers."""
    mine, theirs = describe(pair.ours), dict(pair.description)
    if len(set(mine["output names"])) < len(mine["output names"]):  # tf_keras numbers what is not unique
        del mine["output names"], theirs["output names"]
    for my_layer, their_layer in zip(mine.pop("layers"), theirs.pop("layers"), strict=True):
        assert my_layer == their_layer
    assert mine == theirs


def test_losses_as_tf_keras(pair: Pair) -> None:
    run(pair.ours, pair.inputs)
    losses = [float(loss.detach()) for loss in pair.ours.losses]
    np.testing.assert_allclose(losses, pair.theirs["losses"], rtol=1e-5, atol=1e-6)


def test_config_of_a_model_with_a_function_raises() -> None:
    with pytest.raises(NotImplementedError, match="routing"):
        make_ours("capsules").get_config()


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITH_FUNCTIONS])
def test_config_as_tf_keras(name: str, keras_says: Any) -> None:
    mine = comparable(make_ours(name).get_config())
    theirs = comparable(json.loads(keras_says(keras_model, name)["json"])["config"])
    for my_layer, their_layer in zip(mine.pop("layers"), theirs.pop("layers"), strict=True):
        assert my_layer == their_layer
    assert mine == theirs


# Where configs differ: written there and not here, or the other way round.
ONLY_THEIRS = {
    "build_config",  # the input shape, for a file of weights to be read without the calls
    "optional",  # whether an Input may be None
}
ONLY_OURS = {"activity_regularizer"}  # of a layer such as Dot, which tf_keras forgets


def comparable(config: Any) -> Any:
    """Return a config as JSON has it, without known differences; numbers there are rounded to float32."""
    if isinstance(config, dict):
        known = set(ONLY_THEIRS)
        if config.get("class_name") == "Functional":
            known |= {"module", "registered_name"}  # of tf_keras itself
        if "axes" in config:
            known |= ONLY_OURS
        return {key: comparable(value) for key, value in config.items() if key not in known}
    if isinstance(config, list | tuple):
        return [comparable(item) for item in config]
    return pytest.approx(config, rel=1e-6) if isinstance(config, float) else config


# As JSON.


@pytest.mark.parametrize("name", WRITTEN)
def test_json_of_tf_keras_read_here(name: str, keras_says: Any) -> None:
    pair = make_pair(name, keras_says)
    clear_names()
    model = batchdot.models.model_from_json(pair.theirs["json"]).eval()
    model.set_weights(weights_for(model))
    assert_same(run(model, pair.inputs), pair.theirs["outputs"])
    assert [layer.name for layer in model.layers] == [layer["name"] for layer in pair.description["layers"]]
    assert comparable(json.loads(model.to_json())) == comparable(json.loads(pair.ours.to_json()))


def assert_json_read(models: Any, name: str, **options: Any) -> None:
    ours = make_ours(name)
    model = models.model_from_json(ours.to_json())
    model.set_weights(ours.get_weights())
    if models is batchdot.models:
        model.eval()
    assert_same(run(model, feed(ours), **options), run(ours, feed(ours)))
    assert [layer.name for layer in model.layers] == [layer.name for layer in ours.layers]


@pytest.mark.parametrize("name", WRITTEN)
def test_json_round_trip(name: str) -> None:
    assert_json_read(batchdot.models, name)


@pytest.mark.keras
@pytest.mark.parametrize("name", WRITTEN)
def test_json_read_by_tf_keras(name: str) -> None:
    assert_json_read(live_keras("tf_keras").models, name, training=False)


@pytest.mark.parametrize("name", WRITTEN)
def test_json_of_keras_3_read_here(name: str, keras_says: Any) -> None:
    names, wanted, text = keras_says(keras_3_model, name)
    model = batchdot.models.model_from_json(text).eval()
    assert [layer.name for layer in model.layers] == names
    model.set_weights(weights_for(model))
    for mine, other in zip(run(model, feed(model)), wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-6)


def test_json_has_a_layer_of_two_models_twice(keras_says: Any) -> None:
    pair = make_pair("nested_twice", keras_says)
    for text in (pair.ours.to_json(), pair.theirs["json"]):
        for models in (batchdot.models, *([live_keras("tf_keras").models] if keras_says.live else [])):
            assert models.model_from_json(text).count_params() == 2 * pair.ours.count_params()


# As torch has it.


@pytest.mark.parametrize("name", MODELS)
def test_state_dict_loaded_by_same_code(name: str) -> None:
    ours = make_ours(name)
    clear_names()
    other = MODELS[name](batchdot).eval()
    other.load_state_dict(ours.state_dict())
    inputs = feed(ours)
    for mine, again in zip(run(other, inputs), run(ours, inputs), strict=True):
        assert np.array_equal(mine, again)


def test_gradients_reach_every_trained_weight(ours: Any) -> None:
    ours.zero_grad()
    outputs = ours([torch.from_numpy(array) for array in feed(ours)])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    trained = ours.trainable_weights
    if trained:
        sum(output.square().sum() for output in outputs if output.requires_grad).backward()
    assert all(weight.grad is not None for weight in trained)
    assert {id(p) for p in ours.parameters() if p.requires_grad} == {id(w) for w in trained}


def test_compiles_to_two_graphs_at_most(ours: Any) -> None:
    fixed = ours.inputs[0].shape[0]
    sizes = [fixed] if fixed else [5 + 7 * number % 20 for number in range(20)]
    calls = [feed(ours, batch=size) for size in sizes]
    assert count_graphs(ours, [(list(map(torch.from_numpy, arrays)),) for arrays in calls]) <= 2


def test_compiled_model_has_the_losses(ours: Any) -> None:
    inputs = feed(ours)
    run(ours, inputs)
    if not ours.losses:
        return
    torch.compiler.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    compiled([torch.from_numpy(array) for array in inputs])
    compiled_losses = [loss.detach() for loss in ours.losses]
    run(ours, inputs)
    torch.testing.assert_close(compiled_losses, [loss.detach() for loss in ours.losses])


@pytest.mark.parametrize("name", ["two_towers", "siamese", "luong_attention", "doubles"])
def test_torch_func(name: str) -> None:
    """Gradients of each sample, and several models at once, as a loop over them does it."""
    model = make_ours(name)
    inputs = [torch.from_numpy(array) for array in feed(model)]
    weights = {key: weight.detach() for key, weight in model.named_parameters()}

    def loss(weights: Any, *sample: torch.Tensor) -> torch.Tensor:
        outputs = torch.func.functional_call(model, weights, ([x[None] for x in sample],))
        return sum(output.square().sum() for output in (outputs if isinstance(outputs, list) else [outputs]))

    found = torch.vmap(torch.func.grad(loss), (None, *[0] * len(inputs)))(weights, *inputs)
    for number, sample in enumerate(zip(*inputs, strict=True)):
        model.zero_grad()
        loss(dict(model.named_parameters()), *sample).backward()
        for key, weight in model.named_parameters():
            torch.testing.assert_close(found[key][number], weight.grad)
    several = [{key: factor * weight for key, weight in weights.items()} for factor in (0.5, 1, 2)]
    stacked = {key: torch.stack([each[key] for each in several]) for key in weights}
    sample = [x[0] for x in inputs]
    losses = torch.vmap(loss, (0, *[None] * len(inputs)))(stacked, *sample)
    torch.testing.assert_close(losses, torch.stack([loss(each, *sample) for each in several]))
    tangents = {key: torch.ones_like(weight) for key, weight in weights.items()}
    _, slope = torch.func.jvp(lambda weights: loss(weights, *sample), (weights,), (tangents,))
    torch.testing.assert_close(slope, sum(found[key][0].sum() for key in weights))


EXPORTED = [
    "matrix_factorization",
    "two_towers",
    "luong_attention",
    "word2vec_with_negatives",
    "nested",
    "masked_ids",
]


@pytest.mark.parametrize("name", EXPORTED)
def test_export_with_a_batch_of_any_size(name: str) -> None:
    model = make_ours(name)
    inputs = [torch.from_numpy(array) for array in feed(model)]
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        model, (inputs,), dynamic_shapes={"args": (([{0: batch}] * len(inputs)),)}
    ).module()
    more = [torch.from_numpy(array) for array in feed(model, batch=9, seed=1)]
    for array, mine in zip(run(exported, more), run(model, more), strict=True):
        np.testing.assert_allclose(array, mine, rtol=1e-6, atol=1e-6)
