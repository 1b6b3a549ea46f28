"""Specifications of the layers in Keras's folder ``preprocessing``: of numbers, and of pictures."""

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spatial import join, split
from batchdot.porting.record.classes.spec import Config, Slot, Spec, same_shape, unknown_shape, whole
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value


def _normalization(config: Config) -> tuple[Slot, ...]:
    if config["mean"] is not None:
        return ()
    return (
        Slot("mean", None, trainable=False),
        Slot("variance", None, trainable=False),
        Slot("count", (), trainable=False),
    )


def _axes_or_none(item: Item, era: Era) -> Value:
    return () if item.value is None or item.value == [] else fields.axes(item, era)


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


_SIZE = {
    "height": Field(fields.positive),
    "width": Field(fields.positive),
    "data_format": fields.data_format(),
}

RANDOM = tuple(
    f"Random{name}"
    for name in [
        "Brightness",
        "ColorDegeneration",
        "ColorJitter",
        "Contrast",
        "Crop",
        "ElasticTransform",
        "Erasing",
        "Flip",
        "GaussianBlur",
        "Grayscale",
        "Height",
        "Hue",
        "Invert",
        "Perspective",
        "Posterization",
        "Rotation",
        "Saturation",
        "Sharpness",
        "Shear",
        "Translation",
        "Width",
        "Zoom",
    ]
)
"""Layers that change pictures at random while training, and nothing at inference."""

RESIZING_RANDOM = frozenset({"RandomCrop", "RandomHeight", "RandomWidth"})

SPECS = (
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
    *(
        Spec(name, infer=unknown_shape if name in RESIZING_RANDOM else same_shape, drops=frozenset({"*"}))
        for name in RANDOM
    ),
)
