"""Sequential beside tf_keras 2.21 and Keras 3: outputs, weights, and configs that go both ways."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras as original

import batchdot
from batchdot.layers.base.naming import clear_names
from batchdot.models import model_from_json

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tf_keras.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:keras.*"),
]

MODELS: dict[str, Callable[[Any], Any]] = {}


def model(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    MODELS[make.__name__] = make
    return make


def two(keras: Any, **first: Any) -> list[Any]:
    return [
        keras.layers.Dense(4, activation="relu", name="one", **first),
        keras.layers.Dense(2, name="two"),
    ]


@model
def with_input(keras: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), *two(keras)], name="m")


@model
def with_input_shape(keras: Any) -> Any:
    return keras.Sequential(two(keras, input_shape=(3,)), name="m")


@model
def unbuilt(keras: Any) -> Any:
    return keras.Sequential(two(keras), name="m")


@model
def built_by_shape(keras: Any) -> Any:
    built = keras.Sequential(two(keras), name="m")
    built.build((None, 3))
    return built


@model
def built_by_add(keras: Any) -> Any:
    built = keras.Sequential(name="m")
    for layer in (keras.Input((3,)), *two(keras), keras.layers.Dropout(0.5)):
        built.add(layer)
    built.pop()
    return built


@model
def nested(keras: Any) -> Any:
    inner = keras.Sequential(two(keras), name="inner")
    return keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(5)], name="m")


@model
def after_functional(keras: Any) -> Any:
    x = keras.Input((3,))
    inner = keras.Model(x, keras.layers.Dense(4)(x), name="inner")
    return keras.Sequential([inner, keras.layers.Dense(2)], name="m")


@model
def in_functional(keras: Any) -> Any:
    x = keras.Input((3,))
    return keras.Model(x, keras.Sequential(two(keras), name="inner")(x), name="m")


@model
def in_functional_twice(keras: Any) -> Any:
    a = keras.Input((3,))
    tower = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)], name="tower")
    once = tower(a)
    return keras.Model(a, keras.layers.Dot(1)([tower(once), once]), name="m")


@model
def regularized(keras: Any) -> Any:
    layers = two(keras, kernel_regularizer="l2", activity_regularizer="l1")
    return keras.Sequential([keras.Input((3,)), *layers], name="m")


@model
def frozen_inside(keras: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), *two(keras, trainable=False)], name="m")


@model
def names_that_are_attributes(keras: Any) -> Any:
    layers = [keras.layers.Dense(3, name="hidden_1"), keras.layers.Dense(3, name="output")]
    return keras.Sequential([keras.Input((3,)), *layers], name="m")


WRITTEN_FOR_KERAS_3 = [
    *("with_input", "unbuilt", "built_by_shape", "built_by_add", "nested"),
    *("regularized", "frozen_inside", "names_that_are_attributes"),
]
"""Models whose config is the same in both: a Functional, and an input_shape of a layer, are not."""

X = np.random.default_rng(0).standard_normal((5, 3)).astype("float32")


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request: Any) -> Any:
    return fresh(request.param)


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    clear_names()
    yield
    clear_names()


def fresh(name: str) -> Any:
    module = original(name)
    if name == "keras" and module.backend.backend() != "torch":
        pytest.skip(f"Keras 3 runs on {module.backend.backend()} here, not on torch")
    module.backend.clear_session()
    return module


def run(built: Any) -> np.ndarray:
    if isinstance(built, batchdot.Model):
        return built.eval()(X).detach().numpy()
    outputs = built(X, training=False)
    return outputs.detach().numpy() if hasattr(outputs, "detach") else outputs.numpy()


def assert_same(mine: Any, theirs: Any) -> None:
    """Check a model of ours against one with other weights."""
    wanted = run(theirs)
    run(mine)  # builds an unbuilt one
    mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(run(mine), wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_code_gives_the_same_model(name: str, keras: Any) -> None:
    mine, theirs = MODELS[name](batchdot), MODELS[name](keras)
    assert mine.built is bool(theirs.built)
    assert_same(mine, theirs)
    assert [layer.name for layer in mine.layers][-1:] == [layer.name for layer in theirs.layers][-1:]
    assert (mine.name, mine.output_shape) == (theirs.name, theirs.output_shape)
    assert mine.input_shape == theirs.input_shape
    for which in ("weights", "trainable_weights", "non_trainable_weights"):
        shapes = [[tuple(w.shape) for w in getattr(built, which)] for built in (mine, theirs)]
        assert shapes[0] == shapes[1]
    assert mine.count_params() == theirs.count_params()
    with torch.no_grad():
        losses = [sum(float(loss) for loss in built.losses) for built in (mine, theirs)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_json_of_keras_is_read(name: str, keras: Any) -> None:
    theirs = MODELS[name](keras)
    mine = model_from_json(theirs.to_json())
    assert (type(mine).__name__, mine.name) == (type(theirs).__name__, theirs.name)
    assert mine.built is bool(theirs.built)
    assert [layer.name for layer in mine.layers] == [layer.name for layer in theirs.layers]
    assert_same(mine, theirs)


def test_json_of_here_is_read_by_keras(keras: Any) -> None:
    for name in MODELS if keras.__name__ == "tf_keras" else WRITTEN_FOR_KERAS_3:
        mine = MODELS[name](batchdot)
        theirs = keras.models.model_from_json(mine.to_json())
        assert bool(theirs.built) is mine.built
        assert_same(mine, theirs)


def test_names_with_dots_go_both_ways() -> None:
    keras = fresh("tf_keras")  # on torch, Keras 3 refuses them
    layers = [keras.layers.Dense(3, name="a.b"), keras.layers.Dense(3, name="a_b")]
    theirs = keras.Sequential([keras.Input((3,)), *layers])
    mine = model_from_json(theirs.to_json())
    assert_same(mine, theirs)
    assert_same(mine, keras.models.model_from_json(mine.to_json()))


@pytest.mark.parametrize("name", MODELS)
def test_config_is_that_of_tf_keras(name: str) -> None:
    mine, theirs = MODELS[name](batchdot), MODELS[name](fresh("tf_keras"))
    run(mine), run(theirs)
    assert comparable(json.loads(mine.to_json())) == comparable(json.loads(theirs.to_json()))


def comparable(config: Any) -> Any:
    """Return a config without what only one writes: the module of models, and what is found out again."""
    if isinstance(config, dict):
        left_out = {"build_config", "optional"}
        if "layers" in config:
            left_out.add("trainable")  # tf.keras forgets it of a Sequential
        if config.get("class_name") in ("Functional", "Sequential"):
            left_out |= {"module", "registered_name"}
        return {key: comparable(value) for key, value in config.items() if key not in left_out}
    if isinstance(config, list):
        return [comparable(item) for item in config]
    return pytest.approx(config, rel=1e-6) if isinstance(config, float) else config


REFUSED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "not a layer": ("tf_keras", lambda keras: keras.Sequential([3])),
    "a name twice": (
        "tf_keras",
        lambda keras: keras.Sequential([keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="a")]),
    ),
    "pop of nothing": ("tf_keras", lambda keras: keras.Sequential().pop()),
    "build without a shape": ("tf_keras", lambda keras: keras.Sequential([keras.layers.Dense(1)]).build()),
    "build of nothing": ("keras", lambda keras: keras.Sequential(name="m").build((None, 3))),
    "call of nothing": ("keras", lambda keras: keras.Sequential(name="m")(X)),
    "two inputs": ("keras", lambda keras: keras.Sequential([keras.Input((3,)), keras.Input((4,))], name="m")),
    "build for another shape": (
        "keras",
        lambda keras: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="m").build((None, 4)),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_keras_refuses_is_refused_in_its_words(what: str) -> None:
    name, attempt = REFUSED[what]
    texts = []
    for module in (fresh(name), batchdot):
        with pytest.raises((TypeError, ValueError)) as caught:
            attempt(module)
        texts.append((type(caught.value), str(caught.value)))
    assert texts[0] == texts[1]
