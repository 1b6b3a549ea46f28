"""Specifications of the layers in Keras's folder ``rnn``: recurrent ones, their cells and wrappers."""

from collections.abc import Callable, Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.activations import named, parse_activation
from batchdot.porting.record.classes.convolution import conv_fields
from batchdot.porting.record.classes.spatial import join, split, window
from batchdot.porting.record.classes.spec import (
    USE_BIAS,
    Config,
    Infer,
    Slot,
    Slots,
    Spec,
    bias,
    trained,
    unknown_shape,
    whole,
    whole_tuple,
)
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value

TANH = Field(parse_activation, lambda era: named("tanh", era))


def _gate(era: Era) -> Value:
    return named("hard_sigmoid" if era.before(keras2=(2, 3), tf=(2, 0)) else "sigmoid", era)


def _conv_gate(era: Era) -> Value:
    return named("sigmoid" if era.is_keras3 else "hard_sigmoid", era)


GATE = Field(parse_activation, _gate, ("inner_activation",))
RESET_AFTER = Field(fields.flag, lambda era: not era.before(keras2=(9,), tf=(2, 0)))

TRAINED = trained("kernel", "recurrent", "bias")

CELL = {
    "units": Field(fields.positive),
    "activation": TANH,
    "use_bias": USE_BIAS,
    "dropout": Field(fields.number, 0.0, ("dropout_W",)),
    "recurrent_dropout": Field(fields.number, 0.0, ("dropout_U",)),
    **TRAINED,
}
LSTM = {**CELL, "recurrent_activation": GATE}
GRU = {**CELL, "recurrent_activation": GATE, "reset_after": RESET_AFTER}

SEQUENCE = {
    "return_sequences": Field(fields.flag, False),
    "return_state": Field(fields.flag, False),
    "go_backwards": Field(fields.flag, False),
    "stateful": Field(fields.flag, False),
    "time_major": Field(fields.flag, False),
    "zero_output_for_mask": Field(fields.flag, False),
}

IGNORED = frozenset(
    {"unit_forget_bias", "implementation", "unroll", "consume_less", "input_length", "num_constants"}
)


def gates(config: Config, count: int, owner: tuple[str, ...]) -> tuple[Slot, ...]:
    """Return the slots of a cell with ``count`` gates."""
    units = whole(config, "units")
    slots = [
        Slot("kernel", ("in", count * units), owner, suffixes=("W",)),
        Slot("recurrent_kernel", (units, count * units), owner, suffixes=("U",)),
    ]
    if config["use_bias"]:
        shape = (2, count * units) if config.get("reset_after") else (count * units,)
        slots.append(Slot("bias", shape, owner, suffixes=("b",)))
    return tuple(slots)


def _rnn_shape(count: int) -> Infer:
    def infer(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = shapes[0] if shapes else None
        units = whole(config, "units")
        if shape is None or len(shape) < 3:
            return (None,) * (1 + (count if config["return_state"] else 0))
        batch, time = (shape[1], shape[0]) if config["time_major"] else (shape[0], shape[1])
        sequence = (time, batch, units) if config["time_major"] else (batch, time, units)
        output: Shape = sequence if config["return_sequences"] else (batch, units)
        return (output, *([(batch, units)] * count if config["return_state"] else []))

    return infer


def _convlstm(config: Config) -> tuple[Slot, ...]:
    filters, size = whole(config, "filters"), whole_tuple(config, "kernel_size")
    return (
        Slot("kernel", (*size, "in", 4 * filters), ("cell", ""), suffixes=("W",)),
        Slot("recurrent_kernel", (*size, filters, 4 * filters), ("cell", ""), suffixes=("U",)),
        *(Slot("bias", slot.shape, ("cell", ""), suffixes=("b",)) for slot in bias(config, 4 * filters)),
    )


def _convlstm_symbols(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    shape = shapes[0] if shapes else None
    return {"in": split(config, (shape[0], *shape[2:]))[1]} if shape and len(shape) > 3 else {}


def _convlstm_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    shape = shapes[0] if shapes else None
    extra = 2 if config["return_state"] else 0
    size = whole_tuple(config, "kernel_size")
    if shape is None or len(shape) != len(size) + 3:
        return (None,) * (1 + extra)
    batch, time = shape[:2]
    space, _ = split(config, (batch, *shape[2:]))
    rest = zip(space, size, whole_tuple(config, "strides"), whole_tuple(config, "dilation_rate"), strict=True)
    made = tuple(
        window(axis, kernel, stride, str(config["padding"]), step) for axis, kernel, stride, step in rest
    )
    state = join(config, batch, made, whole(config, "filters"))
    assert state is not None
    output = (batch, time, *state[1:]) if config["return_sequences"] else state
    return (output, *((state,) * extra))


def finish_sequence(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say what masked steps put out: TensorFlow 2.0 and 2.1 do not obey ``zero_output_for_mask``."""
    zero = bool(config.pop("zero_output_for_mask", False))
    if era.family == "tf" and (2, 0) <= era.version < (2, 2):
        zero = False
    return {**config, "masked_steps": "zero" if zero else "repeat"}


def _finish_cudnn(kind: str) -> Callable[[dict[str, Value], Era], dict[str, Value]]:
    def finish(config: dict[str, Value], era: Era) -> dict[str, Value]:
        config = {**config, "activation": named("tanh", era), "recurrent_activation": named("sigmoid", era)}
        if kind == "gru":
            config["reset_after"] = True
        return finish_sequence(config, era)

    return finish


CUDNN = {
    "units": Field(fields.positive),
    "use_bias": Field(fields.flag, True),
    "dropout": Field(fields.number, 0.0),
    "recurrent_dropout": Field(fields.number, 0.0),
    **TRAINED,
    **SEQUENCE,
}


def _cudnn_slots(count: int, doubled: int) -> Slots:
    def slots(config: Config) -> tuple[Slot, ...]:
        units = whole(config, "units")
        return (
            Slot("kernel", ("in", count * units), ("cell", ""), suffixes=("W",)),
            Slot("recurrent_kernel", (units, count * units), ("cell", ""), suffixes=("U",)),
            Slot("bias", (doubled * units,), ("cell", ""), suffixes=("b",)),
        )

    return slots


def _convlstm_fields(rank: int) -> dict[str, Field]:
    conv = conv_fields(rank)
    conv.pop("groups")
    gate = Field(parse_activation, _conv_gate, ("inner_activation",))
    dropouts = {key: CELL[key] for key in ("dropout", "recurrent_dropout")}
    return {**conv, "activation": TANH, "recurrent_activation": gate, **dropouts, **TRAINED, **SEQUENCE}


_OWNERS = ("cell", "")

LAYERS = (
    Spec("LSTM", {**LSTM, **SEQUENCE}, lambda config: gates(config, 4, _OWNERS), _rnn_shape(2),
         finish=finish_sequence, drops=IGNORED, mask="rnn"),
    Spec("GRU", {**GRU, **SEQUENCE}, lambda config: gates(config, 3, _OWNERS), _rnn_shape(1),
         finish=finish_sequence, drops=IGNORED, mask="rnn"),
    Spec("SimpleRNN", {**CELL, **SEQUENCE}, lambda config: gates(config, 1, _OWNERS), _rnn_shape(1),
         finish=finish_sequence, drops=IGNORED, mask="rnn"),
    Spec("LSTMCell", LSTM, lambda config: gates(config, 4, ("",)), unknown_shape, drops=IGNORED),
    Spec("GRUCell", GRU, lambda config: gates(config, 3, ("",)), unknown_shape, drops=IGNORED),
    Spec("SimpleRNNCell", CELL, lambda config: gates(config, 1, ("",)), unknown_shape, drops=IGNORED),
    Spec("CuDNNLSTM", CUDNN, _cudnn_slots(4, 8), _rnn_shape(2),
         finish=_finish_cudnn("lstm"), drops=IGNORED, mask="rnn"),
    Spec("CuDNNGRU", CUDNN, _cudnn_slots(3, 6), _rnn_shape(1),
         finish=_finish_cudnn("gru"), drops=IGNORED, mask="rnn"),
    *(
        Spec(f"ConvLSTM{rank}D", _convlstm_fields(rank), _convlstm, _convlstm_shape, _convlstm_symbols,
             finish=finish_sequence, drops=IGNORED, mask="rnn")
        for rank in (1, 2, 3)
    ),
)  # fmt: skip

WRAPPERS = (
    Spec("TimeDistributed", infer=unknown_shape, children=("layer",), mask="time"),
    Spec(
        "Bidirectional",
        {
            "merge_mode": Field(fields.optional(fields.choice("concat", "sum", "mul", "ave")), "concat"),
        },
        infer=unknown_shape,
        children=("layer", "backward_layer"),
        mask="rnn",
    ),
    Spec(
        "RNN",
        {
            **{
                key: Field(fields.flag, False) for key in ("return_sequences", "return_state", "go_backwards")
            },
            **{key: Field(fields.flag, False) for key in ("stateful", "time_major", "zero_output_for_mask")},
            "num_constants": Field(fields.optional(fields.natural), None),
            "activity_regularizer": Field(fields.penalty, None),
        },
        infer=unknown_shape,
        children=("cell",),
        finish=finish_sequence,
        drops=frozenset({"unroll"}),
        mask="rnn",
    ),
    Spec(
        "StackedRNNCells",
        {
            "reverse_state_order": Field(
                fields.flag, lambda era: era.family == "keras2" and era.version < (2, 2)
            )
        },
        infer=unknown_shape,
        children=("cells",),
    ),
)

SPECS = (*LAYERS, *WRAPPERS)
