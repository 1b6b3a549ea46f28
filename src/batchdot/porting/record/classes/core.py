"""Specifications of core, activation, regularization and reshaping layers."""

from math import prod

from batchdot.porting.record import fields
from batchdot.porting.record.activations import LAYERS, parse_activation
from batchdot.porting.record.classes.spec import (
    ACTIVATION,
    DATA_FORMAT,
    USE_BIAS,
    Config,
    Slot,
    Spec,
    trained,
    unknown_shape,
)
from batchdot.porting.record.dtypes import dtype_name
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value


def whole(config: Config, key: str) -> int:
    """Return an argument that is an integer."""
    value = config[key]
    assert isinstance(value, int)
    return value


def whole_tuple(config: Config, key: str) -> tuple[int, ...]:
    """Return an argument that is a tuple of integers."""
    value = config[key]
    assert isinstance(value, tuple)
    return tuple(item for item in value if isinstance(item, int))


def bias(config: Config, *shape: int | str | None) -> tuple[Slot, ...]:
    """Return the slot of a bias, where the layer has one."""
    return (Slot("bias", shape, suffixes=("b",)),) if config["use_bias"] else ()


def _dense(config: Config) -> tuple[Slot, ...]:
    units = whole(config, "units")
    return (Slot("kernel", ("in", units), suffixes=("W",)), *bias(config, units))


def _dense_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    return (None if shape is None else (*shape[:-1], whole(config, "units")),)


def _einsum_dense(config: Config) -> tuple[Slot, ...]:
    slots = (Slot("kernel", None),)
    return (*slots, Slot("bias", None)) if config["bias_axes"] is not None else slots


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


def _flatten(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None:
        return ((None, None),)
    return ((shape[0] if shape else None, product(shape[1:])),)


def product(shape: tuple[int | None, ...]) -> int | None:
    """Return the number of elements, None where a size is unknown."""
    return None if any(size is None for size in shape) else prod(size for size in shape if size is not None)


def _reshape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    target = whole_tuple(config, "target_shape")
    shape = shapes[0] if shapes else None
    count = None if shape is None else product(shape[1:])
    rest = prod(size for size in target if size != -1)
    free = None if count is None or not rest else count // rest
    return ((shape[0] if shape else None, *(free if size == -1 else size for size in target)),)


def _permute(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    dims = whole_tuple(config, "dims")
    shape = shapes[0] if shapes else None
    if shape is None or sorted(dims) != list(range(1, len(shape))):
        return (None,)
    return ((shape[0], *(shape[axis] for axis in dims)),)


def _repeat(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None or len(shape) != 2:
        return (None,)
    return ((shape[0], whole(config, "n"), shape[1]),)


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

SHAPES = (
    Spec("Flatten", {"data_format": DATA_FORMAT}, infer=_flatten, mask="stop"),
    Spec("Reshape", {"target_shape": Field(fields.target_shape)}, infer=_reshape, mask="stop"),
    Spec("Permute", {"dims": Field(fields.axes)}, infer=_permute, mask="stop"),
    Spec("RepeatVector", {"n": Field(fields.positive)}, infer=_repeat, mask="stop"),
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
        infer=_dense_shape,
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

SPECS = (INPUT, *ELEMENTWISE, *SHAPES, *LEARNED, *UNPORTABLE)
