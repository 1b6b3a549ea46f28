"""Name the arguments of a layer's call by its parameters, for every version of Keras."""

from batchdot.porting.record.nodes import Node, refused
from batchdot.porting.record.operations import operation_arguments
from batchdot.porting.record.values import FrozenMap, LayerRecord, TensorRef, Value, refs_in

RECURRENT = (
    *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "CuDNNLSTM", "CuDNNGRU"),
    *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
)
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
HEADS = ("MultiHeadAttention", "GroupedQueryAttention")
LISTS = (*MERGES, "Attention", "AdditiveAttention")

PARAMETERS = {
    **dict.fromkeys(RECURRENT, ("inputs", "initial_state", "constants")),
    **dict.fromkeys(HEADS, ("query", "value", "key")),
}
"""Names of positional arguments; other layers take ``inputs``."""

NULL_IS_NOTHING = (
    "initial_state",
    "constants",
    "key",
    "training",
    "attention_mask",
    "return_attention_scores",
)


def call_arguments(layer: LayerRecord, node: Node, is_keras3: bool) -> dict[str, Value]:
    """Return the arguments of a call. A mask that was passed stays, None included: it was obeyed.

    Raises:
        ModelFileError: a call gives a layer what it does not take.
    """
    if layer.kind == "operation":
        return operation_arguments(layer.class_name, dict(layer.config), node)
    names = PARAMETERS.get(layer.class_name, ("inputs",))
    args = node.args
    if layer.is_a(*RECURRENT) and len(args) == 1 and isinstance(args[0], tuple):
        args = _states(layer, args[0], node)
    if layer.is_a(*HEADS) and len(args) == 1 and isinstance(args[0], tuple):
        args = args[0]
    if is_keras3:  # which overrides it when the model runs
        node.kwargs.pop("training", None)
    given: dict[str, Value] = {}
    for position, value in enumerate(args):
        if position < len(names):
            given[names[position]] = value
        else:
            given[f"argument {position}"] = value
    for key, value in node.kwargs.items():
        if key in given and given[key] is not None:
            if value is not None:
                raise refused(node, f"the argument {key!r} twice")
            continue
        given[key] = value
    for key in ("initial_state", "constants"):
        if isinstance(given.get(key), TensorRef):
            given[key] = (given[key],)
    if layer.is_a(*LISTS):
        given["inputs"] = _as_list(given.get("inputs"))
    return {key: value for key, value in given.items() if value is not None or key not in NULL_IS_NOTHING}


def _as_list(value: Value) -> Value:
    if isinstance(value, (tuple, FrozenMap)):
        return value
    return (value,)


def _states(layer: LayerRecord, tensors: tuple[Value, ...], node: Node) -> tuple[Value, ...]:
    """Take the states and constants apart that Keras 2 appends to the input of a recurrent layer."""
    flat = [value[0] if isinstance(value, tuple) and len(value) == 1 else value for value in tensors]
    if not all(isinstance(value, TensorRef) for value in flat):
        flat = list(refs_in(tensors))
    count = layer.config.get("num_constants")
    constants = count if isinstance(count, int) else 0
    if constants < 0 or constants >= len(flat):
        raise refused(node, f"{constants} constants among {len(flat)} tensors")
    end = len(flat) - constants
    return (flat[0], tuple(flat[1:end]) or None, tuple(flat[end:]) or None)
