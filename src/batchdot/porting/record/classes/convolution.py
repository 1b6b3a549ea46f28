"""Specifications of the layers in Keras's folder ``convolutional``, and of those that are local."""

from collections.abc import Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spatial import PADDING, join, split, window
from batchdot.porting.record.classes.spec import (
    ACTIVATION,
    DATA_FORMAT,
    USE_BIAS,
    Config,
    Slot,
    Spec,
    bias,
    sizes_field,
    trained,
    whole,
    whole_tuple,
)
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value


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


def _local_symbols(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    return {}


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


SPECS = tuple(spec for rank in (1, 2, 3) for spec in _convolutions(rank))
