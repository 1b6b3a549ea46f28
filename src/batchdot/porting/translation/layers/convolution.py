"""Translations of convolutions: plain, depthwise, separable, transposed, and those that share no weights."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batchdot.porting.program import Array, Value
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.activations import activate
from batchdot.porting.translation.layers.space import (
    channels_behind_batch,
    compact,
    cut_text,
    is_keras_first,
    keywords,
    other_than,
    pads_text,
    result,
    sizes_of,
    tuple_text,
)
from batchdot.porting.translation.layers.windows import ConvPadding, conv_padding, transposed_crop
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """How a kernel moves over an image.

    Attributes:
        rank: the number of axes in space.
        kernel, stride, dilation: along each of them.
        reach: how far the kernel reaches, dilation included.
        padding: how the image is padded.
    """

    rank: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    reach: tuple[int, ...]
    padding: ConvPadding

    def keywords(self, **more: str | None) -> str:
        """Return the arguments of a convolution that follow the kernel's size."""
        return keywords(
            stride=other_than(1, self.stride),
            padding=other_than(0, self.padding.module),
            dilation=other_than(1, self.dilation),
            **more,
        )

    def padded(self, x: Value) -> str:
        """Return the image as the convolution wants it."""
        if self.padding.measured:
            return f"pad_same({x}, {tuple_text(self.reach)}, {tuple_text(self.stride)})"
        return f"F.pad({x}, {pads_text(self.padding.call)})" if self.padding.call else str(x)


def _window(layer: Layer) -> Window:
    kernel, stride = layer.integers("kernel_size"), layer.integers("strides")
    dilation = layer.integers("dilation_rate") if "dilation_rate" in layer.config else (1,) * len(kernel)
    reach = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    padding = conv_padding(sizes_of(layer, len(kernel)), reach, stride, layer.text("padding"))
    return Window(len(kernel), kernel, stride, dilation, reach, padding)


def _bias(layer: Layer) -> str | None:
    return None if layer.has("bias") else "False"


def _state(
    layer: Layer, role: str, convert: "Callable[[NDArray[np.generic]], NDArray[np.generic]]"
) -> dict[str, Array]:
    state = {"weight": layer.array(role, convert=convert)}
    return state | ({"bias": layer.array("bias")} if layer.has("bias") else {})


def outermost_last(kernel: "NDArray[np.generic]") -> "NDArray[np.generic]":
    """(space, in, out) to (out, in, space), and (space, out, in) to (in, out, space)."""
    rank = kernel.ndim - 2
    return kernel.transpose(rank + 1, rank, *range(rank))


def depthwise(kernel: "NDArray[np.generic]") -> "NDArray[np.generic]":
    """(space, in, multiplier) to (in * multiplier, 1, space)."""
    rank = kernel.ndim - 2
    moved = kernel.transpose(rank, rank + 1, *range(rank))
    return moved.reshape(-1, 1, *kernel.shape[:rank])


@translates("Conv1D", "Conv2D", "Conv3D")
def convolution(layer: Layer) -> Forward:
    """nn.Conv1d to nn.Conv3d."""
    window, groups = _window(layer), layer.integer("groups")
    *_, inputs, filters = layer.shape("kernel")
    more = window.keywords(groups=str(groups) if groups > 1 else None, bias=_bias(layer))
    arguments = f"{inputs * groups}, {filters}, {compact(window.kernel)}{more}"
    module = layer.module(f"nn.Conv{window.rank}d({arguments})", _state(layer, "kernel", outermost_last))
    return _forward(layer, window, module)


@translates("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise_convolution(layer: Layer) -> Forward:
    """A convolution of as many groups as there are channels."""
    window = _window(layer)
    return _forward(layer, window, _depthwise(layer, window, "kernel"))


def _depthwise(layer: Layer, window: Window, role: str, suffix: str = "") -> str:
    *_, channels, multiplier = layer.shape(role)
    state = {"weight": layer.array(role, convert=depthwise)} if suffix else _state(layer, role, depthwise)
    more = window.keywords(groups=str(channels), bias="False" if suffix else _bias(layer))
    arguments = f"{channels}, {channels * multiplier}, {compact(window.kernel)}{more}"
    return layer.module(f"nn.Conv{window.rank}d({arguments})", state, suffix)


@translates("SeparableConv1D", "SeparableConv2D")
def separable_convolution(layer: Layer) -> Forward:
    """A depthwise convolution and one of single pixels."""
    window = _window(layer)
    *_, inputs, filters = layer.shape("pointwise_kernel")
    first = _depthwise(layer, window, "depthwise_kernel", "depthwise")
    state = _state(layer, "pointwise_kernel", outermost_last)
    arguments = f"{inputs}, {filters}, 1{keywords(bias=_bias(layer))}"
    second = layer.module(f"nn.Conv{window.rank}d({arguments})", state, "pointwise")
    return _forward(layer, window, first, second)


def _forward(layer: Layer, window: Window, *modules: str) -> Forward:
    activation = layer.activation()

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, window.rank)
        text = window.padded(x)
        for module in modules:
            text = f"{module}({text})"
        return activate(activation, result(site, x, text))

    return forward


@translates("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def transposed_convolution(layer: Layer) -> Forward:
    """nn.ConvTranspose1d to 3d; Keras's "same" is their full result, cut by one more at the end."""
    kernel, stride, dilation = map(layer.integers, ("kernel_size", "strides", "dilation_rate"))
    rank = len(kernel)
    reach = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    extra = None if layer.config["output_padding"] is None else layer.integers("output_padding")
    crop = transposed_crop(reach, stride, layer.text("padding"), extra, _declared(layer, rank))
    *_, filters, inputs = layer.shape("kernel")
    more = keywords(
        stride=other_than(1, stride),
        padding=other_than(0, crop.padding),
        output_padding=other_than(0, crop.output_padding),
        dilation=other_than(1, dilation),
        bias=_bias(layer),
    )
    arguments = f"{inputs}, {filters}, {compact(kernel)}{more}"
    module = layer.module(f"nn.ConvTranspose{rank}d({arguments})", _state(layer, "kernel", outermost_last))
    activation = layer.activation()

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, rank)
        text = cut_text(f"{module}({x})", range(2, rank + 2), [(0, cut) for cut in crop.cut])
        return activate(activation, result(site, x, text))

    return forward


def _declared(layer: Layer, rank: int) -> Sequence[int | None] | None:
    """Return the sizes in space that Keras 1 fixes for the result."""
    shape = layer.config["output_shape"]
    if not isinstance(shape, tuple):
        return None
    space = shape[2:] if is_keras_first(layer) else shape[1:-1]
    return [size if isinstance(size, int) else None for size in space]


@translates("LocallyConnected1D", "LocallyConnected2D", restriction="images of known size")
def locally_connected(layer: Layer) -> Forward:
    """A kernel and a bias at each position: a class that is printed."""
    from batchdot.porting.translation.layers.local import LocalKernel, local_bias

    kernel, stride = layer.integers("kernel_size"), layer.integers("strides")
    rank, first = len(kernel), is_keras_first(layer)
    sizes = sizes_of(layer, rank)
    known = tuple(size for size in sizes if size is not None)
    if len(known) < rank:
        raise RefusedError("the size of its input is not known, or not the same at all calls")
    same = layer.text("padding") == "same"
    outputs = tuple(
        -(-size // step) if same else (size - reach) // step + 1
        for size, reach, step in zip(known, kernel, stride, strict=True)
    )
    pads = [
        (reach // 2, max((many - 1) * step + reach - reach // 2 - size, 0)) if same else (0, 0)
        for size, reach, step, many in zip(known, kernel, stride, outputs, strict=True)
    ]
    filters, channels = layer.integer("filters"), _channels(layer)
    stored = LocalKernel(
        layer.integer("implementation"), known, channels, filters, kernel, stride, outputs, same, first
    )
    if math.prod(layer.shape("kernel")) != stored.count:
        raise RefusedError(f"its kernel of shape {layer.shape('kernel')} does not fit an input of {known}")
    state = {"weight": layer.array("kernel", convert=stored.convert)}
    if layer.has("bias"):
        state["bias"] = layer.array("bias", convert=local_bias(first))
    sizes_text = [tuple_text(each) if rank > 1 else str(each[0]) for each in (outputs, kernel, stride)]
    more = keywords(stride=None if set(stride) == {1} else sizes_text[2], bias=_bias(layer))
    expression = f"LocallyConnected{rank}d({channels}, {filters}, {sizes_text[0]}, {sizes_text[1]}{more})"
    module = layer.module(expression, state)
    activation = layer.activation()

    def forward(site: Site) -> Value:
        x = channels_behind_batch(site, layer, rank)
        padded = f"F.pad({x}, {pads_text(pads)})" if any(map(any, pads)) else str(x)
        return activate(activation, result(site, x, f"{module}({padded})"))

    return forward


def _channels(layer: Layer) -> int:
    shape = layer.input_shape
    channels = None if shape is None else shape[1 if is_keras_first(layer) else -1]
    if channels is None:
        raise RefusedError("the number of channels of its input is not known")
    return channels
