"""Translations of Keras's preprocessing of numbers and images, which has no trained weights."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.record.classes.preprocessing import RANDOM
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.space import (
    axes_of,
    channels_behind_batch,
    cut_text,
    number,
    result,
    sizes_of,
)
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_DEVIATION = 1e-7
"""What Keras divides by at least."""

AUGMENTATION = "{name}: {class_name} changes images while training only; it is left out here."


@translates("Normalization")
def normalization(layer: Layer) -> Forward:
    """``(x - mean) / std``, of buffers, or of numbers where they are the same for all features."""
    mean, deviation = _statistics(layer)
    inverted = layer.flag("invert")

    def forward(site: Site) -> Value:
        x = site.x
        text = f"{x} * {deviation} + {mean}" if inverted else f"({x} - {mean}) / {deviation}"
        return replace(x, text=text, kind="float")

    return forward


def _statistics(layer: Layer) -> tuple[str, str]:
    """Return mean and standard deviation as expressions."""
    if layer.has("mean"):
        shape = layer.shape("mean")
        fit, size = _spread(layer, shape), _broadcast(layer, shape)
        return (
            layer.buffer(layer.array("mean", convert=fit), size, "mean"),
            layer.buffer(layer.array("variance", convert=lambda found: fit(_deviation(found))), size, "std"),
        )
    given, spread = (np.asarray(layer.config[key], np.float32) for key in ("mean", "variance"))
    if given.size == spread.size == 1:
        return number(float(given.item())), number(float(_deviation(spread).item()))
    mean, deviation = (_spread(layer, each.shape)(each) for each in (given, _deviation(spread)))
    return _buffer(layer, mean, "mean"), _buffer(layer, deviation, "std")


def _buffer(layer: Layer, numbers: "NDArray[np.generic]", suffix: str) -> str:
    return layer.buffer(layer.constant(numbers), numbers.shape, suffix)


def _deviation(variance: "NDArray[np.generic]") -> "NDArray[np.generic]":
    found: NDArray[np.generic] = np.maximum(np.sqrt(variance), np.asarray(LEAST_DEVIATION, variance.dtype))
    return found


def _broadcast(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of statistics that fits the input: 1 along the axes that they are taken over."""
    rank = None if layer.input_shape is None else len(layer.input_shape)
    axes = layer.integers("axis")
    if rank is None:
        if axes == tuple(range(-len(axes), 0)):
            return shape
        raise RefusedError("its input's shape is not known")
    kept = sorted(axis % rank for axis in axes)
    padded = (*(1,) * (len(kept) - len(shape)), *shape)
    sizes = dict(zip(kept, padded, strict=True))
    full = tuple(sizes.get(axis, 1) for axis in range(rank))
    return full[min(kept, default=rank) :]


def _spread(layer: Layer, shape: tuple[int, ...]) -> "Callable[[NDArray[np.generic]], NDArray[np.generic]]":
    return lambda numbers: numbers.reshape(_broadcast(layer, shape))


@translates("Rescaling")
def rescaling(layer: Layer) -> Forward:
    """``x * scale + offset``; ``x / 255`` where the scale is 1 / 255."""
    scale, offset = layer.config["scale"], layer.config["offset"]
    if isinstance(scale, tuple) or isinstance(offset, tuple):
        factor, shift = (
            _buffer(layer, np.asarray(numbers, np.float32), suffix)
            for numbers, suffix in ((scale, "scale"), (offset, "offset"))
        )
        return lambda site: replace(site.x, text=f"{site.x} * {factor} + {shift}", kind="float")
    scale, offset = layer.number("scale"), layer.number("offset")
    template = _scaled("{x}", scale) + (
        f" {'-' if offset < 0 else '+'} {number(abs(offset))}" if offset else ""
    )
    return lambda site: replace(site.each(template), kind="float")


def _scaled(x: str, scale: float) -> str:
    inverse = round(1 / scale) if scale else 0
    return (
        f"{x} / {inverse}"
        if inverse > 1 and number(1 / inverse) == number(scale)
        else f"{x} * {number(scale)}"
    )


@translates("Resizing", restriction="bilinear, nearest and bicubic interpolation")
def resizing(layer: Layer) -> Forward:
    """F.interpolate to a fixed size."""
    size, mode = (layer.integer("height"), layer.integer("width")), layer.text("interpolation")
    antialias = layer.flag("antialias")
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise RefusedError(f"there is no translation of its interpolation {mode!r}")
    crops, pads = layer.flag("crop_to_aspect_ratio"), layer.flag("pad_to_aspect_ratio")
    if crops and (antialias or mode == "bicubic"):
        raise RefusedError("it crops, and interpolates in a way that is not ported with it")
    frame = _frame(layer, size) if pads else ""

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, 2)
        text = str(x) if x.kind == "float" else f"{x}.float()"
        if crops:
            nearest = ', "nearest-exact"' if mode == "nearest" else ""
            return result(site, x, f"smart_resize({text}, {size}{nearest})")
        text = f"F.pad({text}, {frame})" if frame else text
        if mode == "bicubic" and not antialias:
            return result(site, x, f"resize_bicubic({text}, {size})")
        name = "nearest-exact" if mode == "nearest" else mode
        smooth = ", antialias=True" if antialias and mode != "nearest" else ""
        return result(site, x, f'F.interpolate({text}, size={size}, mode="{name}"{smooth})')

    return forward


def _frame(layer: Layer, size: tuple[int, int]) -> str:
    """Return how an image is padded to an aspect ratio, as arguments of `F.pad`; "" if it is not."""
    height, width = sizes_of(layer, 2)
    if height is None or width is None:
        raise RefusedError("it pads images of unknown size")
    if layer.text("fill_mode") != "constant":
        raise RefusedError(f"there is no translation of its fill_mode {layer.text('fill_mode')!r}")
    rows, columns = max(height, width * size[0] // size[1]), max(width, height * size[1] // size[0])
    top, left = (rows - height) // 2, (columns - width) // 2
    value = layer.number("fill_value")
    filled = f", value={number(value)}" if value else ""
    return f"({left}, {left}, {top}, {top}){filled}" if top or left else ""


@translates("CenterCrop")
def center_crop(layer: Layer) -> Forward:
    """Slices of images of known size, and a function that is printed of others."""
    size = layer.integer("height"), layer.integer("width")
    sizes = sizes_of(layer, 2)
    known = [many for many in sizes if many is not None]

    def forward(site: Site) -> Value:
        x = site.value()
        if len(known) == 2 and all(many >= wanted for many, wanted in zip(known, size, strict=True)):
            bounds = [
                ((many - wanted) // 2, -(-(many - wanted) // 2))
                for many, wanted in zip(known, size, strict=True)
            ]
            return result(site, x, cut_text(str(x), axes_of(layer, x, 2), bounds))
        x = channels_behind_batch(site, layer, 2)
        return result(site, x, f"{'smart_resize' if len(known) == 2 else 'center_crop'}({x}, {size})")

    return forward


@translates("CategoryEncoding", restriction="one sample a row")
def category_encoding(layer: Layer) -> Forward:
    """F.one_hot, and the largest or the sum of a row's."""
    tokens = layer.config["num_tokens"]
    if not isinstance(tokens, int):
        raise RefusedError("the file does not say its num_tokens")
    mode = layer.text("output_mode")

    def forward(site: Site) -> Value:
        weights = site.values("count_weights")
        return _encoded(site, site.x, tokens, mode, str(weights[0]) if weights else "")

    return forward


def _encoded(site: Site, ids: Value, tokens: int, mode: str, weights: str = "") -> Value:
    """Write ids as vectors of one number for each of ``tokens``."""
    if mode == "one_hot":
        drop = ids.rank is not None and ids.rank > 1 and ids.shape is not None and ids.shape[-1] == 1
        ids = ids.with_text(f"{ids}.squeeze(-1)") if drop else ids
    elif ids.rank == 1:
        raise RefusedError("it encodes the whole batch as one sample")
    is_float = ids.kind == "float"
    cast = f".to({ids}.dtype)" if is_float else ""
    text = f"F.one_hot({ids}.long(), {tokens})"
    if mode == "count":
        text = f"({text} * {weights}.unsqueeze(-1)).sum(-2)" if weights else f"{text}.sum(-2){cast}"
    else:
        text = f"{text}{cast}" if mode == "one_hot" else f"{text}.amax(-2){cast}"
    return Value(text, site.output_shapes[0], "float" if is_float else "count")


@translates("Discretization")
def discretization(layer: Layer) -> Forward:
    """torch.bucketize: a boundary belongs to the interval above it."""
    boundaries = layer.config["bin_boundaries"]
    if not isinstance(boundaries, tuple):
        raise RefusedError("the file does not say its boundaries")
    array = np.asarray(boundaries, np.float32)
    bins = _buffer(layer, array, "boundaries")
    mode = layer.text("output_mode")

    def forward(site: Site) -> Value:
        x = site.x
        text = str(x) if x.kind == "float" else f"{x}.to({bins}.dtype)"
        numbers = Value(f"torch.bucketize({text}, {bins}, right=True)", x.shape, "int")
        return numbers if mode == "int" else _encoded(site, numbers, len(boundaries) + 1, mode)

    return forward


@translates(*(name for name in RANDOM if name != "RandomCrop"))
def augmentation(layer: Layer) -> Forward:
    """Nothing: a change of images while training."""
    layer.note(AUGMENTATION.format(name=layer.name, class_name=layer.record.class_name))
    return lambda site: site.value()
