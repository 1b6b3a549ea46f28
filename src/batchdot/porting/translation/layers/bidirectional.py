"""Translation of Bidirectional: one module of PyTorch that runs both ways, or two layers and their merge."""

from collections.abc import Sequence
from dataclasses import replace

from batchdot.porting.program import Value, leaves
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.layers.recurrent import (
    RECURRENT,
    along_time,
    kind_of,
    note_dropout,
    torch_class_of,
    torch_module,
)
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

MERGES = {"sum": "{0} + {1}", "mul": "{0} * {1}", "ave": "({0} + {1}) / 2"}
"""How the outputs of both sides become one, concatenation apart."""


@translates("Bidirectional")
def bidirectional(layer: Layer) -> Forward:
    """nn.LSTM(bidirectional=True) and its like where both sides mean that; else two layers."""
    ahead, back = layer.child("forward_layer"), layer.child("backward_layer")
    return _in_one(layer, ahead, back) if _is_one(layer, ahead, back) else _in_two(layer, back)


def _is_one(layer: Layer, ahead: Layer, back: Layer) -> bool:
    """Whether one module of PyTorch means the same as both sides; it knows no masks."""
    if layer.is_masked or not (ahead.record.is_a(*RECURRENT) and back.record.is_a(*RECURRENT)):
        return False

    def facts(side: Layer) -> tuple[object, ...]:
        shapes = {role: (weight.shape, weight.dtype) for role, weight in side.record.weights.items()}
        return torch_class_of(side), side.activation(), side.flag("time_major"), side.trainable, shapes

    opposed = ahead.flag("go_backwards") != back.flag("go_backwards")
    return opposed and bool(torch_class_of(ahead)) and facts(ahead) == facts(back)


def _in_one(layer: Layer, ahead: Layer, back: Layer) -> Forward:
    """A module with weights for both ways; its states are those of both, the forward one first."""
    note_dropout(ahead)
    module = torch_module(ahead, back)
    mode, sequences = layer.config["merge_mode"], ahead.flag("return_sequences")
    names = ("h", "c") if kind_of(ahead) == "LSTM" else ("h",)

    def forward(site: Site) -> Result:
        call = f"{module}({along_time(ahead, site).x}{_begin(site, len(names))})"
        y, states = f"{call}[0]", list[str]()
        if not sequences or ahead.flag("return_state"):
            y, *states = leaves(site.unpack(call, ("", names if len(names) > 1 else "h")))
            for state in states:
                pair = f"torch.stack([{state}[0], {state}[1]])"
                site.body.known[pair] = Value(state)
        outputs = _halves_of(site, y, mode) if sequences else _ends(states[0], mode)
        if sequences and ahead.flag("time_major"):
            outputs = [f"{output}.transpose(0, 1)" for output in outputs]
        if ahead.flag("return_state"):
            outputs += [f"{state}[{way}]" for way in (0, 1) for state in states]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    return forward


def _begin(site: Site, count: int) -> str:
    """Return the initial states of both ways as a further argument, with a comma in front; "" for zeros."""
    given = [str(site.last(state)) for state in site.values("initial_state")]
    if not given:
        return ""
    pairs = [f"torch.stack([{given[at]}, {given[at + count]}])" for at in range(count)]
    stacked = [str(site.body.known.get(pair, pair)) for pair in pairs]
    return f", {stacked[0]}" if count == 1 else f", ({', '.join(stacked)})"


def _halves_of(site: Site, y: str, mode: object) -> list[str]:
    """Return the merged sequence, whose features are both ways' side by side; or both."""
    if mode == "concat":
        return [y]
    halves = list(leaves(site.unpack(f"{y}.chunk(2, dim=-1)", ("forward", "backward"))))
    return [MERGES[mode].format(*halves)] if isinstance(mode, str) else halves


def _ends(h: str, mode: object) -> list[str]:
    """Return the merged last outputs, which are the states of both ways; or both."""
    if mode == "concat":
        return [f"torch.cat([{h}[0], {h}[1]], dim=-1)"]
    ends = f"{h}[0]", f"{h}[1]"
    return [MERGES[mode].format(*ends)] if isinstance(mode, str) else list(ends)


def _in_two(layer: Layer, back: Layer) -> Forward:
    """Two layers over the same input, of which the second's sequence is turned round."""
    sides = [
        layer.inner("forward_layer", "forward", layer.input_shapes),
        layer.inner("backward_layer", "backward", layer.input_shapes),
    ]
    mode = layer.config["merge_mode"]
    turns = back.config.get("return_sequences") is True
    time = 0 if back.config.get("time_major") is True else 1

    def forward(site: Site) -> Result:
        initial = site.values("initial_state")
        half = len(initial) // 2
        ahead, *ahead_states = _side(site, "forward", sides[0], initial[:half])
        turned, *back_states = _side(site, "backward", sides[1], initial[half:])
        if turns:
            turned = turned.with_text(f"{turned}.flip({turned.axis(time)})")
        outputs: list[str | Value]
        if mode == "concat":
            outputs = [ahead.with_text(f"torch.cat([{ahead}, {turned}], dim={ahead.axis(-1)})")]
        elif isinstance(mode, str):
            outputs = [ahead.with_text(MERGES[mode].format(ahead, turned))]
        else:
            outputs = [ahead, turned]
        outputs += [*ahead_states, *back_states]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    return forward


def _side(site: Site, suffix: str, side: Forward, initial: Sequence[Value]) -> list[Value]:
    """Write the call of one side; return its output, which has a name, and its states."""
    arguments = {**site.arguments, "initial_state": tuple(initial)}
    inner = replace(site, name=f"{site.name}_{suffix}", arguments=arguments, output_shapes=(None,))
    result = side(inner)
    several = result if isinstance(result, tuple) else (result,)
    first, *states = (part if isinstance(part, Value) else Value(part) for part in several)
    return [inner.named(first), *states]
