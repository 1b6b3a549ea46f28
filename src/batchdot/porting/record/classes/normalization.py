"""Specifications of normalization layers and of the preprocessing of numbers."""

from batchdot.porting.record import fields
from batchdot.porting.record.classes.convolution import join, split
from batchdot.porting.record.classes.core import whole
from batchdot.porting.record.classes.spec import Config, Slot, Spec, trained, unknown_shape
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value

EPSILON = Field(fields.number, 1e-3)
CENTER = {"center": Field(fields.flag, True), "scale": Field(fields.flag, True)}


def _gamma_beta(config: Config, *size: int | str | None) -> list[Slot]:
    slots = []
    shape = size or None
    if config["scale"]:
        slots.append(Slot("gamma", shape))
    if config["center"]:
        slots.append(Slot("beta", shape))
    return slots


def _batch(config: Config) -> tuple[Slot, ...]:
    if config["mode"] == 1:
        return tuple(_gamma_beta(config))
    slots = [
        *_gamma_beta(config),
        Slot("moving_mean", None, trainable=False, suffixes=("running_mean",)),
        Slot("moving_variance", None, trainable=False, suffixes=("running_std",)),
    ]
    if config["renorm"]:
        slots += [
            Slot(f"renorm.{number}", None, trainable=False, suffixes=("*",))
            for number in range(_renorm(config))
        ]
    return tuple(slots)


def _renorm(config: Config) -> int:
    return 4 if config["renorm"] == "TensorFlow 1" else 3


def _finish_batch(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say what versions do differently with one config: frozen layers, the variance that is remembered."""
    if config["renorm"]:
        config["renorm"] = "TensorFlow 1" if era.before(keras2=(9,), tf=(1, 13)) else "TensorFlow 2"
    frozen = era.is_keras3 or (era.family == "tf" and era.version >= (2, 0))
    variance = {"keras1": "population", "keras2": "sample", "tf": "sample_if_fused", "keras3": "population"}
    return {**config, "frozen_infers": frozen, "running_variance": variance[era.family]}


def _finish_unit(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say how short a vector is divided by at least: Keras 3 bounds the norm, TensorFlow its square."""
    return {**config, "epsilon": 1e-12 if era.is_keras3 else 1e-6}


def _renorm_flag(item: Item, era: Era) -> Value:
    return item.flag()


def _layer_norm(config: Config) -> tuple[Slot, ...]:
    slots = _gamma_beta(config)
    return tuple(slot for slot in slots if not (config["rms_scaling"] and slot.role == "beta"))


def _group_norm(config: Config) -> tuple[Slot, ...]:
    return tuple(_gamma_beta(config))


def _normalization(config: Config) -> tuple[Slot, ...]:
    if config["mean"] is not None:
        return ()
    return (
        Slot("mean", None, trainable=False),
        Slot("variance", None, trainable=False),
        Slot("count", (), trainable=False),
    )


def _groups(item: Item, era: Era) -> Value:
    """At least one group, or -1 for one of each channel."""
    return -1 if item.value == -1 else item.integer(1)


def _axes_or_none(item: Item, era: Era) -> Value:
    return () if item.value is None or item.value == [] else fields.axes(item, era)


def _axis_or_axes(item: Item, era: Era) -> Value:
    found = fields.axes(item, era)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


def _encoded(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None or config["output_mode"] == "int":
        return (shape,)
    tokens = config.get("num_tokens")
    size = tokens if isinstance(tokens, int) else None
    if config["output_mode"] == "one_hot":
        return ((*(shape[:-1] if shape and shape[-1] == 1 else shape), size),)
    return ((*shape[:-1], size) if len(shape) > 1 else (size,),)


def _finish_discretization(config: dict[str, Value], era: Era) -> dict[str, Value]:
    bins = config["bin_boundaries"]
    return {**config, "num_tokens": len(bins) + 1 if isinstance(bins, tuple) else None}


def _resized(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None or len(shape) != 4:
        return (None,)
    return (
        join(config, shape[0], (whole(config, "height"), whole(config, "width")), split(config, shape)[1]),
    )


_TRAINED = trained("gamma", "beta")
_SIZE = {
    "height": Field(fields.positive),
    "width": Field(fields.positive),
    "data_format": fields.data_format(),
}

SPECS = (
    Spec(
        "BatchNormalization",
        {
            "axis": Field(_axis_or_axes, -1),
            "momentum": Field(fields.number, 0.99),
            "epsilon": EPSILON,
            **CENTER,
            "mode": Field(fields.natural, 0),
            "renorm": Field(_renorm_flag, False),
            **_TRAINED,
        },
        slots=_batch,
        old=("BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization"),
        finish=_finish_batch,
        drops=frozenset(
            {
                "fused",
                "virtual_batch_size",
                "adjustment",
                "renorm_clipping",
                "renorm_momentum",
                "synchronized",
            }
        ),
    ),
    Spec(
        "LayerNormalization",
        {
            "axis": Field(fields.axes, (-1,)),
            "epsilon": EPSILON,
            **CENTER,
            "rms_scaling": Field(fields.flag, False),
            **_TRAINED,
        },
        slots=_layer_norm,
    ),
    Spec(
        "GroupNormalization",
        {
            "groups": Field(_groups, 32),
            "axis": Field(fields.axis, -1),
            "epsilon": EPSILON,
            **CENTER,
            **_TRAINED,
        },
        slots=_group_norm,
    ),
    Spec("UnitNormalization", {"axis": Field(fields.axes, (-1,))}, finish=_finish_unit),
    Spec(
        "RMSNormalization",
        {"axis": Field(fields.axes, (-1,)), "epsilon": Field(fields.number, 1e-6)},
        slots=lambda config: (Slot("scale", None),),
    ),
    Spec(
        "Normalization",
        {
            "axis": Field(_axes_or_none, (-1,)),
            "mean": Field(fields.optional(fields.numbers), None),
            "variance": Field(fields.optional(fields.numbers), None),
            "invert": Field(fields.flag, False),
        },
        slots=_normalization,
    ),
    Spec("Rescaling", {"scale": Field(fields.numbers), "offset": Field(fields.numbers, 0.0)}),
    Spec(
        "CategoryEncoding",
        {
            "num_tokens": Field(fields.optional(fields.positive), None, ("max_tokens",)),
            "output_mode": Field(fields.choice("multi_hot", "one_hot", "count", "binary"), "multi_hot"),
            "sparse": Field(fields.flag, False),
        },
        infer=_encoded,
        mask="stop",
    ),
    Spec(
        "Discretization",
        {
            "bin_boundaries": Field(fields.optional(fields.numbers), None, ("bins",)),
            "output_mode": Field(fields.choice("int", "one_hot", "multi_hot", "count"), "int"),
            "sparse": Field(fields.flag, False),
        },
        infer=_encoded,
        finish=_finish_discretization,
        drops=frozenset({"num_bins", "epsilon"}),
        mask="stop",
    ),
    Spec(
        "Resizing",
        {
            **_SIZE,
            "interpolation": Field(fields.text, "bilinear"),
            "crop_to_aspect_ratio": Field(fields.flag, False),
            "pad_to_aspect_ratio": Field(fields.flag, False),
            "fill_mode": Field(fields.text, "constant"),
            "fill_value": Field(fields.number, 0.0),
            "antialias": Field(fields.flag, False),
        },
        infer=_resized,
        mask="stop",
    ),
    Spec("CenterCrop", _SIZE, infer=_resized, mask="stop"),
)

RANDOM = tuple(
    f"Random{name}"
    for name in (
        *("Brightness", "ColorDegeneration", "ColorJitter", "Contrast", "Crop", "ElasticTransform"),
        *(
            "Erasing",
            "Flip",
            "GaussianBlur",
            "Grayscale",
            "Height",
            "Hue",
            "Invert",
            "Perspective",
            "Posterization",
        ),
        *("Rotation", "Saturation", "Sharpness", "Shear", "Translation", "Width", "Zoom"),
    )
)
"""Layers that change pictures at random while training, and nothing at inference."""

RESIZING_RANDOM = frozenset({"RandomCrop", "RandomHeight", "RandomWidth"})

RANDOM_SPECS = tuple(
    Spec(name, infer=unknown_shape if name in RESIZING_RANDOM else Spec(name).infer, drops=frozenset({"*"}))
    for name in RANDOM
)
