"""Specifications of convolutions and pooling, and of layers that pad, crop and resize images."""

from collections.abc import Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.classes.core import bias, whole, whole_tuple
from batchdot.porting.record.classes.spec import (
    ACTIVATION,
    DATA_FORMAT,
    USE_BIAS,
    Config,
    Slot,
    Spec,
    sizes_field,
    trained,
)
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value


def split(config: Config, shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], int | None]:
    """Return the spatial sizes and the channels of a shape."""
    if config.get("data_format") == "channels_first":
        return shape[2:], shape[1] if len(shape) > 1 else None
    return shape[1:-1], shape[-1]


def join(config: Config, batch: int | None, space: tuple[int | None, ...], channels: int | None) -> Shape:
    """Return the shape that `split` takes apart."""
    if config.get("data_format") == "channels_first":
        return (batch, channels, *space)
    return (batch, *space, channels)


def window(size: int | None, kernel: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """Return how many windows fit along one axis."""
    if size is None:
        return None
    if padding == "same" or padding == "causal":
        return -(-size // stride)
    return max(-(-(size - (kernel - 1) * dilation) // stride), 0)


def _channels(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    shape = shapes[0] if shapes else None
    if shape is None or len(shape) < 3:
        return {}
    channels = split(config, shape)[1]
    groups = config.get("groups", 1)
    multiplier = config.get("depth_multiplier", 1)
    sizes: dict[str, int | None] = {"in": channels}
    if channels is not None and isinstance(groups, int) and isinstance(multiplier, int):
        sizes |= {"in/groups": channels // groups, "in*multiplier": channels * multiplier}
    return sizes


def _conv(config: Config) -> tuple[Slot, ...]:
    filters = whole(config, "filters")
    kernel: tuple[int | str | None, ...] = (*whole_tuple(config, "kernel_size"), "in/groups", filters)
    return (Slot("kernel", kernel, suffixes=("W",)), *bias(config, filters))


def _transposed(config: Config) -> tuple[Slot, ...]:
    filters = whole(config, "filters")
    kernel: tuple[int | str | None, ...] = (*whole_tuple(config, "kernel_size"), filters, "in")
    return (Slot("kernel", kernel, suffixes=("W",)), *bias(config, filters))


def _depthwise(config: Config) -> tuple[Slot, ...]:
    multiplier = whole(config, "depth_multiplier")
    kernel: tuple[int | str | None, ...] = (*whole_tuple(config, "kernel_size"), "in", multiplier)
    return (Slot("kernel", kernel, suffixes=("depthwise_kernel",)), *bias(config, "in*multiplier"))


def _separable(config: Config) -> tuple[Slot, ...]:
    size, filters = whole_tuple(config, "kernel_size"), whole(config, "filters")
    return (
        Slot("depthwise_kernel", (*size, "in", whole(config, "depth_multiplier"))),
        Slot("pointwise_kernel", (*(1 for _ in size), "in*multiplier", filters)),
        *bias(config, filters),
    )


def _local(config: Config) -> tuple[Slot, ...]:
    """One matrix a position; implementation 2 stores a full matrix, 3 the numbers of it that are not zero."""
    rank, filters = len(whole_tuple(config, "kernel_size")), whole(config, "filters")
    shapes: Mapping[Value, tuple[int | None, ...]] = {1: (None, None, filters), 3: (None,)}
    kernel = shapes.get(config["implementation"], (None,) * (2 * rank + 2))
    return (
        Slot("kernel", kernel, suffixes=("W",)),
        *bias(config, *(None for _ in range(rank)), filters),
    )


def _conv_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    kernel = whole_tuple(config, "kernel_size")
    if shape is None or len(shape) != len(kernel) + 2:
        return (None,)
    space, channels = split(config, shape)
    strides, padding = whole_tuple(config, "strides"), str(config["padding"])
    dilation = whole_tuple(config, "dilation_rate") if "dilation_rate" in config else (1,) * len(kernel)
    sizes = tuple(
        window(*each) for each in zip(space, kernel, strides, (padding,) * len(kernel), dilation, strict=True)
    )
    multiplier = config.get("depth_multiplier")
    filters = config.get("filters")
    if filters is None and isinstance(multiplier, int) and channels is not None:
        filters = channels * multiplier
    return (join(config, shape[0], sizes, filters if isinstance(filters, int) else None),)


def _transposed_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    kernel = whole_tuple(config, "kernel_size")
    if shape is None or len(shape) != len(kernel) + 2:
        return (None,)
    declared = config.get("output_shape")
    if isinstance(declared, tuple):
        return ((shape[0], *(size if isinstance(size, int) else None for size in declared[1:])),)
    space, _ = split(config, shape)
    strides, padding = whole_tuple(config, "strides"), config["padding"]
    dilation = whole_tuple(config, "dilation_rate")
    extra = config["output_padding"]
    sizes: list[int | None] = []
    for axis, size in enumerate(space):
        if size is None:
            sizes.append(None)
            continue
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        if isinstance(extra, tuple) and isinstance(extra[axis], int):
            cut = reach // 2 if padding == "same" else 0
            sizes.append((size - 1) * strides[axis] + reach - 2 * cut + _int(extra[axis]))
        elif padding == "same":
            sizes.append(size * strides[axis])
        else:
            sizes.append(size * strides[axis] + max(reach - strides[axis], 0))
    return (join(config, shape[0], tuple(sizes), whole(config, "filters")),)


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _pool_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    kernel = whole_tuple(config, "pool_size")
    if shape is None or len(shape) != len(kernel) + 2:
        return (None,)
    space, channels = split(config, shape)
    strides, padding = whole_tuple(config, "strides"), str(config["padding"])
    sizes = tuple(window(size, k, s, padding) for size, k, s in zip(space, kernel, strides, strict=True))
    return (join(config, shape[0], sizes, channels),)


def _global_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None or len(shape) < 3:
        return (None,)
    space, channels = split(config, shape)
    if config["keepdims"]:
        return (join(config, shape[0], (1,) * len(space), channels),)
    return ((shape[0], channels),)


def _moved(config: Config, shapes: tuple[Shape, ...], sign: int, key: str) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    pads = config[key]
    if shape is None or not isinstance(pads, tuple) or len(shape) != len(pads) + 2:
        return (None,)
    space, channels = split(config, shape)
    sizes: list[int | None] = []
    for size, pad in zip(space, pads, strict=True):
        both = sum(_int(part) for part in pad) if isinstance(pad, tuple) else 0
        sizes.append(None if size is None else max(size + sign * both, 0))
    return (join(config, shape[0], tuple(sizes), channels),)


def _padded(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    return _moved(config, shapes, 1, "padding")


def _cropped(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    return _moved(config, shapes, -1, "cropping")


def _upsampled(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    factors = whole_tuple(config, "size")
    if shape is None or len(shape) != len(factors) + 2:
        return (None,)
    space, channels = split(config, shape)
    sizes = tuple(
        None if size is None else size * factor for size, factor in zip(space, factors, strict=True)
    )
    return (join(config, shape[0], sizes, channels),)


def _local_symbols(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    return {}


def _adaptive_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    size = whole_tuple(config, "output_size")
    if shape is None or len(shape) != len(size) + 2:
        return (None,)
    return (join(config, shape[0], size, split(config, shape)[1]),)


def _finish_pool(config: dict[str, Value], era: Era) -> dict[str, Value]:
    return {**config, "strides": config["strides"] or config["pool_size"]}


def _finish_upsampling(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say where a pixel's centre is: bilinear resizing was corrected in TensorFlow 1.15."""
    return {**config, "half_pixel_centers": not era.before(keras2=(9,), tf=(1, 14))}


PADDING = Field(fields.choice("valid", "same", "causal"), "valid", ("border_mode",))
CONV_TRAINED = trained("kernel", "bias")


def conv_fields(rank: int) -> dict[str, Field]:
    """Return the arguments of a convolution over ``rank`` axes."""
    return {
        "filters": Field(fields.positive),
        "kernel_size": Field(fields.sizes(rank)),
        "strides": sizes_field(rank),
        "padding": PADDING,
        "data_format": DATA_FORMAT,
        "dilation_rate": sizes_field(rank),
        "groups": Field(fields.positive, 1),
        "activation": ACTIVATION,
        "use_bias": USE_BIAS,
        **CONV_TRAINED,
    }


def _without(found: dict[str, Field], *names: str) -> dict[str, Field]:
    return {key: field for key, field in found.items() if key not in names}


def _convolutions(rank: int) -> tuple[Spec, ...]:
    conv = conv_fields(rank)
    multiplier = {"depth_multiplier": Field(fields.positive, 1)}
    lora = frozenset({"lora_rank", "lora_alpha"})
    made = [
        Spec(
            f"Conv{rank}D",
            conv,
            _conv,
            _conv_shape,
            _channels,
            (f"Convolution{rank}D",),
            drops=lora,
            mask="stop",
        ),
        Spec(
            f"Conv{rank}DTranspose",
            {
                **_without(conv, "groups"),
                "output_padding": Field(fields.optional(fields.sizes(rank, 0)), None),
                "output_shape": Field(fields.optional(fields.shape), None),
            },
            _transposed,
            _transposed_shape,
            _channels,
            (f"Convolution{rank}DTranspose",),
            drops=frozenset({"groups"}),
            mask="stop",
        ),
    ]
    if rank == 3:
        return tuple(made)
    depthwise = trained("depthwise", "bias")
    made.append(
        Spec(
            f"DepthwiseConv{rank}D",
            {**_without(conv, "filters", "groups", *CONV_TRAINED), **multiplier, **depthwise},
            _depthwise,
            _conv_shape,
            _channels,
            drops=frozenset({"groups", "filters", "kernel_regularizer", "kernel_constraint"}),
            mask="stop",
        )
    )
    made.append(
        Spec(
            f"SeparableConv{rank}D",
            {
                **_without(conv, "groups", *CONV_TRAINED),
                **multiplier,
                **trained("depthwise", "pointwise", "bias"),
            },
            _separable,
            _conv_shape,
            _channels,
            (f"SeparableConvolution{rank}D",),
            drops=frozenset({"groups", "kernel_regularizer", "kernel_constraint"}),
            mask="stop",
        )
    )
    made.append(
        Spec(
            f"LocallyConnected{rank}D",
            {**_without(conv, "groups", "dilation_rate"), "implementation": Field(fields.positive, 1)},
            _local,
            _conv_shape,
            _local_symbols,
            mask="stop",
        )
    )
    return tuple(made)


def _images(rank: int) -> tuple[Spec, ...]:
    pool = {
        "pool_size": Field(fields.sizes(rank), (2,) * rank),
        "strides": Field(fields.optional(fields.sizes(rank)), None),
        "padding": PADDING,
        "data_format": DATA_FORMAT,
    }
    whole_image = {"data_format": DATA_FORMAT, "keepdims": Field(fields.flag, False)}
    format_ = {"data_format": DATA_FORMAT}
    mask = "average" if rank == 1 else "stop"
    upsampling = {"size": Field(fields.sizes(rank), (2,) * rank), **format_}
    if rank == 2:
        upsampling["interpolation"] = Field(
            fields.choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"), "nearest"
        )
    return (
        Spec(
            f"MaxPooling{rank}D",
            pool,
            infer=_pool_shape,
            old=(f"MaxPool{rank}D",),
            finish=_finish_pool,
            mask="stop",
        ),
        Spec(
            f"AveragePooling{rank}D",
            pool,
            infer=_pool_shape,
            old=(f"AvgPool{rank}D",),
            finish=_finish_pool,
            mask="stop",
        ),
        Spec(
            f"GlobalMaxPooling{rank}D",
            whole_image,
            infer=_global_shape,
            old=(f"GlobalMaxPool{rank}D",),
            mask="stop",
        ),
        Spec(
            f"GlobalAveragePooling{rank}D",
            whole_image,
            infer=_global_shape,
            old=(f"GlobalAvgPool{rank}D",),
            mask=mask,
        ),
        *(
            Spec(
                f"Adaptive{kind}Pooling{rank}D",
                {"output_size": Field(fields.sizes(rank)), **format_},
                infer=_adaptive_shape,
                mask="stop",
            )
            for kind in ("Max", "Average")
        ),
        Spec(
            f"ZeroPadding{rank}D",
            {"padding": Field(fields.pairs(rank), ((1, 1),) * rank), **format_},
            infer=_padded,
            mask="stop",
        ),
        Spec(
            f"Cropping{rank}D",
            {"cropping": Field(fields.pairs(rank), ((1, 1),) * rank), **format_},
            infer=_cropped,
            mask="stop",
        ),
        Spec(
            f"UpSampling{rank}D",
            upsampling,
            infer=_upsampled,
            finish=_finish_upsampling if rank == 2 else None,
            mask="stop",
        ),
    )


SPECS = tuple(spec for rank in (1, 2, 3) for spec in (*_convolutions(rank), *_images(rank)))
