"""Read functions of keras.ops and TensorFlow that are nodes of a graph, under one name each.

The names and parameters are those of keras.ops. TensorFlow up to 2.3 writes the operations of its graph
(`TensorFlowOpLayer`), later the Python function (`TFOpLambda`, `SlicingOpLambda`).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from itertools import accumulate

from batchdot.porting.errors import quote
from batchdot.porting.record.item import Item, shortest
from batchdot.porting.record.nodes import Node, refused
from batchdot.porting.record.operation_names import (
    DEFAULTS,
    DTYPES,
    FUNCTIONS,
    GRAPH,
    KERAS3,
    PARAMETERS,
    RENAMED,
)
from batchdot.porting.record.values import EllipsisIndex, FrozenMap, Slice, TensorRef, Value

FLAT = ("TFOpLambda", "SlicingOpLambda")
CLASSES = (*FLAT, "TensorFlowOpLayer")

LOST = "the file does not say what it works on: TensorFlow lost its operands when it saved the model"


def is_flat(entry: Item) -> bool:
    """Whether the calls of an entry have one list less around them."""
    return entry.get("class_name").value in FLAT


def snake(name: str) -> str:
    """Return a class name as Keras writes names of attributes.

    >>> snake("TrueDivide"), snake("PReLU"), snake("Conv2DTranspose"), snake("TFOpLambda")
    ('true_divide', 'p_re_lu', 'conv2d_transpose', 'tf_op_lambda')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def keras3_name(class_name: str) -> str:
    """Return the function that an operation of Keras 3 is, by the name of its class."""
    name = snake(class_name)
    return KERAS3.get(name, name)


def read_operation(class_name: str, config: Item) -> tuple[str, dict[str, Value], str]:
    """Return the name of an operation, what its config says of its arguments, and why it is not known.

    Raises:
        ModelFileError: its config is damaged.
    """
    if class_name in FLAT:
        function = config.get("function").name()
        name = FUNCTIONS.get(function, function)
        known = function in FUNCTIONS and (name in PARAMETERS)
        return name, {}, "" if known else f"the function {quote('tf.' + function)} is not known"
    if class_name == "TensorFlowOpLayer":
        return _graph_operation(config)
    name = keras3_name(class_name)
    settings = {
        key: _plain(item)
        for key, item in config.members()
        if key not in ("name", "trainable", "dtype") or (key == "dtype" and name == "cast")
    }
    for old, new in (("keep_dims", "keepdims"),):
        if old in settings:
            settings[new] = settings.pop(old)
    settings = {key: value for key, value in settings.items() if value is not None or key == "axis"}
    return name, settings, "" if name in PARAMETERS else f"the operation {quote(name)} is not known"


def _plain(item: Item) -> Value:
    if isinstance(item.value, list):
        return tuple(_plain(part) for part in item.items())
    if isinstance(item.value, dict):
        if item.value.get("class_name") == "DTypePolicy":
            return str(item.get("config").get("name").value)
        return FrozenMap({key: _plain(part) for key, part in item.members()})
    return shortest(item.value) if isinstance(item.value, float) else item.value


def _graph_operation(config: Item) -> tuple[str, dict[str, Value], str]:
    node = config.get("node_def")
    operation = node.get("op").name()
    name = GRAPH.get(operation, operation)
    attributes = node.get("attr") if node.has("attr") else Item({})
    settings: dict[str, Value] = {"#": None}  # marks positions rather than parameters
    for key, item in attributes.members():
        value = _attribute(item)
        if key in (
            "keep_dims",
            "axis",
            "squeeze_dims",
            "equation",
            "DstT",
            "alpha",
            "num_split",
        ) or key.endswith("_mask"):
            settings[key] = value
        elif key in ("adj_x", "adj_y", "transpose_a", "transpose_b") and value:
            settings["transpose_x1" if key in ("adj_x", "transpose_a") else "transpose_x2"] = True
    constants = config.get("constants") if config.has("constants") else Item({})
    if constants.value is not None:
        for key, item in constants.members():
            if not key.isascii() or not key.isdigit() or len(key) > 3:
                raise item.wrong("a constant at a position")
            settings[f"#{int(key)}"] = _plain(item)
    return (
        name,
        settings,
        "" if operation in GRAPH else f"the operation {quote(operation)} of TensorFlow is not known",
    )


def _attribute(item: Item) -> Value:
    """Return an attribute of TensorFlow's graph: bytes are base64, integers are text."""
    for kind, part in item.members():
        if kind == "b":
            return part.flag()
        if kind == "i":
            return _int64(part)
        if kind == "f":
            return part.number()
        if kind == "s":
            try:
                return base64.b64decode(part.text(), validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError, ValueError):
                raise part.wrong("text as base64") from None
        if kind == "type":
            return part.text()
        if kind == "list":
            numbers = part.get("i")
            return tuple(_int64(number) for number in numbers.items()) if numbers.value is not None else ()
    return None


def _int64(item: Item) -> int:
    if isinstance(item.value, str) and re.fullmatch(r"-?\d{1,19}", item.value):
        return int(item.value)
    return item.integer()


def operation_arguments(name: str, settings: Mapping[str, Value], node: Node) -> dict[str, Value]:
    """Return what an operation is called with, by the parameters of keras.ops.

    Raises:
        ModelFileError: it is called with what it does not take.
    """
    if "#" in settings:
        return _graph_arguments(name, settings, node)
    given: dict[str, Value] = {}
    parameters = PARAMETERS.get(name, ())
    args = node.args
    if name == "einsum":
        operands = tuple(value for value in args if isinstance(value, TensorRef))
        texts = [value for value in (*args, settings.get("subscripts")) if isinstance(value, str)]
        return {"subscripts": texts[0] if texts else "", "operands": operands}
    for position, value in enumerate(args):
        key = parameters[position] if position < len(parameters) else f"argument {position}"
        given[key] = value
    for key, value in node.kwargs.items():
        if key != "name" and not (value is None and key not in parameters):
            if key == "num_or_size_splits":
                value = _indices(value)
            given[_renamed(name, key, parameters)] = value
    for key, value in settings.items():
        given.setdefault(_renamed(name, key, parameters), value)
    return _completed(name, given)


def _indices(sizes: Value) -> Value:
    """Return where keras.ops splits into parts of these sizes, of which the last may be -1, the rest."""
    if not isinstance(sizes, tuple):
        return sizes
    before = [size for size in sizes[:-1] if isinstance(size, int) and size >= 0]
    return tuple(accumulate(before)) if len(before) == len(sizes) - 1 else None


def _renamed(name: str, key: str, parameters: tuple[str, ...]) -> str:
    if key in parameters:
        return key
    if name == "where" and key in ("x", "y"):
        return {"x": "x1", "y": "x2"}[key]
    if name in ("broadcast_to",) and key == "shape":
        return key
    return RENAMED.get(key, key)


def _completed(name: str, given: dict[str, Value]) -> dict[str, Value]:
    parameters = PARAMETERS.get(name, ())
    complete = {**DEFAULTS.get(name, {}), **given}
    ordered = {key: complete[key] for key in parameters if key in complete}
    ignored = ("out_type", "conjugate", "a_is_sparse", "b_is_sparse", "output_type", "initial")
    rest = {key: value for key, value in complete.items() if key not in ordered and key not in ignored}
    return {
        **ordered,
        **{key: value for key, value in rest.items() if value is not None and value is not False},
    }


def _graph_arguments(name: str, settings: Mapping[str, Value], node: Node) -> dict[str, Value]:
    constants = {int(key[1:]): value for key, value in settings.items() if key.startswith("#") and key != "#"}
    tensors = list(_flat(node.args))
    values: list[Value] = []
    for position in range(len(constants) + len(tensors)):
        if position in constants:
            values.append(constants[position])
        elif tensors:
            values.append(tensors.pop(0))
        else:
            raise refused(node, "constants of an operation that leave gaps")
    attributes = {key: value for key, value in settings.items() if not key.startswith("#")}
    given = {
        key: value for key, value in attributes.items() if key.startswith("transpose_") or key in ("alpha",)
    }
    if name == "get_item":
        return {"x": values[0] if values else None, "key": _strided(values[1:4], attributes, node)}
    if name == "cast":
        return {
            "x": values[0] if values else None,
            "dtype": DTYPES.get(str(attributes.get("DstT")), "unknown"),
        }
    if name == "einsum":
        return {"subscripts": attributes.get("equation", ""), "operands": tuple(values)}
    if name == "concatenate":
        return {"xs": tuple(values[:-1]), "axis": values[-1] if values else None}
    if name == "stack":
        return {"xs": tuple(values), "axis": attributes.get("axis", 0)}
    if name == "split" and len(values) == 3:
        return {"x": values[0], "indices_or_sections": _indices(values[1]), "axis": values[2]}
    if name == "split":
        return {
            "x": values[-1] if values else None,
            "indices_or_sections": attributes.get("num_split"),
            "axis": values[0] if values else None,
        }
    if name == "squeeze":
        axes = attributes.get("squeeze_dims")
        axis: Value = axes[0] if isinstance(axes, tuple) and len(axes) == 1 else axes
        return {"x": values[0] if values else None, "axis": None if axis == () else axis}
    given |= dict(zip(PARAMETERS.get(name, ()), values, strict=False))
    if "keep_dims" in attributes:
        given["keepdims"] = attributes["keep_dims"]
    if name in ("softmax", "log_softmax"):
        given["axis"] = -1
    return _completed(name, given)


def _flat(value: Value) -> list[Value]:
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in _flat(item)]
    return [value]


def _strided(bounds: list[Value], attributes: Mapping[str, Value], node: Node) -> Value:
    """Return the index that a strided slice with bit masks is."""
    if len(bounds) != 3 or not all(isinstance(bound, tuple) for bound in bounds):
        raise refused(node, "a slice whose bounds are computed", "constants")
    begin, end, stride = (bound if isinstance(bound, tuple) else () for bound in bounds)
    if not len(begin) == len(end) == len(stride) <= 32:
        raise refused(node, "a slice whose bounds have different lengths")

    def bit(kind: str, axis: int) -> bool:
        mask = attributes.get(f"{kind}_mask", 0)
        return isinstance(mask, int) and bool(mask >> axis & 1)

    key: list[Value] = []
    for axis in range(len(begin)):
        if bit("ellipsis", axis):
            key.append(EllipsisIndex())
        elif bit("new_axis", axis):
            key.append(None)
        elif bit("shrink_axis", axis):
            key.append(begin[axis])
        else:
            start = None if bit("begin", axis) else begin[axis]
            stop = None if bit("end", axis) else end[axis]
            key.append(Slice(start, stop, None if stride[axis] == 1 else stride[axis]))
    return tuple(key)
