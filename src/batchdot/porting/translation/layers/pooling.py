"""Translations of pooling layers: windows, whole images, and a fixed number of windows."""

from batchdot.porting.program import Value
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.layers.space import (
    axes_of,
    channels_behind_batch,
    compact,
    cut_text,
    is_keras_first,
    keywords,
    other_than,
    result,
    sizes_of,
    tuple_text,
)
from batchdot.porting.translation.layers.windows import PoolPadding, pool_padding
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site

RANKS = (1, 2, 3)


@translates(*(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in RANKS))
def pooling(layer: Layer) -> Forward:
    """nn.MaxPool1d to nn.AvgPool3d."""
    kernel, stride = layer.integers("pool_size"), layer.integers("strides")
    rank, average = len(kernel), layer.record.class_name.startswith("Average")
    padding = pool_padding(sizes_of(layer, rank), kernel, stride, layer.text("padding"))
    module = layer.module(_module(rank, kernel, stride, padding, average))

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, rank)
        if padding is not None:
            cut = [(skip, 0) for skip in padding.skip]
            return result(site, x, cut_text(f"{module}({x})", range(2, 2 + len(cut)), cut))
        window = f"{x}, {tuple_text(kernel)}, {tuple_text(stride)}"
        if average:
            return result(site, x, f"average_same({module}, {window})")
        return result(site, x, f"{module}(pad_same({window}, -torch.inf))")

    return forward


def _module(
    rank: int, kernel: tuple[int, ...], stride: tuple[int, ...], padding: PoolPadding | None, average: bool
) -> str:
    pads = padding or PoolPadding((0,) * rank)
    more = keywords(
        stride=None if stride == kernel else compact(stride),
        padding=other_than(0, pads.module),
        ceil_mode="True" if pads.ceil else None,
        count_include_pad="False" if average and (pads.ceil or any(pads.module)) else None,
    )
    return f"nn.{'Avg' if average else 'Max'}Pool{rank}d({compact(kernel)}{more})"


@translates(*(f"GlobalMaxPooling{rank}D" for rank in RANKS))
def global_max(layer: Layer) -> Forward:
    """``amax`` over space, in whatever order the axes are."""
    return lambda site: _whole(layer, site, "amax")


@translates(*(f"GlobalAveragePooling{rank}D" for rank in RANKS))
def global_average(layer: Layer) -> Forward:
    """``mean`` over space, of steps that a mask leaves."""

    def forward(site: Site) -> Value:
        mask = site.mask()
        return _whole(layer, site, "mean") if mask is None else _masked_mean(layer, site, mask)

    return forward


def _whole(layer: Layer, site: Site, function: str) -> Value:
    x, rank = site.value(), int(layer.record.class_name[-2])
    axes = axes_of(layer, x, rank)
    dim = str(axes[0]) if rank == 1 else tuple_text(axes)
    if layer.flag("keepdims"):
        return result(site, x, f"{x}.{function}({dim}, keepdim=True)")
    return Value(f"{x}.{function}({dim})", site.output_shapes[0] or (None, None))


def _masked_mean(layer: Layer, site: Site, mask: Value) -> Value:
    x = site.x
    axis, other = (2, 1) if is_keras_first(layer) else (1, 2)
    counted = f"{mask}.unsqueeze({other}).to({x}.dtype)"
    weight = site.named(Value(counted, (None, None, None)), "weight")
    keep = ", keepdim=True" if layer.flag("keepdims") else ""
    text = f"({x} * {weight}).sum({axis}{keep}) / {weight}.sum({axis}{keep})"
    return Value(text, site.output_shapes[0] or (None,) * (3 if keep else 2))


@translates(*(f"Adaptive{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in RANKS))
def adaptive_pooling(layer: Layer) -> Forward:
    """nn.AdaptiveMaxPool1d to nn.AdaptiveAvgPool3d."""
    size = layer.integers("output_size")
    rank, kind = len(size), "Avg" if layer.record.class_name.startswith("AdaptiveAverage") else "Max"
    module = layer.module(f"nn.Adaptive{kind}Pool{rank}d({compact(size)})")

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, rank)
        return result(site, x, f"{module}({x})")

    return forward
