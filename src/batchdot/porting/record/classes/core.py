"""Specifications of the layers in Keras's folders ``core``, ``activations`` and ``regularization``."""

import re
from collections.abc import Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.activations import LAYERS, parse_activation
from batchdot.porting.record.classes.spec import (
    ACTIVATION,
    DATA_FORMAT,
    USE_BIAS,
    Config,
    Slot,
    Spec,
    bias,
    last_units,
    trained,
    unknown_shape,
    whole,
)
from batchdot.porting.record.dtypes import dtype_name
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value


def _dense(config: Config) -> tuple[Slot, ...]:
    units = whole(config, "units")
    return (Slot("kernel", ("in", units), suffixes=("W",)), *bias(config, units))


EINSUM = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)")


def _einsum_dense(config: Config) -> tuple[Slot, ...]:
    """The letters of the equation are sizes; with an ellipsis only the file knows them."""
    axes, match = config["bias_axes"], EINSUM.fullmatch(str(config["equation"]))
    kernel, bias = (None, None) if match is None else (tuple(match[2]), _einsum_bias(match[3], str(axes)))
    slots = (Slot("kernel", kernel),)
    return (*slots, Slot("bias", bias)) if axes is not None else slots


def _einsum_bias(output: str, axes: str) -> tuple[str | int, ...]:
    first = min((output.find(letter) for letter in axes if letter in output), default=len(output))
    return tuple(letter if letter in axes else 1 for letter in output[first:])


def _einsum_sizes(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    shape = shapes[0] if shapes else None
    match = EINSUM.fullmatch(str(config["equation"]))
    return dict(zip(match[1], shape, strict=False)) if match and shape else {}


def _einsum_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    output, shape = config["output_shape"], shapes[0] if shapes else None
    equation = str(config["equation"])
    target = equation.split("->")[-1]
    source = equation.split(",")[0]
    if not isinstance(output, tuple) or shape is None or "..." in equation or len(source) != len(shape):
        return (None,)
    sizes = dict(zip(source, shape, strict=True))
    declared = (*([None] * (len(target) - len(output))), *output)
    return (
        tuple(
            size if isinstance(size, int) else sizes.get(letter)
            for letter, size in zip(target, declared, strict=False)
        ),
    )


def _embedding_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    return (None if shape is None else (*shape, whole(config, "output_dim")),)


def _prelu(config: Config) -> tuple[Slot, ...]:
    return (Slot("alpha", None, suffixes=("alphas",)),)


def _finish_input(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Leave the batch size free: files of Sequentials fix it to that of the first batch they saw."""
    shape = config["batch_shape"]
    free = (None, *shape[1:]) if isinstance(shape, tuple) and shape else shape
    return {**config, "batch_shape": free, "dtype": config["dtype"] or "float32"}


def _batch_shape(item: Item, era: Era) -> Value:
    return None if item.value is None else item.shape()


def _dtype(item: Item, era: Era) -> Value:
    return dtype_name(item)


INPUT = Spec(
    "InputLayer",
    {
        "batch_shape": Field(_batch_shape, None, ("batch_input_shape",)),
        "dtype": Field(_dtype, "float32", ("input_dtype",)),
        "sparse": Field(fields.flag, False),
        "ragged": Field(fields.flag, False),
        "optional": Field(fields.flag, False),
    },
    finish=_finish_input,
)

NOISE = {"rate": Field(fields.number, 0.5, ("p",))}
NOISE_SHAPE = {"noise_shape": Field(fields.optional(fields.shape), None)}

ELEMENTWISE = (
    Spec("Activation", {"activation": Field(parse_activation)}),
    *(Spec(name, arguments) for name, (_, arguments) in LAYERS.items() if name != "Softmax"),
    Spec("Softmax", LAYERS["Softmax"][1], mask="softmax"),
    Spec(
        "PReLU",
        {"shared_axes": Field(fields.optional(fields.axes), None), **trained("alpha")},
        slots=_prelu,
        drops=frozenset({"alpha_initializer"}),
    ),
    Spec("Dropout", {**NOISE, **NOISE_SHAPE}),
    Spec("SpatialDropout1D", NOISE, drops=frozenset({"noise_shape"})),
    Spec("SpatialDropout2D", {**NOISE, "data_format": DATA_FORMAT}, drops=frozenset({"noise_shape"})),
    Spec("SpatialDropout3D", {**NOISE, "data_format": DATA_FORMAT}, drops=frozenset({"noise_shape"})),
    Spec("AlphaDropout", {**NOISE, **NOISE_SHAPE}),
    Spec("GaussianDropout", NOISE),
    Spec("GaussianNoise", {"stddev": Field(fields.number, 1.0, ("sigma",))}),
    Spec("ActivityRegularization", {"l1": Field(fields.number, 0.0), "l2": Field(fields.number, 0.0)}),
    Spec("Identity"),
    Spec("Masking", {"mask_value": Field(fields.number, 0.0)}, mask="masking"),
)

LEARNED = (
    Spec(
        "Dense",
        {
            "units": Field(fields.positive),
            "activation": ACTIVATION,
            "use_bias": USE_BIAS,
            **trained("kernel", "bias"),
        },
        slots=_dense,
        infer=last_units,
        drops=frozenset({"lora_rank", "lora_alpha"}),
    ),
    Spec(
        "EinsumDense",
        {
            "equation": Field(fields.text),
            "output_shape": Field(fields.shape),
            "activation": ACTIVATION,
            "bias_axes": Field(fields.optional(fields.text), None),
            **trained("kernel", "bias"),
        },
        slots=_einsum_dense,
        infer=_einsum_shape,
        symbols=_einsum_sizes,
        drops=frozenset({"lora_rank", "lora_alpha"}),
    ),
    Spec(
        "Embedding",
        {
            "input_dim": Field(fields.positive),
            "output_dim": Field(fields.positive),
            "mask_zero": Field(fields.flag, False),
            "embeddings_regularizer": Field(fields.penalty, None, ("W_regularizer",)),
            "embeddings_constraint": Field(fields.penalty, None, ("W_constraint",)),
            "activity_regularizer": Field(fields.penalty, None),
        },
        slots=lambda config: (
            Slot("embeddings", (whole(config, "input_dim"), whole(config, "output_dim")), suffixes=("W",)),
        ),
        infer=_embedding_shape,
        drops=frozenset({"input_length", "lora_rank", "lora_alpha", "dropout"}),
        mask="embedding",
    ),
)

CODE = "it holds code, which is not run"
STRINGS = "it works on strings or looks values up in a vocabulary; do that before the model"
FOREIGN = "it holds a model of another library, which is not loaded"

UNPORTABLE = (
    Spec("Lambda", infer=unknown_shape, problem=CODE, mask="stop"),
    *(
        Spec(name, infer=unknown_shape, problem=STRINGS, mask="stop")
        for name in ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing")
    ),
    *(
        Spec(name, infer=unknown_shape, problem=FOREIGN, mask="stop")
        for name in ("TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "KerasLayer")
    ),
)

SPECS = (INPUT, *ELEMENTWISE, *LEARNED, *UNPORTABLE)
