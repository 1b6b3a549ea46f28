"""Arithmetic and indexing of symbolic tensors: each operator becomes a layer.

Importing this file adds the operators to `KerasTensor`. The other operand may be a number, a list or a numpy
array, on either side.
"""

import operator
from typing import Any

import numpy as np
import torch

from batchdot.arrays.elementwise import abs as absolute
from batchdot.arrays.elementwise import equal, not_equal
from batchdot.arrays.elementwise import pow as power
from batchdot.arrays.operands import as_tensors
from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tensor import KerasTensor

_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "and", "or", "xor")
_COMPARISONS = ("lt", "le", "gt", "ge")
_UNARY = ("neg", "invert")


def _binary(name: str) -> Any:
    apply = getattr(operator, f"__{name}__")

    def function(x: Any, y: Any) -> Any:
        if isinstance(x, int | float) or isinstance(y, int | float):
            return apply(x, y)  # torch has overloads for numbers, which make no tensor
        return apply(*as_tensors(x, y))

    return _named(function, name)


def _unary(name: str) -> Any:
    apply = getattr(operator, f"__{name}__")
    return _named(lambda x: apply(x), name)


def _named(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = name
    return symbolic(function)


@symbolic
def getitem(tensor: Any, index: Any) -> Any:
    """Index a tensor."""
    return tensor[tuple(index) if isinstance(index, list) else index]


def _equality(function: Any, otherwise: bool) -> Any:
    def compare(self: KerasTensor, other: Any) -> Any:
        values = (KerasTensor, torch.Tensor, np.ndarray, np.generic, int, float, complex, list)
        return function(self, other) if isinstance(other, values) else otherwise  # as for None

    return compare


def _install() -> None:
    setattr(KerasTensor, "__eq__", _equality(equal, otherwise=False))  # noqa: B010
    setattr(KerasTensor, "__ne__", _equality(not_equal, otherwise=True))  # noqa: B010
    setattr(KerasTensor, "__hash__", object.__hash__)  # noqa: B010
    arithmetic = {name: _binary(name) for name in _ARITHMETIC} | {"pow": power}
    for name, function in arithmetic.items():
        setattr(KerasTensor, f"__{name}__", lambda self, other, f=function: f(self, other))
        setattr(KerasTensor, f"__r{name}__", lambda self, other, f=function: f(other, self))
    comparisons = {name: _binary(name) for name in _COMPARISONS} | {"getitem": getitem}
    for name, function in comparisons.items():
        setattr(KerasTensor, f"__{name}__", lambda self, other, f=function: f(self, other))
    unary = {name: _unary(name) for name in _UNARY} | {"abs": absolute}
    for name, function in unary.items():
        setattr(KerasTensor, f"__{name}__", lambda self, f=function: f(self))


_install()
