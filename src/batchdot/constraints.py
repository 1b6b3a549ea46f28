"""Keras's weight constraints: functions from weights to allowed weights of the same shape and dtype.

They do not modify their argument. Norms are along one or several axes; for a kernel (inputs, units), axis 0
is the norm of the weights of each unit.

>>> get("non_neg"), get({"class_name": "MaxNorm", "config": {"max_value": 3}}), get(None)
(NonNeg(), MaxNorm(max_value=3, axis=0), None)

Source: ``tf.keras.constraints``.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.config import epsilon
from batchdot.keras_names.lookup import module_attribute
from batchdot.registry import Configurable, Registry

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "maxnorm",
    "min_max_norm",
    "non_neg",
    "nonneg",
    "serialize",
    "unit_norm",
    "unitnorm",
]

Constrain: TypeAlias = Callable[..., Tensor]

CONSTRAINTS = Registry[Constrain]("constraint", "keras.constraints")
get, serialize, deserialize = CONSTRAINTS.get, CONSTRAINTS.serialize, CONSTRAINTS.deserialize


class Constraint(Configurable):
    """Base of the constraints. A subclass defines ``__call__``, and ``get_config`` if it has arguments.

    >>> class Halved(Constraint):
    ...     def __call__(self, w):
    ...         return w / 2
    >>> Halved()(torch.tensor([2.0]))
    tensor([1.])
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Return the constrained weights."""
        return w


@CONSTRAINTS.register("maxnorm")
class MaxNorm(Constraint):
    """Scale weights down to a norm of at most ``max_value``.

    >>> w = torch.tensor([[3.0, 0.3], [4.0, 0.4]])
    >>> MaxNorm(2)(w)
    tensor([[1.2000, 0.3000],
            [1.6000, 0.4000]])
    """

    _arguments = ("max_value", "axis")

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        """Return the constrained weights."""
        norm = _norm(w, self.axis)
        return w * (norm.clamp(0, self.max_value) / (epsilon() + norm))


@CONSTRAINTS.register("nonneg")
class NonNeg(Constraint):
    """Replace negative weights by 0.

    >>> NonNeg()(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Return the constrained weights."""
        return F.relu(w)


@CONSTRAINTS.register("unitnorm")
class UnitNorm(Constraint):
    """Scale weights to a norm of 1.

    >>> UnitNorm()(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """

    _arguments = ("axis",)

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        """Return the constrained weights."""
        return w / (epsilon() + _norm(w, self.axis))


@CONSTRAINTS.register()
class MinMaxNorm(Constraint):
    """Scale weights to a norm in [min_value, max_value]; a ``rate`` below 1 interpolates the norm.

    >>> MinMaxNorm(max_value=1.0, rate=0.5)(torch.tensor([3.0, 4.0]))
    tensor([1.8000, 2.4000])
    """

    _arguments = ("min_value", "max_value", "rate", "axis")

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        """Return the constrained weights."""
        norm = _norm(w, self.axis)
        desired = self.rate * norm.clamp(self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (desired / (epsilon() + norm))


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm
maxnorm, nonneg, unitnorm = MaxNorm, NonNeg, UnitNorm


def _norm(w: Tensor, axis: int | Sequence[int]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(
        w, dim=axis if isinstance(axis, int) else tuple(axis), keepdim=True
    )
    return norm


def __dir__() -> list[str]:
    return sorted(__all__)


__path__: list[str] = []  # lets `from ... import` ask KerasImports for what is not here

if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)
