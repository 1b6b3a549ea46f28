"""Parse the activation in a layer's config: a function with all of its parameters."""

from collections.abc import Mapping
from typing import Final

from batchdot.porting.record import fields
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Activation, FrozenMap, Value

PLAIN: Final = frozenset(
    [
        "linear",
        "relu",
        "sigmoid",
        "tanh",
        "softplus",
        "softsign",
        "selu",
        "exponential",
        "silu",
        "mish",
        "relu6",
        "hard_silu",
        "log_softmax",
        "log_sigmoid",
        "hard_tanh",
        "tanh_shrink",
        "sparse_plus",
        "sparsemax",
        "sparse_sigmoid",
    ]
)
"""Activations without parameters that changed."""

ALIASES: Final = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "log_softmax_v2": "log_softmax",
    "softmax_v2": "softmax",
    "sigmoid_v2": "sigmoid",
    "gelu_v2": "gelu",
    "logsigmoid": "log_sigmoid",
}

PARAMETERS: Final[dict[str, dict[str, Value]]] = {
    "softmax": {"axis": -1},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "gelu": {"approximate": False},
    "leaky_relu": {"negative_slope": 0.2},
    "glu": {"axis": -1},
    "hard_shrink": {"threshold": 0.5},
    "soft_shrink": {"threshold": 0.5},
    "squareplus": {"b": 4.0},
}
"""What a bare name means by its parameters, in every version that has it."""

HARD_SIGMOID_2: Final[FrozenMap[str, Value]] = FrozenMap({"slope": 0.2, "offset": 0.5})
HARD_SIGMOID_3: Final[FrozenMap[str, Value]] = FrozenMap({"slope": 1 / 6, "offset": 0.5})
"""clip(slope * x + offset, 0, 1): up to tf_keras 2.21, and in Keras 3."""


LAYERS: Final[Mapping[str, tuple[str, Mapping[str, Field]]]] = {
    "ReLU": (
        "relu",
        {
            "max_value": Field(fields.optional(fields.number), None),
            "negative_slope": Field(fields.optional(fields.number), 0.0),
            "threshold": Field(fields.optional(fields.number), 0.0),
        },
    ),
    "LeakyReLU": ("leaky_relu", {"negative_slope": Field(fields.number, 0.3, ("alpha",))}),
    "ELU": ("elu", {"alpha": Field(fields.number, 1.0)}),
    "ThresholdedReLU": ("threshold", {"theta": Field(fields.number, 1.0)}),
    "Softmax": ("softmax", {"axis": Field(fields.axes, (-1,))}),
}
"""Layers that a config may name as an activation: the function that each is, and its arguments."""


def named(name: str, era: Era) -> Activation:
    """Return what the name of an activation means; an unknown one is the user's own.

    >>> named("hard_sigmoid", Era.of("2.2.4", ""))
    hard_sigmoid(slope=0.2, offset=0.5)
    """
    name = ALIASES.get(name, name)
    if name == "hard_sigmoid":
        return Activation(name, HARD_SIGMOID_3 if era.is_keras3 else HARD_SIGMOID_2)
    if name in PARAMETERS:
        return Activation(name, FrozenMap(PARAMETERS[name]))
    return Activation(name, is_custom=name not in PLAIN)


def parse_activation(item: Item, era: Era) -> Activation:
    """Return the activation that a config means.

    Raises:
        ModelFileError: it is neither a name nor an object.
    """
    value = item.value
    if value is None:
        return Activation("linear")
    if isinstance(value, str):
        return named(item.name(), era)
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        raise item.wrong("the name of an activation, or an object")
    name = item.get("class_name").name()
    if name == "function":
        return _function(item, era)
    registered = value.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return Activation(name, is_custom=True)
    return _layer(name, item, era)


def _function(item: Item, era: Era) -> Activation:
    """Return a function that Keras 3 wrote with its module; only names from Keras itself are known."""
    name = item.get("config").name()
    module = item.get("module").value
    if module in (None, "builtins") or (isinstance(module, str) and module.startswith("keras.")):
        found = named(name, era)
        registered = item.get("registered_name").value
        return found if registered in (None, name, "function") else Activation(name, is_custom=True)
    return Activation(name, is_custom=True)


def _layer(name: str, item: Item, era: Era) -> Activation:
    """Return the function that an activation layer is, where a layer was given as an activation."""
    if name == "Activation":
        return parse_activation(item.get("config").get("activation"), era)
    if name not in LAYERS:
        return Activation(name, is_custom=True)
    function, arguments = LAYERS[name]
    config = item.get("config")
    parameters = {key: field.read(key, config, era) for key, field in arguments.items()}
    if name == "Softmax":
        axes = parameters["axis"]
        parameters = {"axis": axes[0] if isinstance(axes, tuple) and len(axes) == 1 else axes}
    if name == "ReLU" and parameters == {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}:
        parameters = {}
    return Activation(function, FrozenMap(parameters))
