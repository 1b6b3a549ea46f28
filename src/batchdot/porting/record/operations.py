"""Operations: functions of keras.ops and of TensorFlow that stand in a graph, under one name each.

The names and parameters are those of keras.ops. TensorFlow up to 2.3 writes the operations of its graph
(`TensorFlowOpLayer`), later the Python function (`TFOpLambda`, `SlicingOpLambda`).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from batchdot.porting.errors import quote
from batchdot.porting.record.item import Item
from batchdot.porting.record.nodes import Node, refused
from batchdot.porting.record.values import Ellipsis_, FrozenMap, Slice, TensorRef, Value

BINARY = [
    "add",
    "subtract",
    "multiply",
    "true_divide",
    "floor_divide",
    "power",
    "maximum",
    "minimum",
    "matmul",
    "mod",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "arctan2",
    "squared_difference",
]
UNARY = [
    "negative",
    "absolute",
    "square",
    "sqrt",
    "rsqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "sigmoid",
    "relu",
    "relu6",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "silu",
    "gelu",
    "erf",
    "floor",
    "ceil",
    "round",
    "sign",
    "reciprocal",
    "logical_not",
    "isnan",
    "zeros_like",
    "ones_like",
    "shape",
    "stop_gradient",
    "identity",
    "leaky_relu",
]
REDUCTIONS = ["sum", "mean", "max", "min", "prod", "any", "all", "var", "std", "logsumexp"]

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(BINARY, ("x1", "x2")),
    **dict.fromkeys(UNARY, ("x",)),
    **dict.fromkeys(REDUCTIONS, ("x", "axis", "keepdims")),
    "argmax": ("x", "axis", "keepdims"),
    "argmin": ("x", "axis", "keepdims"),
    "softmax": ("x", "axis"),
    "log_softmax": ("x", "axis"),
    "normalize": ("x", "axis", "order", "epsilon"),
    "clip": ("x", "x_min", "x_max"),
    "cast": ("x", "dtype"),
    "concatenate": ("xs", "axis"),
    "stack": ("xs", "axis"),
    "split": ("x", "indices_or_sections", "axis"),
    "squeeze": ("x", "axis"),
    "expand_dims": ("x", "axis"),
    "reshape": ("x", "newshape"),
    "transpose": ("x", "axes"),
    "get_item": ("x", "key"),
    "where": ("condition", "x1", "x2"),
    "einsum": ("subscripts", "operands"),
    "tile": ("x", "repeats"),
    "repeat": ("x", "repeats", "axis"),
    "pad": ("x", "pad_width", "mode", "constant_values"),
    "flip": ("x", "axis"),
    "take": ("x", "indices", "axis"),
    "dot": ("x1", "x2"),
    "tensordot": ("x1", "x2", "axes"),
    "one_hot": ("x", "num_classes", "axis"),
    "cumsum": ("x", "axis"),
    "broadcast_to": ("x", "shape"),
    "swapaxes": ("x", "axis1", "axis2"),
    "moveaxis": ("x", "source", "destination"),
    "average": ("x", "axis", "weights"),
}
"""Every operation that is known, with its parameters in order."""

DEFAULTS: Final[dict[str, dict[str, Value]]] = {
    **{name: {"axis": None, "keepdims": False} for name in REDUCTIONS},
    "softmax": {"axis": -1},
    "log_softmax": {"axis": -1},
    "normalize": {"axis": -1, "order": 2},
    "concatenate": {"axis": -1},
    "stack": {"axis": 0},
    "split": {"axis": 0},
    "transpose": {"axes": None},
    "squeeze": {"axis": None},
}

FUNCTIONS: Final = {
    "__operators__.add": "add", "math.add": "add", "math.subtract": "subtract",
    "__operators__.sub": "subtract", "math.multiply": "multiply", "__operators__.mul": "multiply",
    "math.truediv": "true_divide", "math.divide": "true_divide", "math.floordiv": "floor_divide",
    "math.floormod": "mod", "math.pow": "power", "math.maximum": "maximum", "math.minimum": "minimum",
    "linalg.matmul": "matmul", "math.greater": "greater", "math.greater_equal": "greater_equal",
    "math.less": "less", "math.less_equal": "less_equal", "math.equal": "equal",
    "__operators__.eq": "equal", "math.not_equal": "not_equal", "__operators__.ne": "not_equal",
    "math.logical_and": "logical_and", "math.logical_or": "logical_or",
    "math.squared_difference": "squared_difference", "math.negative": "negative", "math.abs": "absolute",
    "math.square": "square", "math.sqrt": "sqrt", "math.rsqrt": "rsqrt", "math.exp": "exp",
    "math.log": "log", "math.log1p": "log1p", "math.sin": "sin", "math.cos": "cos", "math.tanh": "tanh",
    "math.sigmoid": "sigmoid", "math.erf": "erf", "math.floor": "floor", "math.ceil": "ceil",
    "math.round": "round", "math.sign": "sign", "math.reciprocal": "reciprocal",
    "math.logical_not": "logical_not", "nn.relu": "relu", "nn.relu6": "relu6", "nn.elu": "elu",
    "nn.selu": "selu", "nn.silu": "silu", "nn.gelu": "gelu", "nn.leaky_relu": "leaky_relu",
    "nn.tanh": "tanh", "nn.sigmoid": "sigmoid", "nn.softplus": "softplus", "math.softplus": "softplus",
    "nn.softmax": "softmax", "compat.v1.nn.softmax": "softmax", "nn.log_softmax": "log_softmax",
    "math.reduce_sum": "sum", "math.reduce_mean": "mean", "math.reduce_max": "max",
    "math.reduce_min": "min", "math.reduce_prod": "prod", "math.reduce_any": "any",
    "math.reduce_all": "all", "math.reduce_std": "std", "math.reduce_variance": "var",
    "math.reduce_logsumexp": "logsumexp", "math.argmax": "argmax", "math.argmin": "argmin",
    "math.l2_normalize": "normalize", "linalg.l2_normalize": "normalize", "clip_by_value": "clip",
    "cast": "cast", "concat": "concatenate", "stack": "stack", "split": "split", "squeeze": "squeeze",
    "compat.v1.squeeze": "squeeze", "expand_dims": "expand_dims", "reshape": "reshape",
    "transpose": "transpose", "compat.v1.transpose": "transpose", "__operators__.getitem": "get_item",
    "where": "where", "compat.v1.where": "where", "einsum": "einsum", "tile": "tile", "repeat": "repeat",
    "reverse": "flip", "gather": "take", "compat.v1.gather": "take", "shape": "shape",
    "compat.v1.shape": "shape", "zeros_like": "zeros_like", "ones_like": "ones_like",
    "compat.v1.zeros_like": "zeros_like", "identity": "identity", "stop_gradient": "stop_gradient",
    "math.cumsum": "cumsum", "broadcast_to": "broadcast_to", "tensordot": "tensordot",
    "one_hot": "one_hot",
}  # fmt: skip
"""Functions of TensorFlow, as TFOpLambda names them."""

RENAMED: Final = {
    "y": "x2", "b": "x2", "a": "x1", "perm": "axes", "clip_value_min": "x_min", "clip_value_max": "x_max",
    "num_or_size_splits": "indices_or_sections", "shape": "newshape", "keep_dims": "keepdims",
    "slice_spec": "key", "values": "xs", "input_tensor": "x", "tensor": "x", "multiples": "repeats",
    "logits": "x", "features": "x", "transpose_a": "transpose_x1", "transpose_b": "transpose_x2",
    "adjoint_a": "adjoint_x1", "adjoint_b": "adjoint_x2", "input": "x", "squeeze_dims": "axis",
    "dim": "axis", "params": "x", "num_splits": "indices_or_sections",
}  # fmt: skip

GRAPH: Final = {
    "AddV2": "add", "Add": "add", "BiasAdd": "add", "Sub": "subtract", "Mul": "multiply",
    "RealDiv": "true_divide", "Div": "true_divide", "FloorDiv": "floor_divide", "FloorMod": "mod",
    "Pow": "power", "Maximum": "maximum", "Minimum": "minimum", "BatchMatMulV2": "matmul",
    "BatchMatMul": "matmul", "MatMul": "matmul", "Greater": "greater", "GreaterEqual": "greater_equal",
    "Less": "less", "LessEqual": "less_equal", "Equal": "equal", "NotEqual": "not_equal",
    "LogicalAnd": "logical_and", "LogicalOr": "logical_or", "SquaredDifference": "squared_difference",
    "Neg": "negative", "Abs": "absolute", "Square": "square", "Sqrt": "sqrt", "Rsqrt": "rsqrt",
    "Exp": "exp", "Log": "log", "Log1p": "log1p", "Sin": "sin", "Cos": "cos", "Tanh": "tanh",
    "Sigmoid": "sigmoid", "Erf": "erf", "Floor": "floor", "Ceil": "ceil", "Round": "round",
    "Sign": "sign", "Reciprocal": "reciprocal", "Inv": "reciprocal", "LogicalNot": "logical_not",
    "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu", "Softplus": "softplus",
    "Softsign": "softsign", "LeakyRelu": "leaky_relu", "Softmax": "softmax", "LogSoftmax": "log_softmax",
    "Sum": "sum", "Mean": "mean", "Max": "max", "Min": "min", "Prod": "prod", "Any": "any", "All": "all",
    "ArgMax": "argmax", "ArgMin": "argmin", "Cast": "cast", "ConcatV2": "concatenate", "Pack": "stack",
    "Split": "split", "Squeeze": "squeeze", "ExpandDims": "expand_dims", "Reshape": "reshape",
    "Transpose": "transpose", "StridedSlice": "get_item", "Select": "where", "SelectV2": "where",
    "Einsum": "einsum", "Tile": "tile", "GatherV2": "take", "Shape": "shape", "ZerosLike": "zeros_like",
    "OnesLike": "ones_like", "Identity": "identity", "StopGradient": "stop_gradient", "ReverseV2": "flip",
    "ClipByValue": "clip", "BroadcastTo": "broadcast_to",
}  # fmt: skip
"""Operations of TensorFlow's graph."""

KERAS3: Final = {"abs": "absolute", "divide": "true_divide", "amax": "max", "amin": "min"}

DTYPES: Final = {
    "DT_HALF": "float16", "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_BFLOAT16": "bfloat16",
    "DT_INT8": "int8", "DT_INT16": "int16", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8",
    "DT_BOOL": "bool",
}  # fmt: skip

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
    return item.value


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
            given[_renamed(name, key, parameters)] = value
    for key, value in settings.items():
        given.setdefault(_renamed(name, key, parameters), value)
    return _completed(name, given)


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
    if name == "normalize":
        complete.setdefault("epsilon", 1e-12)
        if complete["epsilon"] is None:
            complete["epsilon"] = 1e-12
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
            key.append(Ellipsis_())
        elif bit("new_axis", axis):
            key.append(None)
        elif bit("shrink_axis", axis):
            key.append(begin[axis])
        else:
            start = None if bit("begin", axis) else begin[axis]
            stop = None if bit("end", axis) else end[axis]
            key.append(Slice(start, stop, None if stride[axis] == 1 else stride[axis]))
    return tuple(key)
