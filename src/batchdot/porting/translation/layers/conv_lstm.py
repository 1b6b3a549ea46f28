"""Translation of ConvLSTM1D to ConvLSTM3D: a class that is printed, over the convolutions of PyTorch."""

from dataclasses import replace
from typing import Any

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.record import Shape
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.layers.activations import as_function
from batchdot.porting.translation.layers.convolution import Window, outermost_last
from batchdot.porting.translation.layers.recurrent import Recurrence, Steps, gates, note_dropout, run
from batchdot.porting.translation.layers.space import compact, is_keras_first, keywords, pads_text
from batchdot.porting.translation.layers.windows import conv_padding, same_padding
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

ORDER = (0, 1, 3, 2)
"""The gates i, f, c, o of Keras as `ConvLSTM` has them."""


@translates("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def conv_lstm(layer: Layer) -> Forward:
    """`ConvLSTM` over (B, T, C, ...)."""
    window = _window(layer)
    made = Recurrence(_module(layer, window), 2, is_torch=False)
    note_dropout(layer)
    rank, first = window.rank + 3, is_keras_first(layer)

    def forward(site: Site) -> Result:
        x = replace(site.value(), shape=site.value().shape or (None,) * rank)
        behind_time = str(site.last(x)) if first else _channels_behind_time(x)
        mask = site.mask()
        steps = Steps(window.padded(Value(behind_time)), None if mask is None else str(mask), rank)
        if layer.flag("go_backwards"):
            steps = steps.flipped(site)
        states = site.values("initial_state")
        initial = [str(site.last(state) if first else site.first(state)) for state in states]
        y, finals = run(made, site, steps, initial, layer, sequences=layer.flag("return_sequences"))
        if not first:
            output = _sequence(y, rank) if layer.flag("return_sequences") else _image(y, rank)
            return (output, *(_image(final, rank) for final in finals)) if finals else output
        return (y, *finals) if finals else y

    return forward


def _channels_behind_time(x: Value) -> str:
    """Return a sequence of images as (B, T, C, ...)."""
    return f"{x}.transpose(1, 2)" if x.is_first else f"{x}.movedim(-1, 2)"


def _sequence(y: str, rank: int) -> Value:
    """Return a sequence of images that is (B, T, C, ...) as PyTorch's (B, C, T, ...), or channels last."""
    if rank > 5:
        return Value(f"{y}.movedim(2, -1)", (None,) * rank)
    return Value(f"{y}.transpose(1, 2)", (None,) * rank, is_first=True)


def _image(y: str, rank: int) -> Value:
    shape: Shape = (None,) * (rank - 1)
    return Value(y, shape, is_first=True)


def _window(layer: Layer) -> Window:
    """Return how the kernel moves over the images of the input."""
    kernel, stride, dilation = map(layer.integers, ("kernel_size", "strides", "dilation_rate"))
    reach = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    start = 3 if is_keras_first(layer) else 2
    shapes = {shapes[0] for shapes in layer.call_shapes} or {layer.input_shape}
    shape = shapes.pop() if len(shapes) == 1 else None
    sizes = (None,) * len(kernel) if shape is None else shape[start : start + len(kernel)]
    padding = conv_padding(sizes, reach, stride, layer.text("padding"))
    return Window(len(kernel), kernel, stride, dilation, reach, padding)


def _module(layer: Layer, window: Window) -> str:
    *_, inputs, filters = layer.shape("kernel")
    *_, units, _ = layer.shape("recurrent_kernel")
    convolution, size = f"nn.Conv{window.rank}d", compact(window.kernel)
    bias = None if layer.has("bias") else "False"
    of_input = f"{convolution}({inputs}, {filters}, {size}{window.keywords(bias=bias)})"
    pads = [same_padding(None, each, 1) or (0, 0) for each in window.kernel]
    even = all(before == after for before, after in pads)
    padding = compact([before for before, _ in pads]) if even and any(before for before, _ in pads) else None
    of_state = f"{convolution}({units}, {filters}, {size}{keywords(padding=padding, bias='False')})"
    if not even:
        of_state = f"nn.Sequential(nn.ZeroPad{window.rank}d({pads_text(pads)}), {of_state})"
    functions = [
        as_function(layer.activation(key), layer.define) for key in ("recurrent_activation", "activation")
    ]
    state = {
        "input.weight": layer.array("kernel", convert=_kernel),
        "recurrent.weight" if even else "recurrent.1.weight": layer.array(
            "recurrent_kernel", convert=_kernel
        ),
    }
    if layer.has("bias"):
        state["input.bias"] = layer.array("bias", convert=gates(*ORDER))
    return layer.module(f"ConvLSTM({', '.join([of_input, of_state, *functions])})", state)


def _kernel(kernel: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    parts = np.split(kernel, 4, axis=-1)
    return outermost_last(np.concatenate([parts[gate] for gate in ORDER], axis=-1))
