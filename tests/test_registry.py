"""What the four registries share: names, aliases, configs in every form, custom objects, errors."""

import json

import pytest
import torch
from tests.support.live_keras import live_keras, tf_keras

from batchdot import activations, constraints, initializers, regularizers
from batchdot.registry import Registry, custom_object_scope

MODULES = {
    "initializers": initializers,
    "regularizers": regularizers,
    "constraints": constraints,
    "activations": activations,
}

# A name, what it means; the first of each line is the class or function itself.
NAMES = {
    "initializers": [
        "Zeros zeros zero ZerosV2",
        "Ones ones one OnesV2",
        "Constant constant",
        "RandomNormal random_normal normal",
        "RandomUniform random_uniform uniform",
        "TruncatedNormal truncated_normal",
        "VarianceScaling variance_scaling VarianceScalingV2",
        "GlorotUniform glorot_uniform GlorotUniformV2 glorot_uniformV2",
        "GlorotNormal glorot_normal",
        "LecunUniform lecun_uniform",
        "LecunNormal lecun_normal",
        "HeUniform he_uniform",
        "HeNormal he_normal",
        "Orthogonal orthogonal OrthogonalInitializer",
        "Identity identity IdentityInitializer",
    ],
    "regularizers": ["L1 l1", "L2 l2", "L1L2 l1l2", "OrthogonalRegularizer orthogonal_regularizer"],
    "constraints": [
        "MaxNorm max_norm maxnorm",
        "NonNeg non_neg nonneg",
        "UnitNorm unit_norm unitnorm",
        "MinMaxNorm min_max_norm",
    ],
    "activations": [
        *[
            "linear",
            "relu",
            "leaky_relu",
            "relu6",
            "sigmoid",
            "hard_sigmoid",
            "hard_sigmoid_keras3",
            "tanh",
            "softmax",
            "log_softmax",
        ],
        *["softplus", "softsign", "elu", "selu", "gelu", "mish", "exponential"],
        "swish silu",
    ],
}
EVERY_NAME = [
    (kind, line.split()[0], name) for kind, lines in NAMES.items() for line in lines for name in line.split()
]

# Things with arguments that differ from the defaults, by what makes them in Keras and here.
MADE = {
    "initializers": [
        ("Zeros", {}),
        ("Ones", {}),
        ("Constant", {"value": 2}),
        ("Constant", {"value": [1.0, 2.0]}),
        ("RandomNormal", {"mean": 1.0, "stddev": 0.5, "seed": 3}),
        ("RandomUniform", {"minval": -2.0, "maxval": 3.0}),
        ("TruncatedNormal", {"mean": 1.0, "stddev": 0.5}),
        ("VarianceScaling", {"scale": 2.0, "mode": "fan_avg", "distribution": "uniform", "seed": 1}),
        ("VarianceScaling", {"distribution": "normal"}),
        ("GlorotUniform", {}),
        ("GlorotNormal", {"seed": 3}),
        ("LecunUniform", {}),
        ("LecunNormal", {}),
        ("HeUniform", {}),
        ("HeNormal", {}),
        ("Orthogonal", {"gain": 2.0}),
        ("Identity", {"gain": 2.0}),
    ],
    "regularizers": [
        ("L1", {"l1": 0.5}),
        ("L2", {"l2": 0.25}),
        ("L1L2", {"l1": 0.5}),
        ("L1L2", {"l2": 0.5}),
        ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
    ],
    "constraints": [
        ("MaxNorm", {"max_value": 3, "axis": [0, 1]}),
        ("NonNeg", {}),
        ("UnitNorm", {"axis": 1}),
        ("MinMaxNorm", {"min_value": 0.5, "max_value": 2.0, "rate": 0.5, "axis": 1}),
    ],
}
EVERY_MADE = [(kind, name, arguments) for kind, rows in MADE.items() for name, arguments in rows]


@pytest.mark.parametrize(("kind", "name", "alias"), EVERY_NAME)
def test_every_alias_names_its_thing(kind, name, alias):
    module = MODULES[kind]
    found = module.get(alias)
    assert found is getattr(module, name) if kind == "activations" else type(found) is getattr(module, name)


def keras_names(kind):
    """Return every public name, and the name of what it stands for."""
    module = getattr(tf_keras, kind)
    return {name: getattr(module, name).__name__ for name in dir(module) if not name.startswith("_")}


@pytest.mark.parametrize("kind", MODULES)
def test_names_as_tf_keras(kind, keras_says):
    for name, stands_for in keras_says(keras_names, kind).items():
        if name not in {"RadialConstraint", "radial_constraint"}:  # of convolutions
            assert getattr(MODULES[kind], name).__name__ == stands_for, name


def keras_config(origin, kind, name, arguments):
    module = getattr(live_keras(origin), kind)
    return json.loads(json.dumps(module.serialize(getattr(module, name)(**arguments))))


def keras_config_of_config(origin, kind, config):
    module = getattr(live_keras(origin), kind)
    return json.loads(json.dumps(module.serialize(module.get(config))))


@pytest.mark.parametrize("origin", ["tf_keras", "keras"])
@pytest.mark.parametrize(("kind", "name", "arguments"), EVERY_MADE)
def test_config_to_and_from_keras(origin, kind, name, arguments, keras_says):
    ours = MODULES[kind]
    if origin == "keras" and name == "Identity":
        arguments = {}  # Keras 3 forgets the gain in its config
    mine = getattr(ours, name)(**arguments)
    config = keras_says(keras_config, origin, kind, name, arguments)
    assert repr(ours.get(config)) == repr(mine)
    assert repr(ours.get({key: config[key] for key in ("class_name", "config")})) == repr(mine)
    written = json.loads(json.dumps(ours.serialize(mine)))
    if origin == "tf_keras":
        assert written == config
    if not (origin == "keras" and name == "Identity"):
        assert keras_says(keras_config_of_config, origin, kind, written) == config


@pytest.mark.parametrize(("kind", "name", "arguments"), EVERY_MADE)
def test_config_round_trip(kind, name, arguments):
    cls = getattr(MODULES[kind], name)
    thing = cls(**arguments)
    assert repr(cls.from_config(thing.get_config())) == repr(thing)
    assert repr(MODULES[kind].deserialize(MODULES[kind].serialize(thing))) == repr(thing)


ACTIVATIONS = [line.split()[0] for line in NAMES["activations"]]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_serialized_as_name(name):
    assert activations.serialize(activations.get(name)) == name


@pytest.mark.keras
@pytest.mark.parametrize("origin", ["tf_keras", "keras"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "hard_sigmoid_keras3"])
def test_activation_name_read_by_keras(origin, name):
    assert callable(live_keras(origin).activations.get(name))


@pytest.mark.parametrize("kind", MODULES)
def test_get_none_callable_class_instance(kind):
    module = MODULES[kind]

    class Callable:
        def __call__(self, x):
            return x

    instance = Callable()
    assert module.get(None) is (activations.linear if kind == "activations" else None)
    assert module.get(instance) is instance
    assert module.get(torch.abs) is torch.abs
    assert type(module.get(Callable)) is Callable


@pytest.mark.parametrize("kind", MODULES)
def test_custom_functions(kind):
    module = MODULES[kind]

    def mine(x, dtype=None):
        return x

    config = module.serialize(mine)
    assert config["config"] == "mine"
    for form in ("mine", config, {"class_name": "function", "config": "mine"}):
        assert module.get(form, custom_objects={"mine": mine}) is mine
        with custom_object_scope({"mine": mine}):
            assert module.deserialize(form) is mine
        with pytest.raises(ValueError, match=r"Unknown .* 'mine'"):
            module.get(form)


@pytest.mark.keras
@pytest.mark.parametrize("kind", MODULES)
def test_custom_function_read_by_tf_keras(kind):
    def mine(x, dtype=None):
        return x

    config = MODULES[kind].serialize(mine)
    assert getattr(tf_keras, kind).deserialize(config, custom_objects={"mine": mine}) is mine


BASES = {"initializers": "Initializer", "regularizers": "Regularizer", "constraints": "Constraint"}


def custom_class(module, base):
    class Mine(getattr(module, base)):
        def __init__(self, a=1):
            self.a = a

        def get_config(self):
            return {"a": self.a}

    return Mine


def keras_custom_config(kind):
    module = getattr(tf_keras, kind)
    return module.serialize(custom_class(module, BASES[kind])(3))


@pytest.mark.parametrize("kind", BASES)
def test_custom_class_serialized_as_tf_keras(kind, keras_says):
    module = MODULES[kind]
    cls = custom_class(module, BASES[kind])
    config = module.serialize(cls(3))
    assert config == keras_says(keras_custom_config, kind)
    registered = config | {"registered_name": "package>Mine"}
    for form in (config, registered, {"class_name": "Mine", "config": {"a": 3}}):
        assert module.get(form, custom_objects={"Mine": cls}).a == 3


def test_custom_objects_first_and_nested():
    class Outer:
        @classmethod
        def from_config(cls, config):
            return regularizers.get(config["inner"])

        def __call__(self): ...

    class Inner(regularizers.L2): ...

    config = {"class_name": "Outer", "config": {"inner": {"class_name": "L2", "config": {"l2": 0.5}}}}
    found = initializers.get(config, custom_objects={"Outer": Outer, "L2": Inner})
    assert type(found) is Inner
    assert type(regularizers.get("L2")) is regularizers.L2


def test_scopes_nest_and_end():
    with custom_object_scope({"a": torch.abs}), custom_object_scope({"b": torch.exp}):
        assert activations.get("a") is torch.abs
        assert activations.get("b") is torch.exp
    with pytest.raises(ValueError, match="Unknown activation 'a'"):
        activations.get("a")


def test_function_of_registered_name_keeps_its_module():
    config = activations.serialize(torch.nn.functional.leaky_relu)  # its slope is 0.01, Keras's 0.2
    assert config["config"] == "torch.nn.functional.leaky_relu"
    with pytest.raises(ValueError, match=r"Unknown activation 'torch\.nn\.functional\.leaky_relu'"):
        activations.get(config)


NOT_A_CONFIG = "The config for the initializer should be a dictionary of `class_name` and `config`."
ERRORS = [
    ("glorot_unifrom", ValueError, "Unknown initializer 'glorot_unifrom', did you mean 'glorot_uniform'? "),
    ("qqq", ValueError, "Unknown initializer 'qqq'. Known are: Constant, GlorotNormal, GlorotUniform, "),
    ({"class_name": "Nope", "config": {}}, ValueError, "Unknown initializer 'Nope'. Known are: "),
    ({"config": {}}, ValueError, NOT_A_CONFIG),
    ({"class_name": "Zeros", "config": [1]}, ValueError, NOT_A_CONFIG),
    (
        {"class_name": "Zeros", "config": {"a": 1}},
        TypeError,
        "Cannot make the initializer 'Zeros' of {'a': 1}: ",
    ),
    (3.0, ValueError, "Could not interpret initializer identifier: 3.0. Expected a name, a config, "),
]


@pytest.mark.parametrize(("identifier", "kind", "text"), ERRORS)
def test_errors(identifier, kind, text):
    with pytest.raises(kind) as caught:
        initializers.get(identifier)
    assert str(caught.value).startswith(text)


def test_a_function_takes_no_config():
    with pytest.raises(ValueError, match=r"The activation 'relu' takes no config\. Received: \{'alpha': 1\}"):
        activations.get({"class_name": "relu", "config": {"alpha": 1}})


def test_what_has_no_config_is_not_written():
    class Bare:
        def __call__(self): ...

    with pytest.raises(TypeError, match="it has no get_config"):
        Registry("thing", "things").serialize(Bare())
    assert Registry("thing", "things").serialize(None) is None


def test_malformed_deserialize():
    with pytest.raises(ValueError, match="Received: 3"):
        initializers.deserialize(3)
