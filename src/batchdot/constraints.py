"""Constraints: weights in, the nearest weights that are allowed out. Nothing is changed in place.

Norms are taken along an axis or several: 0 for a kernel of shape (I, J), whose columns feed one unit each.

>>> get("non_neg"), get({"class_name": "MaxNorm", "config": {"max_value": 3}}), get(None)
(NonNeg(), MaxNorm(max_value=3, axis=0), None)

Source: ``tf.keras.constraints``.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.config import epsilon
from batchdot.registry import Configurable, Registry

Constrain: TypeAlias = Callable[..., Tensor]

_registry = Registry[Constrain]("constraint", "keras.constraints")
get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize


class Constraint(Configurable):
    """Base of the constraints. A subclass defines ``__call__``, and ``get_config`` if it has arguments."""

    def __call__(self, w: Tensor) -> Tensor:
        """Return what is allowed in the place of w, a tensor of the same shape and dtype."""
        return w


@_registry.register("maxnorm")
class MaxNorm(Constraint):
    """Scale down to a norm of at most ``max_value``.

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
        """Return the allowed weights."""
        norm = _norm(w, self.axis)
        return w * (norm.clamp(0, self.max_value) / (epsilon() + norm))


@_registry.register("nonneg")
class NonNeg(Constraint):
    """Replace what is negative by 0.

    >>> NonNeg()(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Return the allowed weights."""
        return F.relu(w)


@_registry.register("unitnorm")
class UnitNorm(Constraint):
    """Scale to a norm of 1.

    >>> UnitNorm()(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """

    _arguments = ("axis",)

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        """Return the allowed weights."""
        return w / (epsilon() + _norm(w, self.axis))


@_registry.register()
class MinMaxNorm(Constraint):
    """Scale to a norm between two bounds; a ``rate`` below 1 goes only that part of the way.

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
        """Return the allowed weights."""
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
