"""Translations of layers that pad, crop or enlarge images."""

from batchdot.porting.program import Value
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.space import (
    axes_of,
    channels_behind_batch,
    compact,
    cut_text,
    is_keras_first,
    pads_text,
    result,
    tuple_text,
)
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site

RANKS = (1, 2, 3)

INEXACT_SCALE = 41
"""The least factor for which nearest neighbours are rounded wrongly when it is inverted in float32."""


def _pairs(layer: Layer, key: str) -> list[tuple[int, int]]:
    pairs = layer.config[key]
    assert isinstance(pairs, tuple)
    found = []
    for pair in pairs:
        assert isinstance(pair, tuple)
        before, after = (size for size in pair if isinstance(size, int))
        found.append((before, after))
    return found


@translates(*(f"ZeroPadding{rank}D" for rank in RANKS))
def zero_padding(layer: Layer) -> Forward:
    """F.pad, in whatever order the axes are."""
    pairs = _pairs(layer, "padding")

    def forward(site: Site) -> Value:
        x = site.value()
        axes = axes_of(layer, x, len(pairs))
        by_axis = dict(zip(axes, pairs, strict=True))
        rank = x.rank or len(pairs) + 2
        pads = pads_text([by_axis.get(axis, (0, 0)) for axis in range(axes[0], rank)])
        return _same_kind(site, x, f"F.pad({x}, {pads})" if any(map(any, pairs)) else str(x))

    return forward


@translates(*(f"Cropping{rank}D" for rank in RANKS))
def cropping(layer: Layer) -> Forward:
    """Slices, in whatever order the axes are."""
    pairs = _pairs(layer, "cropping")

    def forward(site: Site) -> Value:
        x = site.value()
        return _same_kind(site, x, cut_text(str(x), axes_of(layer, x, len(pairs)), pairs))

    return forward


def _same_kind(site: Site, x: Value, text: str) -> Value:
    made = result(site, x, text)
    return Value(made.text, made.shape, x.kind, made.is_first)


@translates(*(f"UpSampling{rank}D" for rank in RANKS), restriction="no Lanczos interpolation")
def upsampling(layer: Layer) -> Forward:
    """F.interpolate; steps of a sequence are repeated."""
    factors = layer.integers("size")
    mode = layer.text("interpolation") if "interpolation" in layer.config else "nearest"
    if mode.startswith("lanczos"):
        raise RefusedError(f"PyTorch has no interpolation {mode!r}")

    def forward(site: Site) -> Value:
        x = site.value()
        if len(factors) == 1 and not (x.is_first or is_keras_first(layer)):
            return _same_kind(site, x, f"{x}.repeat_interleave({factors[0]}, dim=1)")
        x = channels_behind_batch(site, layer, len(factors))
        return result(
            site, x, _enlarged(str(x), factors, mode, layer.config.get("half_pixel_centers") is True)
        )

    return forward


def _enlarged(x: str, factors: tuple[int, ...], mode: str, centers: bool) -> str:
    scale = f"scale_factor={_scale(factors)}"
    if mode == "nearest":
        exact = ', mode="nearest-exact"' if max(factors) >= INEXACT_SCALE else ""
        return f"F.interpolate({x}, {scale}{exact})"
    if mode == "bilinear":
        if not centers:
            return f"upsample_corners({x}, {tuple_text(factors)})"
        return f'F.interpolate({x}, {scale}, mode="bilinear")'
    if all(factor & (factor - 1) == 0 for factor in factors):
        return f'F.interpolate({x}, {scale}, mode="bicubic", antialias=True)'
    size = ", ".join(f"{x}.shape[{axis}] * {factor}" for axis, factor in enumerate(factors, 2))
    return f"resize_bicubic({x}, ({size}))"


def _scale(factors: tuple[int, ...]) -> str:
    return compact(factors)
