"""Translations of functions of keras.ops and TensorFlow that work elementwise."""

import re
from dataclasses import replace
from typing import Final

from batchdot.porting.errors import quote
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import Activation, FrozenMap
from batchdot.porting.record import Value as Constant
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.activations import activate
from batchdot.porting.translation.operations.operands import (
    has_only,
    integer,
    is_tensor,
    operand,
    operands,
    rank_of,
    result,
    source,
    tensor,
)
from batchdot.porting.translation.registry import Forward, Result, computes
from batchdot.porting.translation.site import Site

UNARY: Final = {
    **{
        name: f"torch.{name}({{x}})"
        for name in (
            *("sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "exp2"),
            *("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan"),
            *("arcsinh", "arccosh", "arctanh", "sigmoid", "erf", "reciprocal", "floor", "ceil", "round"),
            *("sign", "trunc", "isnan", "isinf", "isfinite", "zeros_like", "ones_like"),
        )
    },
    "negative": "-{x}",
    "absolute": "{x}.abs()",
    "square": "{x}.square()",
    "stop_gradient": "{x}.detach()",
    "logical_not": "torch.logical_not({x})",
}
"""Functions of one tensor as expressions."""

KEEPING: Final = (
    *("negative", "absolute", "square", "floor", "ceil", "round", "sign", "trunc"),
    *("zeros_like", "ones_like", "stop_gradient"),
)
"""Functions whose result is of the kind of their input."""

TESTS: Final = ("isnan", "isinf", "isfinite", "logical_not")


@computes(*UNARY)
def unary(layer: Layer) -> Forward:
    """The function of the same name."""
    name = layer.record.class_name

    def forward(site: Site) -> Result:
        has_only(site, "x", "decimals", "dtype")
        if site.arguments.get("decimals"):
            raise RefusedError("its decimals are not 0")
        x = operand(layer, site.arguments.get("x"))
        if not isinstance(x, Value):
            raise RefusedError("it works on numbers alone")
        if x.kind == "size":
            return _of_size(name, x)
        if name == "logical_not" and x.kind == "bool":
            return x.with_text(f"~{x}")
        if name == "absolute" and x.kind == "bool":
            return x
        kind = x.kind if name in KEEPING else "bool" if name in TESTS else "float"
        return result(site, UNARY[name].format(x=x), x, kind=kind)

    return forward


def _of_size(name: str, size: Value) -> Value:
    """Return a function of a size, which is a number of Python."""
    forms = {"sqrt": "{x} ** 0.5", "rsqrt": "{x} ** -0.5", "negative": "-{x}", "square": "{x} ** 2"}
    if name == "stop_gradient":
        return size
    if name not in forms:
        raise RefusedError("it works on the size of a tensor")
    return size.with_text(f"({forms[name].format(x=size)})")


ACTIVATIONS: Final[dict[str, dict[str, Constant]]] = {
    "relu": {}, "relu6": {}, "selu": {}, "softplus": {}, "softsign": {}, "silu": {},
    "log_sigmoid": {}, "hard_silu": {}, "hard_tanh": {}, "tanh_shrink": {}, "gelu": {"approximate": False},
    "elu": {"alpha": 1.0}, "celu": {"alpha": 1.0}, "leaky_relu": {"negative_slope": 0.2},
    "hard_sigmoid": {"slope": 1 / 6, "offset": 0.5}, "softmax": {"axis": -1}, "log_softmax": {"axis": -1},
}  # fmt: skip
"""Activations that are operations, each with the defaults of its parameters."""

RENAMED: Final = {("leaky_relu", "alpha"): "negative_slope"}


@computes(*ACTIVATIONS)
def activation(layer: Layer) -> Forward:
    """The activation of that name."""
    name = layer.record.class_name

    def forward(site: Site) -> Result:
        x = tensor(layer, site)
        parameters = _parameters(name, site)
        if name == "log_softmax":
            return x.with_text(f"F.log_softmax({x}, dim={x.axis(integer(site, 'axis', -1))})")
        if name == "softmax" and parameters["axis"] is None:
            parameters["axis"] = tuple(range(rank_of(x)))
        return activate(Activation(name, FrozenMap(parameters)), x)

    return forward


def _parameters(name: str, site: Site) -> dict[str, Constant]:
    """Return the parameters of an activation, those left out by their defaults."""
    parameters = dict(ACTIVATIONS[name])
    for key, value in site.arguments.items():
        key = RENAMED.get((name, key), key)
        if key in parameters and (value is None or isinstance(value, (bool, int, float, tuple))):
            parameters[key] = value  # type: ignore[assignment]
        elif key != "x" and value not in (None, False) and (key, value) != ("beta", 1):
            raise RefusedError(f"its argument {quote(key)} has no translation")
    return parameters


BINARY: Final = {
    "add": "{x} + {y}", "subtract": "{x} - {y}", "multiply": "{x} * {y}", "true_divide": "{x} / {y}",
    "floor_divide": "{x} // {y}", "mod": "{x} % {y}", "power": "{x} ** {y}", "greater": "{x} > {y}",
    "greater_equal": "{x} >= {y}", "less": "{x} < {y}", "less_equal": "{x} <= {y}", "equal": "{x} == {y}",
    "not_equal": "{x} != {y}", "squared_difference": "({x} - {y}).square()",
    "logical_and": "torch.logical_and({x}, {y})", "logical_or": "torch.logical_or({x}, {y})",
    "logical_xor": "torch.logical_xor({x}, {y})", "maximum": "torch.maximum({x}, {y})",
    "minimum": "torch.minimum({x}, {y})", "arctan2": "torch.atan2({x}, {y})",
    "logaddexp": "torch.logaddexp({x}, {y})", "divide_no_nan": "torch.where({y} == 0, 0, {x} / {y})",
}  # fmt: skip
"""Functions of two tensors, or of a tensor and a number, as expressions."""

OF_SIZES: Final = {"maximum": "max({x}, {y})", "minimum": "min({x}, {y})"}

OF_NUMBER: Final = {"maximum": "{x}.clamp(min={y})", "minimum": "{x}.clamp(max={y})"}
"""Functions of a tensor ``x`` and a number ``y``, in either order."""

OF_MASKS: Final = {"logical_and": "{x} & {y}", "logical_or": "{x} | {y}", "logical_xor": "{x} ^ {y}"}
"""Functions of two tensors of truth values."""

COMPARISONS: Final = (
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_xor"),
)


@computes(*BINARY)
def binary(layer: Layer) -> Forward:
    """An operator, or the function of the same name."""
    name = layer.record.class_name

    def forward(site: Site) -> Result:
        has_only(site, "x1", "x2")
        (x, y), like = operands(layer, site, ("x1", "x2"))
        if like is None:
            return _of_sizes(name, x, y)
        kind = "bool" if name in COMPARISONS else _kind(name, x, y)
        return result(site, _expression(name, x, y), _broad(like, x, y), kind=kind)

    return forward


def _expression(name: str, x: "Value | float", y: "Value | float") -> str:
    both = is_tensor(x) and is_tensor(y)
    if both and name in OF_MASKS and _kinds(x, y) == {"bool"}:
        return OF_MASKS[name].format(x=x, y=y)
    if not both and name in OF_NUMBER:
        number, value = (x, y) if is_tensor(y) else (y, x)
        return OF_NUMBER[name].format(x=value, y=source(number))
    if not both and BINARY[name].startswith("torch.") and name != "divide_no_nan":
        raise RefusedError(f"it works on a tensor and the number {quote(y if is_tensor(x) else x)}")
    if name == "divide_no_nan" and not is_tensor(y):
        return f"torch.zeros_like({x})" if y == 0 else f"{source(x)} / {source(y)}"
    if name in ("add", "subtract") and isinstance(y, (int, float)) and y < 0:
        name, y = ("subtract" if name == "add" else "add"), -y
    left = f"({literal(x)})" if isinstance(x, (int, float)) and x < 0 and name == "power" else source(x)
    return _written(name, left, source(y))


def _written(name: str, x: str, y: str) -> str:
    """Return an operator between two operands; powers of names and numbers have no spaces."""
    text = BINARY[name].format(x=x, y=y)
    is_short = name == "power" and all(re.fullmatch(r"-?[\w.]+", operand) for operand in (x, y))
    return text.replace(" ** ", "**") if is_short else text


def _of_sizes(name: str, x: "Value | float", y: "Value | float") -> Value:
    """Return an operator of sizes and numbers, which are numbers of Python."""
    template = OF_SIZES.get(name, BINARY[name])
    if template.startswith(("torch.", "(")):
        raise RefusedError("it works on the size of a tensor")
    return Value(f"({template.format(x=source(x), y=source(y))})", (), "size")


def _kinds(*values: object) -> set[str]:
    return {value.kind for value in values if isinstance(value, Value)}


def _kind(name: str, *values: object) -> str:
    """Return the kind of a result of arithmetic."""
    are_floats = any(isinstance(value, float) for value in values)
    kinds = _kinds(*values) - {"size"}
    return "float" if are_floats or "float" in kinds or name == "true_divide" else "int"


def _broad(like: Value, *values: object) -> Value:
    """Return a tensor with the order of axes of another, of a shape that is not known if others differ."""
    shapes = {value.shape for value in values if isinstance(value, Value) and is_tensor(value)}
    return like if len(shapes) == 1 or like.is_first else Value(like.text, None, like.kind)


@computes("clip")
def clip(layer: Layer) -> Forward:
    """``x.clamp``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "x_min", "x_max")
        (x, low, high), like = operands(layer, site, ("x", "x_min", "x_max"))
        if not isinstance(x, Value) or like is None:
            raise RefusedError("it works on numbers alone")
        if is_tensor(low) == is_tensor(high):
            text = f"{x}.clamp({source(low)}, {source(high)})"
        else:
            text = f"{x}.clamp(min={source(low)}).clamp(max={source(high)})"
        return result(site, text, _broad(x, x, low, high))

    return forward


@computes("where")
def where(layer: Layer) -> Forward:
    """torch.where."""

    def forward(site: Site) -> Result:
        has_only(site, "condition", "x1", "x2")
        if "x1" not in site.arguments or "x2" not in site.arguments:
            raise RefusedError("it looks for the places where a condition holds")
        (condition, x, y), like = operands(layer, site, ("condition", "x1", "x2"))
        if not isinstance(condition, Value) or like is None:
            raise RefusedError("its condition is a number")
        test = condition if condition.kind == "bool" else f"{condition}.bool()"
        text = f"torch.where({test}, {source(x)}, {source(y)})"
        return result(site, text, _broad(like, condition, x, y), kind=_kind("where", x, y))

    return forward


NARROW: Final = {"float16": "half", "bfloat16": "bfloat16"}
"""Methods that round to dtypes of few digits."""


@computes("cast")
def cast(layer: Layer) -> Forward:
    """To integers or truth values; to float16, what that rounds to, in the dtype of the model."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "dtype")
        x, dtype = operand(layer, site.arguments.get("x")), str(site.arguments.get("dtype"))
        if not isinstance(x, Value):
            raise RefusedError("it works on a number alone")
        kind = "bool" if dtype == "bool" else "float" if "float" in dtype else "int"
        if kind == x.kind == "float" and dtype in NARROW:
            x = site.named(x)
            return x.with_text(f"{x}.{NARROW[dtype]}().to({x}.dtype)")
        if x.kind in ("size", kind):
            return x
        if kind == "int" and "int" not in dtype:
            raise RefusedError(f"its dtype is {quote(dtype)}")
        if kind == "float":
            return replace(x, kind="count")
        return replace(x, text=f"{x}.bool()" if kind == "bool" else f"{x}.long()", kind=kind)  # type: ignore[arg-type]

    return forward


@computes("identity")
def identity(layer: Layer) -> Forward:
    """Nothing."""
    return lambda site: tensor(layer, site)


@computes("full_like")
def full_like(layer: Layer) -> Forward:
    """torch.full_like with a number."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "fill_value", "dtype")
        x, number = tensor(layer, site), site.arguments.get("fill_value")
        if not isinstance(number, (int, float)):
            raise RefusedError(f"its fill_value is {quote(number)}")
        return x.with_text(f"torch.full_like({x}, {literal(number)})")

    return forward
