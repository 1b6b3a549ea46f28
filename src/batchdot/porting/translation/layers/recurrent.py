"""Translations of Keras's recurrent layers over vectors: LSTM, GRU, SimpleRNN, and RNN of their cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from batchdot.porting.program import Value, leaves
from batchdot.porting.record import Activation
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.activations import as_function
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE_BIAS: Final = (
    "Keras has one bias in an LSTM and in a SimpleRNN, where PyTorch has two: bias_hh is zero and does not "
    "learn, so that training goes on as in Keras."
)

DROPOUT: Final = (
    "{name} drops {rate:.0%} of its input's features in training, the same ones at every step; here it does "
    "not. The line that replaces it: x * F.dropout(torch.ones_like(x[:, :1]), {rate:g}, self.training)."
)

RECURRENT_DROPOUT: Final = (
    "{name} drops {rate:.0%} of its state in training; here it does not, for PyTorch's recurrent modules "
    "cannot. Usual in its place: F.dropout({name}, {rate:g}, self.training) behind it."
)


@dataclass(frozen=True)
class Recurrence:
    """A sub-module that is called as ``nn.LSTM(batch_first=True)``: y, state = module(x, state).

    Attributes:
        module: the expression that gives it: "self.lstm".
        states: how many tensors its state has: 2 of an LSTM (h, c), 1 of the others (h).
        is_torch: whether it is PyTorch's own, whose states are (1, B, units); else they are (B, units).
    """

    module: str
    states: int
    is_torch: bool


# What __init__ builds


def gates(*order: int) -> "Callable[[NDArray[Any]], NDArray[Any]]":
    """Return a function from a kernel or bias of Keras, gates side by side, to torch's with another order."""

    def convert(kernel: "NDArray[Any]") -> "NDArray[Any]":
        parts = np.split(kernel, len(order), axis=-1)
        return np.concatenate([parts[gate] for gate in order], axis=-1).T

    return convert


def recurrence(layer: Layer) -> Recurrence:
    """Add the module of an LSTM, a GRU or a SimpleRNN, or of such a cell."""
    states = 2 if kind_of(layer) == "LSTM" else 1
    note_dropout(layer)
    if torch_class_of(layer):
        return Recurrence(torch_module(layer), states, is_torch=True)
    return Recurrence(_own_module(layer), states, is_torch=False)


def kind_of(layer: Layer) -> str:
    """Return "LSTM", "GRU" or "SimpleRNN"."""
    kind = layer.record.class_name.removeprefix("CuDNN").removesuffix("Cell")
    if kind not in ("LSTM", "GRU", "SimpleRNN"):
        raise RefusedError(layer.record.problem or f"there is no translation of a cell {kind}")
    return kind


def torch_class_of(layer: Layer) -> str:
    """Return the module of PyTorch that computes the same, such as "nn.LSTM"; "" if none does."""
    kind, activation = kind_of(layer), layer.activation()
    if kind == "SimpleRNN":
        return "nn.RNN" if activation in (Activation("tanh"), Activation("relu")) else ""
    gate = layer.activation("recurrent_activation")
    plain = (activation, gate) == (Activation("tanh"), Activation("sigmoid"))
    return f"nn.{kind}" if plain and layer.config.get("reset_after", True) else ""


def torch_module(layer: Layer, backward: Layer | None = None) -> str:
    """Add nn.LSTM, nn.GRU or nn.RNN; return it as ``self.name``.

    Args:
        layer: one whose `torch_class_of` is not empty.
        backward: the layer of the same kind that runs backwards over the same input, if there is one.
    """
    name = torch_class_of(layer)
    order = {"nn.LSTM": (0, 1, 2, 3), "nn.GRU": (1, 0, 2), "nn.RNN": (0,)}[name]
    words = _sizes(layer)
    if layer.activation().name == "relu":
        words.append('nonlinearity="relu"')
    if not layer.has("bias"):
        words.append("bias=False")
    words.append("batch_first=True")
    if backward is not None:
        words.append("bidirectional=True")
    state, frozen = {}, []
    for ending, one in (("l0", layer), ("l0_reverse", backward)):
        if one is None:
            continue
        state[f"weight_ih_{ending}"] = one.array("kernel", convert=gates(*order))
        state[f"weight_hh_{ending}"] = one.array("recurrent_kernel", convert=gates(*order))
        if one.has("bias") and name == "nn.GRU":
            for number, key in enumerate(("bias_ih", "bias_hh")):
                state[f"{key}_{ending}"] = one.array("bias", convert=_of_two(number, order))
        elif one.has("bias"):
            state[f"bias_ih_{ending}"] = one.array("bias")
            state[f"bias_hh_{ending}"] = one.array("bias", convert=np.zeros_like)
            frozen.append(f"bias_hh_{ending}")
    if frozen:
        layer.note(ONE_BIAS)
    return layer.module(f"{name}({', '.join(words)})", state, frozen=tuple(frozen))


def _own_module(layer: Layer) -> str:
    """Add a module of the helpers, for activations and formulas that PyTorch's modules have not."""
    kind = kind_of(layer)
    has_two_biases = kind == "GRU" and layer.flag("reset_after")
    functions = ("activation",) if kind == "SimpleRNN" else ("recurrent_activation", "activation")
    words = [*_sizes(layer), *(as_function(layer.activation(key), layer.define) for key in functions)]
    if not layer.has("bias"):
        words.append("bias=False")
    convert = gates(*{"LSTM": (0, 1, 3, 2), "GRU": (0, 1, 2), "SimpleRNN": (0,)}[kind])
    state = {
        "input.weight": layer.array("kernel", convert=convert),
        "recurrent.weight": layer.array("recurrent_kernel", convert=convert),
    }
    if layer.has("bias") and has_two_biases:
        state["input.bias"] = layer.array("bias", convert=lambda bias: bias[0])
        state["recurrent.bias"] = layer.array("bias", convert=lambda bias: bias[1])
    elif layer.has("bias"):
        state["input.bias"] = layer.array("bias", convert=convert)
    name = {"LSTM": "KerasLSTM", "GRU": "KerasGRU", "SimpleRNN": "KerasRNN"}[kind]
    return layer.module(f"{'ResetAfterGRU' if has_two_biases else name}({', '.join(words)})", state)


def _sizes(layer: Layer) -> list[str]:
    return [str(layer.shape("kernel")[0]), str(layer.shape("recurrent_kernel")[0])]


def _of_two(number: int, order: tuple[int, ...]) -> "Callable[[NDArray[Any]], NDArray[Any]]":
    return lambda bias: gates(*order)(bias[number])


def note_dropout(layer: Layer) -> None:
    """Note the dropouts inside of a recurrent layer, which only training knows."""
    for key, sentence in (("dropout", DROPOUT), ("recurrent_dropout", RECURRENT_DROPOUT)):
        if layer.number(key):
            layer.note(sentence.format(name=layer.name, rate=layer.number(key)))


# What forward writes


@dataclass(frozen=True)
class Steps:
    """A sequence that a recurrent layer runs over, as expressions.

    Attributes:
        x: the sequence, (B, T, ...).
        mask: which steps count, (B, T), True where one does; None if all do.
        rank: the number of axes of ``x``.
    """

    x: str
    mask: str | None = None
    rank: int = 3

    def flipped(self, site: Site) -> "Steps":
        """Return the sequence backwards."""
        mask = None if self.mask is None else site.named(f"{self.mask}.flip(1)", "mask").text
        return replace(self, x=f"{self.x}.flip(1)", mask=mask)

    def beside(self, mask: str, index: str) -> str:
        """Return an index of a mask with axes of 1 behind it, to stand beside states or outputs."""
        return f"{mask}[{index}{', None' * (self.rank - 2)}]"


def run(
    made: Recurrence, site: Site, steps: Steps, initial: Sequence[str], layer: Layer, *, sequences: bool
) -> tuple[str, list[str]]:
    """Write a call of a recurrent module.

    Args:
        made: the module.
        site: the call, for names.
        steps: what it runs over.
        initial: the initial states, (B, units) each; empty for zeros.
        layer: the config, for the states and for what masked steps put out.
        sequences: whether the output of every step is wanted, not of the last alone.

    Returns:
        The output, and the states behind the last step or nothing.
    """
    begin = _begin(made, site, initial)
    states = layer.flag("return_state")
    if steps.mask is not None:
        y, finals = _masked(made, site, steps, initial, begin, states)
        at = "..." if sequences else ":, -1"
        y = y if sequences else f"{y}[:, -1]"
        is_zero = layer.text("masked_steps") != "repeat"
        return (f"({y} * {steps.beside(steps.mask, at)})" if is_zero else y), finals
    call = f"{made.module}({steps.x}{begin})"
    if states:
        y, finals = _unpacked(made, site, call)
        return (y if sequences else finals[0]), finals
    return (f"{call}[0]" if sequences else f"{call}[0][:, -1]"), []


def _masked(
    made: Recurrence, site: Site, steps: Steps, initial: Sequence[str], begin: str, states: bool
) -> tuple[str, list[str]]:
    """Write a call that leaves out masked steps; return the output of every step, and states if wanted."""
    assert steps.mask is not None
    call = f"({made.module}, {steps.x}, {steps.mask}{begin})"
    starts_with_state = bool(initial) and "first_output" in site.arguments
    if states and made.states == 2:
        y, finals = _unpacked(made, site, f"{'pack' if made.is_torch else 'step'}_masked{call}")
    elif not states and not starts_with_state:
        return f"skip_masked{call}", []
    else:
        y = site.named(f"skip_masked{call}", "steps").text
        finals = [f"{y}[:, -1]"]
        if initial:
            some = steps.beside(f"{steps.mask}.any(1)", ":")
            finals = [f"torch.where({some}, {y}[:, -1], {initial[0]})"]
    if starts_with_state:
        begun = steps.beside(f"{steps.mask}.cumsum(1)", "...")
        y = site.named(f"torch.where({begun} > 0, {y}, {initial[0]}.unsqueeze(1))", "steps").text
    return y, finals if states else []


def _begin(made: Recurrence, site: Site, initial: Sequence[str]) -> str:
    """Return the initial state as a further argument of a call, with a comma in front; "" for zeros."""
    if not initial:
        return ""
    if made.is_torch:
        stacked = [f"{state}.unsqueeze(0)" for state in initial]
        initial = [str(site.body.known.get(state, state)) for state in stacked]
    return f", {initial[0]}" if made.states == 1 else f", ({', '.join(initial)})"


def _unpacked(made: Recurrence, site: Site, call: str) -> tuple[str, list[str]]:
    """Write a call whose states are wanted; return the output and the states, (B, units) each."""
    site = replace(site, output_shapes=(None,))
    y, *states = leaves(site.unpack(call, ("steps", "h" if made.states == 1 else ("h", "c"))))
    if not made.is_torch:
        return y, states
    for state in states:
        site.body.known[f"{state}[0].unsqueeze(0)"] = Value(state)
    return y, [f"{state}[0]" for state in states]


def along_time(layer: Layer, site: Site) -> Steps:
    """Return the sequence that a layer takes, with the batch first, backwards where it goes backwards."""
    x, mask = site.x, site.mask()
    steps = Steps(str(x), None if mask is None else str(mask), x.rank or 3)
    if layer.flag("time_major"):
        steps = replace(steps, x=f"{x}.transpose(0, 1)", mask=None if mask is None else f"{mask}.T")
    return steps.flipped(site) if layer.flag("go_backwards") else steps


def results(layer: Layer, site: Site, y: str, states: Sequence[str]) -> Result:
    """Return what a layer returns: the output, in Keras's order of axes, and the states."""
    if layer.flag("time_major") and layer.flag("return_sequences"):
        y = f"{y}.transpose(0, 1)"
    return (y, *states) if states else y


RECURRENT: Final = ("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU")
"""Layers that are one cell over vectors."""


@translates(*RECURRENT)
def recurrent(layer: Layer) -> Forward:
    """nn.LSTM, nn.GRU or nn.RNN where the activations are theirs; else a class that is as Keras's."""
    made = recurrence(layer)

    def forward(site: Site) -> Result:
        initial = [str(site.last(state)) for state in site.values("initial_state")]
        sequences = layer.flag("return_sequences")
        y, states = run(made, site, along_time(layer, site), initial, layer, sequences=sequences)
        return results(layer, site, y, states)

    return forward


@translates("RNN", restriction="cells of Keras: LSTMCell, GRUCell, SimpleRNNCell, StackedRNNCells")
def rnn(layer: Layer) -> Forward:
    """The layer of its cell; stacked cells are layers one behind the other: each sees only the one below."""
    cells = cells_of(layer)
    made = [recurrence(cell) for cell in cells]
    backwards = "cell" in layer.record.inner and layer.record.inner["cell"].config.get("reverse_state_order")

    def forward(site: Site) -> Result:
        given = [str(site.last(state)) for state in site.values("initial_state")]
        order = list(reversed(range(len(made)))) if backwards else list(range(len(made)))
        initial: dict[int, list[str]] = {}
        for number in order:
            count = made[number].states
            initial[number], given = given[:count], given[count:]
        steps, finals = along_time(layer, site), {}
        for number, one in enumerate(made):
            is_last = number == len(made) - 1
            at = site if is_last else replace(site, name=f"{site.name}_{number}", output_shapes=(None,))
            sequences = layer.flag("return_sequences") or not is_last
            y, finals[number] = run(one, at, steps, initial[number], layer, sequences=sequences)
            if not is_last:
                steps = replace(steps, x=at.named(y).text)
        return results(layer, site, y, [state for number in order for state in finals[number]])

    return forward


def cells_of(layer: Layer) -> list[Layer]:
    """Return the cells of an RNN as layers that are called after it and, if there are several, numbered."""
    outer = layer
    if "cell" in layer.record.inner:
        if not layer.record.inner["cell"].is_a("StackedRNNCells"):
            return [layer.child("cell")]
        outer = layer.child("cell")
    keys = list(outer.record.inner)
    return [outer.child(key, str(number) if len(keys) > 1 else "") for number, key in enumerate(keys)]
