"""Specifications of the layers in Keras's folder ``reshaping``: sizes and places change, numbers do not."""

from math import prod

from batchdot.planning.contraction import product
from batchdot.porting.record import fields
from batchdot.porting.record.classes.spatial import join, split
from batchdot.porting.record.classes.spec import DATA_FORMAT, Config, Spec, whole, whole_tuple
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value


def _flatten(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    if shape is None:
        return ((None, None),)
    return ((shape[0] if shape else None, product(shape[1:])),)


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


def _moved(config: Config, shapes: tuple[Shape, ...], sign: int, key: str) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    pads = config[key]
    if shape is None or not isinstance(pads, tuple) or len(shape) != len(pads) + 2:
        return (None,)
    space, channels = split(config, shape)
    sizes: list[int | None] = []
    for size, pad in zip(space, pads, strict=True):
        both = sum(part for part in pad if isinstance(part, int)) if isinstance(pad, tuple) else 0
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


def _finish_upsampling(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say where a pixel's centre is: bilinear resizing was corrected in TensorFlow 1.15."""
    return {**config, "half_pixel_centers": not era.before(keras2=(9,), tf=(1, 14))}


SHAPES = (
    Spec("Flatten", {"data_format": DATA_FORMAT}, infer=_flatten, mask="stop"),
    Spec("Reshape", {"target_shape": Field(fields.target_shape)}, infer=_reshape, mask="stop"),
    Spec("Permute", {"dims": Field(fields.axes)}, infer=_permute, mask="stop"),
    Spec("RepeatVector", {"n": Field(fields.positive)}, infer=_repeat, mask="stop"),
)


def _resizing(rank: int) -> tuple[Spec, ...]:
    format_ = {"data_format": DATA_FORMAT}
    upsampling = {"size": Field(fields.sizes(rank), (2,) * rank), **format_}
    if rank == 2:
        upsampling["interpolation"] = Field(
            fields.choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"), "nearest"
        )
    return (
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


SPECS = (*SHAPES, *(spec for rank in (1, 2, 3) for spec in _resizing(rank)))
