"""Models beside tf_keras 2.21 and Keras 3: the same code, the same weights, the same answers.

The models are in `keras_models`. Each is built by tf_keras and here; what both say is compared. Then each
goes over as JSON: from tf_keras and from Keras 3 to here, from here to tf_keras.
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
from tests.support.originals import original

import batchdot
from batchdot.layers.base.naming import clear_names

pytestmark = [
    # TensorFlow's own: numpy and protobuf interfaces that it still uses.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf_keras.*"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:keras.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*"),
]

WITH_FUNCTIONS = {"capsules"}
"""Models with a Lambda: a config cannot hold its function."""

SHARED_BETWEEN_MODELS = {"nested_twice"}
"""Models with a layer that stands in two models: a config has it twice, and so has what is read."""

WRITTEN = [name for name in MODELS if name not in WITH_FUNCTIONS | SHARED_BETWEEN_MODELS]


@dataclass
class Pair:
    """A model of tf_keras and ours, with the same weights, and what both return for the same inputs."""

    theirs: Any
    ours: Any
    inputs: list[np.ndarray]
    wanted: list[np.ndarray]
    given: list[np.ndarray]


@cache
def make_pair(name: str) -> Pair:
    keras = original("tf_keras")
    keras.backend.clear_session()
    clear_names()
    theirs, ours = MODELS[name](keras), MODELS[name](batchdot)
    ours.set_weights(theirs.get_weights())
    inputs = feed(theirs)
    return Pair(theirs, ours, inputs, run(theirs, inputs, training=False), run(ours.eval(), inputs))


def run(model: Any, inputs: list[np.ndarray], **options: Any) -> list[np.ndarray]:
    """Return the outputs of a model as arrays."""
    outputs = model(inputs if len(inputs) > 1 else inputs[0], **options)
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return [
        output.detach().cpu().numpy() if hasattr(output, "detach") else output.numpy() for output in outputs
    ]


def assert_same(given: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert [array.dtype for array in given] == [array.dtype for array in wanted]
    for mine, theirs in zip(given, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-6)


@pytest.fixture(params=MODELS)
def pair(request: Any) -> Pair:
    return make_pair(request.param)


def test_there_are_as_many_models_as_were_asked_for() -> None:
    assert len(MODELS) >= 25


def test_outputs(pair: Pair) -> None:
    assert_same(pair.given, pair.wanted)
    assert any(np.unique(array).size > 1 for array in pair.wanted)


def test_shapes(pair: Pair) -> None:
    assert pair.ours.output_shape == pair.theirs.output_shape
    assert pair.ours.input_shape == pair.theirs.input_shape
    for mine, theirs in zip(pair.ours.layers, pair.theirs.layers, strict=True):
        for side in ("input_shape", "output_shape"):
            wanted = getattr(theirs, side, "several")
            assert getattr(mine, side, "several") == (wanted[0] if is_input(theirs) else wanted)


def is_input(layer: Any) -> bool:
    return type(layer).__name__ == "InputLayer"  # tf_keras gives a list of one shape


def test_names_types_and_order_of_layers(pair: Pair) -> None:
    assert [layer.name for layer in pair.ours.layers] == [layer.name for layer in pair.theirs.layers]
    types = [type(layer).__name__ for layer in pair.theirs.layers]
    assert [type(layer).__name__ for layer in pair.ours.layers] == types
    assert pair.ours.name == pair.theirs.name
    assert pair.ours.input_names == pair.theirs.input_names
    if len(set(pair.ours.output_names)) == len(pair.ours.output_names):  # tf_keras numbers what is not
        assert pair.ours.output_names == pair.theirs.output_names


@pytest.mark.parametrize("which", ["weights", "trainable_weights", "non_trainable_weights", "variables"])
def test_weights(pair: Pair, which: str) -> None:
    mine, theirs = getattr(pair.ours, which), getattr(pair.theirs, which)
    assert [tuple(weight.shape) for weight in mine] == [tuple(weight.shape) for weight in theirs]
    for weight, other in zip(mine, theirs, strict=True):
        assert np.array_equal(weight.detach().numpy(), other.numpy())


def test_counts(pair: Pair) -> None:
    assert pair.ours.count_params() == pair.theirs.count_params()
    for mine, theirs in zip(pair.ours.layers, pair.theirs.layers, strict=True):
        assert mine.count_params() == theirs.count_params()


def test_losses(pair: Pair) -> None:
    run(pair.theirs, pair.inputs, training=False), run(pair.ours, pair.inputs)
    mine, theirs = (np.array([float(x) for x in m.losses]) for m in (Detached(pair.ours), pair.theirs))
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


class Detached:
    def __init__(self, model: Any) -> None:
        self.losses = [loss.detach() for loss in model.losses]


def test_nodes(pair: Pair) -> None:
    for mine, theirs in zip(pair.ours.layers, pair.theirs.layers, strict=True):
        assert len(mine.inbound_nodes) == len(theirs.inbound_nodes)
        assert len(set(mine.outbound_nodes)) == len(set(theirs.outbound_nodes))
        for index in range(len(mine.inbound_nodes)):
            if not is_input(theirs):
                assert mine.get_input_shape_at(index) == theirs.get_input_shape_at(index)
                assert mine.get_output_shape_at(index) == theirs.get_output_shape_at(index)


def test_masks(pair: Pair) -> None:
    for mine, theirs in zip(pair.ours.layers, pair.theirs.layers, strict=True):
        for index in range(0 if is_input(theirs) else len(mine.inbound_nodes)):
            for side in ("get_input_mask_at", "get_output_mask_at"):
                assert is_masked(getattr(mine, side)(index)) == is_masked(getattr(theirs, side)(index))


def is_masked(mask: Any) -> Any:
    return [is_masked(item) for item in mask] if isinstance(mask, list | tuple) else mask is not None


def test_configs(pair: Pair) -> None:
    if any(type(layer).__name__ == "Lambda" for layer in pair.ours.layers):
        with pytest.raises(NotImplementedError, match="routing"):
            pair.ours.get_config()
        return
    mine, theirs = comparable(pair.ours.get_config()), comparable(pair.theirs.get_config())
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
def test_json_of_tf_keras_is_read_here(name: str) -> None:
    pair = make_pair(name)
    clear_names()
    model = batchdot.models.model_from_json(pair.theirs.to_json()).eval()
    model.set_weights(pair.theirs.get_weights())
    assert_same(run(model, pair.inputs), pair.wanted)
    assert [layer.name for layer in model.layers] == [layer.name for layer in pair.theirs.layers]
    assert comparable(json.loads(model.to_json())) == comparable(json.loads(pair.ours.to_json()))


@pytest.mark.parametrize("name", WRITTEN)
def test_json_of_here_is_read_by_tf_keras_and_here(name: str) -> None:
    pair = make_pair(name)
    for models in (original("tf_keras").models, batchdot.models):
        model = models.model_from_json(pair.ours.to_json())
        model.set_weights(pair.ours.get_weights())
        options = {} if models is batchdot.models else {"training": False}
        if models is batchdot.models:
            model.eval()
        assert_same(run(model, pair.inputs, **options), pair.wanted)
        assert [layer.name for layer in model.layers] == [layer.name for layer in pair.ours.layers]


@pytest.mark.parametrize("name", WRITTEN)
def test_json_of_keras_3_is_read_here(name: str) -> None:
    keras = original("keras")
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras 3 runs on {keras.backend.backend()} here, not on torch")
    keras.backend.clear_session()
    theirs = MODELS[name](keras)
    inputs = feed(theirs)
    with torch.no_grad():
        wanted = run(theirs, inputs, training=False)
    model = batchdot.models.model_from_json(theirs.to_json()).eval()
    assert [layer.name for layer in model.layers] == [layer.name for layer in theirs.layers]
    model.set_weights(theirs.get_weights())
    for mine, other in zip(run(model, inputs), wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-6)


def test_a_layer_in_two_models_is_written_twice_as_in_tf_keras() -> None:
    pair = make_pair("nested_twice")
    for built in (pair.ours, pair.theirs):
        for models in (batchdot.models, original("tf_keras").models):
            count = models.model_from_json(built.to_json()).count_params()
            assert count == 2 * built.count_params()


# As torch has it.


def test_state_dict_goes_to_another_model_of_the_same_code(pair: Pair) -> None:
    name = next(name for name in MODELS if make_pair(name) is pair)
    clear_names()
    other = MODELS[name](batchdot).eval()
    other.load_state_dict(pair.ours.state_dict())
    for mine, again in zip(run(other, pair.inputs), run(pair.ours, pair.inputs), strict=True):
        assert np.array_equal(mine, again)


def test_gradients_reach_every_trained_weight(pair: Pair) -> None:
    pair.ours.zero_grad()
    outputs = pair.ours([torch.from_numpy(array) for array in pair.inputs])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    trained = pair.ours.trainable_weights
    if trained:
        sum(output.square().sum() for output in outputs if output.requires_grad).backward()
    assert all(weight.grad is not None for weight in trained)
    assert {id(p) for p in pair.ours.parameters() if p.requires_grad} == {id(w) for w in trained}


def test_two_compiled_graphs_at_most(pair: Pair) -> None:
    fixed = pair.theirs.inputs[0].shape[0]
    sizes = [fixed] if fixed else [5 + 7 * number % 20 for number in range(20)]
    calls = [feed(pair.theirs, batch=size) for size in sizes]
    model = pair.ours
    assert count_graphs(model, [(list(map(torch.from_numpy, arrays)),) for arrays in calls]) <= 2


def test_one_compiled_graph_has_the_losses(pair: Pair) -> None:
    run(pair.ours, pair.inputs)
    if not pair.ours.losses:
        return
    torch.compiler.reset()
    compiled = torch.compile(pair.ours, fullgraph=True, backend="eager")
    compiled([torch.from_numpy(array) for array in pair.inputs])
    compiled_losses = [loss.detach() for loss in pair.ours.losses]
    run(pair.ours, pair.inputs)
    torch.testing.assert_close(compiled_losses, [loss.detach() for loss in pair.ours.losses])


@pytest.mark.parametrize("name", ["two_towers", "siamese", "luong_attention", "doubles"])
def test_torch_func(name: str) -> None:
    """Gradients of each sample, and several models at once, as a loop over them does it."""
    pair = make_pair(name)
    model, inputs = pair.ours, [torch.from_numpy(array) for array in pair.inputs]
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
    pair = make_pair(name)
    inputs = [torch.from_numpy(array) for array in pair.inputs]
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        pair.ours, (inputs,), dynamic_shapes={"args": (([{0: batch}] * len(inputs)),)}
    ).module()
    more = [torch.from_numpy(array) for array in feed(pair.theirs, batch=9, seed=1)]
    for array, mine in zip(run(exported, more), run(pair.ours, more), strict=True):
        np.testing.assert_allclose(array, mine, rtol=1e-6, atol=1e-6)
