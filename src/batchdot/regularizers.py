"""Keras's weight regularizers: functions from weights to a scalar penalty that is added to the loss.

>>> get("l2"), get({"class_name": "L1L2", "config": {"l1": 0.5}}), get(None)
(L2(l2=0.01), L1L2(l1=0.5, l2=0.0), None)

Source: ``tf.keras.regularizers``.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.keras_names.lookup import module_attribute
from batchdot.registry import Config, Configurable, Registry

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]

Regularize: TypeAlias = Callable[..., Tensor]

REGULARIZERS = Registry[Regularize]("regularizer", "keras.regularizers")
get, serialize, deserialize = REGULARIZERS.get, REGULARIZERS.serialize, REGULARIZERS.deserialize


class Regularizer(Configurable):
    """Base of the regularizers. A subclass defines ``__call__(x)`` and ``get_config()``.

    >>> class Largest(Regularizer):
    ...     def __call__(self, x):
    ...         return x.abs().max()
    >>> import torch
    >>> Largest()(torch.tensor([2.0, -3.0]))
    tensor(3.)
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty on x, a scalar of its dtype."""
        return x.new_zeros(())

    def get_config(self) -> Config:
        """Return the arguments of the regularizer.

        Raises:
            NotImplementedError: the subclass does not define it, as in Keras.
        """
        if not self._arguments:
            raise NotImplementedError(f"{self} does not implement get_config()")
        return super().get_config()


@REGULARIZERS.register()
class L1(Regularizer):
    """The L1 penalty ``l1 * sum(|x|)``. The argument is also accepted as ``l``, its name in Keras 1 and 2.

    Raises:
        ValueError: the factor is not a finite number.

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


@REGULARIZERS.register()
class L2(Regularizer):
    """The L2 penalty ``l2 * sum(x ** 2)``. The argument is also accepted as ``l``, as in Keras 1 and 2.

    Raises:
        ValueError: the factor is not a finite number.

    >>> import torch
    >>> L2(0.5)(torch.tensor([1.0, -3.0]))
    tensor(5.)
    """

    _arguments = ("l2",)

    def __init__(self, l2: float | None = 0.01, **kwargs: float) -> None:
        self.l2 = _factor(_old_name(type(self), l2, kwargs), 0.01)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty."""
        return self.l2 * x.square().sum()


@REGULARIZERS.register()
class L1L2(Regularizer):
    """The elastic-net penalty ``l1 * sum(|x|) + l2 * sum(x ** 2)``.

    The factors default to 0 in the class, and to 0.01 in the function `l1_l2` and by the name ``"l1_l2"``.

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


@REGULARIZERS.register()
class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean absolute cosine of all pairs of different rows (or columns) of a matrix.

    Raises:
        ValueError: the mode is neither ``"rows"`` nor ``"columns"``; or, when called, x is not a matrix.

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
    """Return an `L1L2`.

    >>> l1_l2(0.1)
    L1L2(l1=0.1, l2=0.01)
    """
    return L1L2(l1, l2)


l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer


def _factor(value: object, default: float) -> float:
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


REGULARIZERS.add("l1_l2", l1_l2())


def __dir__() -> list[str]:
    return sorted(__all__)


__path__: list[str] = []  # lets `from ... import` ask KerasImports for what is not here

if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)
