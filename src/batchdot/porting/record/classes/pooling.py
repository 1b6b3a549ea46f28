"""Specifications of the layers in Keras's folder ``pooling``."""

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spatial import PADDING, join, split, window
from batchdot.porting.record.classes.spec import DATA_FORMAT, Config, Spec, whole_tuple
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value


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


def _adaptive_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    size = whole_tuple(config, "output_size")
    if shape is None or len(shape) != len(size) + 2:
        return (None,)
    return (join(config, shape[0], size, split(config, shape)[1]),)


def _finish_pool(config: dict[str, Value], era: Era) -> dict[str, Value]:
    return {**config, "strides": config["strides"] or config["pool_size"]}


def _pooling(rank: int) -> tuple[Spec, ...]:
    pool = {
        "pool_size": Field(fields.sizes(rank), (2,) * rank),
        "strides": Field(fields.optional(fields.sizes(rank)), None),
        "padding": PADDING,
        "data_format": DATA_FORMAT,
    }
    whole_image = {"data_format": DATA_FORMAT, "keepdims": Field(fields.flag, False)}
    adaptive = {"output_size": Field(fields.sizes(rank)), "data_format": DATA_FORMAT}
    return (
        *(
            Spec(f"{kind}Pooling{rank}D", pool, infer=_pool_shape, old=old, finish=_finish_pool, mask="stop")
            for kind, old in (("Max", (f"MaxPool{rank}D",)), ("Average", (f"AvgPool{rank}D",)))
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
            mask="average" if rank == 1 else "stop",
        ),
        *(
            Spec(f"Adaptive{kind}Pooling{rank}D", adaptive, infer=_adaptive_shape, mask="stop")
            for kind in ("Max", "Average")
        ),
    )


SPECS = tuple(spec for rank in (1, 2, 3) for spec in _pooling(rank))
