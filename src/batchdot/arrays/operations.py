"""The operations of Keras 3, by the names that keras.ops has for them, with its parameters.

A config that Keras 3 wrote has them as the classes `Multiply`, `Sum` and so on of ``keras.src.ops``. They are
registered as ``keras.ops.multiply``, ``keras.ops.sum`` and so on among the functions that a config may name.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot import activations
from batchdot.arrays import elementwise, neural, reductions, shapes
from batchdot.arrays.operands import as_tensors
from batchdot.convert import as_tensor
from batchdot.ops.functional import dot
from batchdot.symbolic.functions import SYMBOLIC_FUNCTIONS

PREFIX = "keras.ops."


def operation_name(class_name: str) -> str | None:
    """Return the function for the class of an operation of Keras 3, as a config may name it, or None.

    >>> operation_name("ExpandDims"), operation_name("TrueDivide"), operation_name("Conv")
    ('keras.ops.expand_dims', 'keras.ops.true_divide', None)
    """
    name = PREFIX + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
    return name if name in SYMBOLIC_FUNCTIONS else None


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    return lambda x1, x2: function(*as_tensors(x1, x2))


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Tensor]:
    return lambda x: function(as_tensor(x))


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "subtract": torch.subtract,
    "multiply": torch.multiply,
    "divide": torch.true_divide,
    "true_divide": torch.true_divide,
    "floor_divide": torch.floor_divide,
    "mod": torch.remainder,
    "power": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "matmul": torch.matmul,
    "dot": dot,
    "arctan2": torch.arctan2,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "absolute": torch.abs,
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "hard_sigmoid": activations.hard_sigmoid_keras3,
    "identity": torch.clone,
    "isnan": torch.isnan,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logical_not": torch.logical_not,
    "negative": torch.negative,
    "reciprocal": torch.reciprocal,
    "relu": torch.relu,
    "relu6": activations.relu6,
    "rsqrt": torch.rsqrt,
    "selu": activations.selu,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": activations.silu,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softplus": activations.softplus,
    "softsign": activations.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "stop_gradient": torch.detach,
    "tan": torch.tan,
    "tanh": torch.tanh,
}


def _argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    return as_tensor(x).argmax(axis, keepdims).int()


def _argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    return as_tensor(x).argmin(axis, keepdims).int()


def _average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return reductions.mean(x, axis)
    value, weight = as_tensors(x, weights)
    if weight.ndim == 1 and isinstance(axis, int):
        shape = [1] * value.ndim
        shape[axis] = -1
        weight = weight.reshape(shape)
    return reductions.sum(value * weight, axis) / reductions.sum(weight.expand_as(value), axis)


def _clip(x: Any, x_min: Any, x_max: Any) -> Any:
    return elementwise.clip(x, x_min, x_max)


def _cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    x = as_tensor(x)
    total = reductions.cumsum(x.flatten() if axis is None else x, axis or 0)
    return total if dtype is None else elementwise.cast(total, dtype)


def _einsum(*operands: Any, subscripts: str) -> Any:
    return torch.einsum(subscripts, *operands)


def _flip(x: Any, axis: Any = None) -> Any:
    x = as_tensor(x)
    return shapes.reverse(x, tuple(range(x.ndim)) if axis is None else axis)


def _get_item(x: Any, key: Any) -> Any:
    return x[tuple(key) if isinstance(key, list) else key]


def _log_sum_exp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_tensor(x)
    axes = tuple(range(x.ndim)) if axis is None else axis
    return x.logsumexp(axes, keepdims)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.linalg.norm(as_tensor(x), ord, axis, keepdims)


def _normalize(x: Any, axis: int = -1, order: float = 2, epsilon: float | None = None) -> Any:
    return F.normalize(as_tensor(x), order, axis, 1e-7 if epsilon is None else epsilon)


def _one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    found = shapes.one_hot(x, num_classes).movedim(-1, axis)
    return found if dtype is None else elementwise.cast(found, dtype)


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float | None = None) -> Any:
    sizes = [size for pair in reversed(pad_width) for size in pair]
    return F.pad(as_tensor(x), sizes, mode, constant_values)


def _repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    count = repeats if isinstance(repeats, int) else as_tensor(repeats)
    return as_tensor(x).repeat_interleave(count, axis)


def _split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    sections = indices_or_sections if isinstance(indices_or_sections, int) else list(indices_or_sections)
    return list(torch.tensor_split(as_tensor(x), sections, axis))


def _squeeze(x: Any, axis: int | None = None) -> Any:
    return as_tensor(x).squeeze() if axis is None else shapes.squeeze(x, axis)


def _take(x: Any, indices: Any, axis: int | None = None) -> Any:
    x = as_tensor(x)
    index = as_tensor(indices, x.device).long()
    if axis is None:
        x, axis = x.flatten(), 0
    axis = range(x.ndim)[axis]
    shape = x.shape[:axis] + index.shape + x.shape[axis + 1 :]
    return x.index_select(axis, index.flatten() % x.shape[axis]).reshape(shape)


def _tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    return torch.tensordot(as_tensor(x1), as_tensor(x2), axes)


def _tile(x: Any, repeats: Any) -> Any:
    return as_tensor(x).tile((repeats,) if isinstance(repeats, int) else tuple(repeats))


def _transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    return shapes.transpose(x) if axes is None else shapes.permute_dimensions(x, axes)


_OTHERS: dict[str, Callable[..., Any]] = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": _argmax,
    "argmin": _argmin,
    "average": _average,
    "broadcast_to": lambda x, shape: as_tensor(x).broadcast_to(tuple(shape)),
    "cast": elementwise.cast,
    "clip": _clip,
    "concatenate": lambda xs, axis=0: shapes.concatenate(xs, axis),
    "cumsum": _cumsum,
    "einsum": _einsum,
    "elu": neural.elu,
    "expand_dims": shapes.expand_dims,
    "flip": _flip,
    "gelu": lambda x, approximate=True: activations.gelu(as_tensor(x), approximate),
    "get_item": _get_item,
    "leaky_relu": lambda x, negative_slope=0.2: activations.leaky_relu(as_tensor(x), negative_slope),
    "log_softmax": lambda x, axis=-1: activations.log_softmax(as_tensor(x), axis),
    "logsumexp": _log_sum_exp,
    "max": lambda x, axis=None, keepdims=False, initial=None: reductions.max(x, axis, keepdims),
    "mean": reductions.mean,
    "min": lambda x, axis=None, keepdims=False, initial=None: reductions.min(x, axis, keepdims),
    "moveaxis": lambda x, source, destination: as_tensor(x).moveaxis(source, destination),
    "norm": _norm,
    "normalize": _normalize,
    "one_hot": _one_hot,
    "ones_like": elementwise.ones_like,
    "pad": _pad,
    "prod": lambda x, axis=None, keepdims=False, dtype=None: reductions.prod(x, axis, keepdims),
    "repeat": _repeat,
    "reshape": lambda x, newshape: shapes.reshape(x, newshape),
    "round": lambda x, decimals=0: as_tensor(x).round(decimals=decimals),
    "softmax": neural.softmax,
    "split": _split,
    "squeeze": _squeeze,
    "stack": lambda x, axis=0: shapes.stack(x, axis),
    "std": reductions.std,
    "sum": reductions.sum,
    "swapaxes": lambda x, axis1, axis2: as_tensor(x).swapaxes(axis1, axis2),
    "take": _take,
    "tensordot": _tensordot,
    "tile": _tile,
    "transpose": _transpose,
    "var": reductions.var,
    "where": elementwise.where,
    "zeros_like": elementwise.zeros_like,
}

SYMBOLIC_FUNCTIONS.update({PREFIX + name: _binary(function) for name, function in _BINARY.items()})
SYMBOLIC_FUNCTIONS.update({PREFIX + name: _unary(function) for name, function in _UNARY.items()})
SYMBOLIC_FUNCTIONS.update({PREFIX + name: function for name, function in _OTHERS.items()})
