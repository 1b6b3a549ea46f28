"""Regularizers: a tensor of weights in, a scalar to add to the loss out.

>>> get("l2"), get({"class_name": "L1L2", "config": {"l1": 0.5}}), get(None)
(L2(l2=0.01), L1L2(l1=0.5, l2=0.0), None)

Source: ``tf.keras.regularizers``.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.registry import Configurable, Registry

Regularize: TypeAlias = Callable[..., Tensor]

_registry = Registry[Regularize]("regularizer", "keras.regularizers")
get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize


class Regularizer(Configurable):
    """Base of the regularizers. A subclass defines ``__call__(x)`` and ``get_config()``."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty on x, a scalar of its dtype."""
        return x.new_zeros(())

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the regularizer.

        Raises:
            NotImplementedError: a subclass does not define it, as in Keras.
        """
        if not self._arguments:
            raise NotImplementedError(f"{self} does not implement get_config()")
        return super().get_config()


@_registry.register()
class L1(Regularizer):
    """Return ``l1 * sum(|x|)``. Keras 1 and 2 also called the argument ``l``.

    Raises:
        ValueError: the factor is not a finite number. So do the others.

    >>> import torch
    >>> L1(0.5)(torch.tensor([1.0, -3.0])), L2(0.5)(torch.tensor([1.0, -3.0]))
    (tensor(2.), tensor(5.))
    """

    _arguments = ("l1",)

    def __init__(self, l1: float | None = 0.01, **kwargs: float) -> None:
        self.l1 = _factor(_old_name(type(self), l1, kwargs), 0.01)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty."""
        return self.l1 * x.abs().sum()


@_registry.register()
class L2(Regularizer):
    """Return ``l2 * sum(x ** 2)``. Keras 1 and 2 also called the argument ``l``."""

    _arguments = ("l2",)

    def __init__(self, l2: float | None = 0.01, **kwargs: float) -> None:
        self.l2 = _factor(_old_name(type(self), l2, kwargs), 0.01)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty."""
        return self.l2 * x.square().sum()


@_registry.register()
class L1L2(Regularizer):
    """Return ``l1 * sum(|x|) + l2 * sum(x ** 2)``.

    The name ``"l1_l2"`` and the function `l1_l2` have 0.01 for their defaults, the class 0.

    >>> L1L2(l2=0.5), l1_l2(l2=0.5), get("l1_l2")
    (L1L2(l1=0.0, l2=0.5), L1L2(l1=0.01, l2=0.5), L1L2(l1=0.01, l2=0.01))
    """

    _arguments = ("l1", "l2")

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(l1, 0.0)
        self.l2 = _factor(l2, 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty."""
        loss = x.new_zeros(())
        if self.l1:
            loss = loss + self.l1 * x.abs().sum()
        if self.l2:
            loss = loss + self.l2 * x.square().sum()
        return loss


@_registry.register()
class OrthogonalRegularizer(Regularizer):
    """Return ``factor`` times the mean absolute cosine between different rows, or columns, of a matrix.

    Raises:
        ValueError: the mode is neither ``"rows"`` nor ``"columns"``; called on what is not a matrix.

    >>> import torch
    >>> OrthogonalRegularizer(0.5)(torch.tensor([[3.0, 0.0], [3.0, 4.0]]))
    tensor(0.3000)
    """

    _arguments = ("factor", "mode")

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ValueError(
                "Invalid value for argument `mode`. Expected one of "
                f'{{"rows", "columns"}}. Received: mode={mode}'
            )
        self.factor = _factor(factor, 0.01)
        self.mode = mode

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty."""
        if x.ndim != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. "
                f"Received: inputs.shape == {tuple(x.shape)}"
            )
        rows = F.normalize(x if self.mode == "rows" else x.T, dim=1, eps=1e-6)
        cosines = (rows @ rows.T).abs()
        pairs = len(rows) * (len(rows) - 1)
        return self.factor * (cosines.sum() - cosines.diagonal().sum()) / pairs


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Return an `L1L2`."""
    return L1L2(l1, l2)


l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer


def _factor(value: Any, default: float) -> float:
    if value is None:
        return default
    if not isinstance(value, Real):
        raise ValueError(
            f"Value {value} is not a valid regularization penalty number, expected an int or float value."
        )
    if not math.isfinite(value):
        raise ValueError(
            f"Value {value} is not a valid regularization penalty number, "
            "an infinite number or NaN are not valid values."
        )
    return float(value)


def _old_name(cls: type, value: float | None, kwargs: dict[str, float]) -> float | None:
    value = kwargs.pop("l", value)
    if kwargs:
        raise TypeError(f"{cls.__name__} has no argument {', '.join(map(repr, kwargs))}.")
    return value


_registry.add("l1_l2", l1_l2())
