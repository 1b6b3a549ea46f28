"""Arithmetic and indexing of symbolic tensors: each operator becomes a layer.

Importing this file adds the operators to `KerasTensor`.
"""

import operator
from typing import Any

from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tensor import KerasTensor

_BINARY = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod", "lt", "le", "gt", "ge")
_UNARY = ("neg", "abs")


def _define(name: str) -> Any:
    plain = getattr(operator, name)

    def function(*args: Any) -> Any:
        return plain(*args)

    function.__name__ = function.__qualname__ = name
    return symbolic(function)


@symbolic
def getitem(tensor: Any, index: Any) -> Any:
    """Index a tensor."""
    return tensor[tuple(index) if isinstance(index, list) else index]


def _install() -> None:
    for name in (*_BINARY, *_UNARY):
        function = _define(name)
        setattr(KerasTensor, f"__{name}__", lambda *operands, f=function: f(*operands))
        if name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
            setattr(KerasTensor, f"__r{name}__", lambda self, other, f=function: f(other, self))
    setattr(KerasTensor, "__getitem__", lambda self, index: getitem(self, index))  # noqa: B010


_install()
