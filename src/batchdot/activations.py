"""Keras's activation functions under Keras's names, implemented with torch.nn.functional.

Each takes a floating tensor of any shape and returns a tensor of the same shape and dtype. `get` finds them
by name, `serialize` returns their names.

``hard_sigmoid`` is ``0.2 x + 0.5`` in Keras 2 and here; in Keras 3 it is ``x / 6 + 0.5``, which is
`hard_sigmoid_keras3` here. To load a config of Keras 3, pass `KERAS_3` as custom objects:

>>> get("hard_sigmoid", custom_objects=KERAS_3).__name__
'hard_sigmoid_keras3'

Source: ``tf.keras.activations``.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.keras_names.lookup import module_attribute
from batchdot.registry import Config, CustomObjects, Identifier, Registry

__all__ = [
    "KERAS_3",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "hard_sigmoid_keras3",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]

Activation: TypeAlias = Callable[..., Tensor]

ACTIVATIONS = Registry[Activation]("activation", "keras.activations")
serialize = ACTIVATIONS.serialize


def get(identifier: Identifier, custom_objects: CustomObjects | None = None) -> Activation:
    """Return the function for a name, a config, or a function, which is returned as it is; `linear` for None.

    Raises:
        ValueError: an unknown name or a malformed config.

    >>> get("relu") is relu, get(None) is linear, get(torch.tanh) is torch.tanh
    (True, True, True)
    """
    return ACTIVATIONS.get(identifier, custom_objects) or linear


def deserialize(config: str | Config | None, custom_objects: CustomObjects | None = None) -> Activation:
    """Return the function for a name, or for a config in any form that Keras has written; `linear` for None.

    Raises:
        ValueError: an unknown name or a malformed config.

    >>> deserialize({"class_name": "function", "config": "tanh"}) is tanh
    True
    """
    return ACTIVATIONS.deserialize(config, custom_objects) or linear


@ACTIVATIONS.register()
def linear(x: Tensor) -> Tensor:
    """Return x.

    >>> linear(torch.tensor([-1.0, 2.0]))
    tensor([-1.,  2.])
    """
    return x


# Defaults are integers where possible: torch.compile makes a float a symbol, whose guard costs 0.2 µs a call.


@ACTIVATIONS.register()
def relu(
    x: Tensor,
    negative_slope: float = 0,
    max_value: float | None = None,
    threshold: float = 0,
    *,
    alpha: float | None = None,
) -> Tensor:
    """Return x above the threshold, at most max_value, and negative_slope * (x - threshold) below it.

    ``alpha`` is the name of ``negative_slope`` in Keras 2.

    >>> x = torch.tensor([-10.0, -5.0, 0.0, 5.0, 10.0])
    >>> relu(x, 0.5, max_value=8.0)
    tensor([-5.0000, -2.5000,  0.0000,  5.0000,  8.0000])
    >>> relu(x, threshold=5.0)
    tensor([ 0.,  0.,  0.,  0., 10.])
    """
    slope = negative_slope if alpha is None else alpha
    if threshold == 0 and max_value is None:
        return F.leaky_relu(x, slope) if slope else torch.relu(x)
    above = F.threshold(x, threshold, 0.0)
    if max_value is not None:
        above = above.clamp(0.0, max_value)
    return above - slope * F.relu(threshold - x) if slope else above


@ACTIVATIONS.register()
def leaky_relu(x: Tensor, negative_slope: float = 0.2, *, alpha: float | None = None) -> Tensor:
    """Return x for x > 0 and negative_slope * x otherwise; TensorFlow calls the slope ``alpha``.

    >>> leaky_relu(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    return F.leaky_relu(x, negative_slope if alpha is None else alpha)


@ACTIVATIONS.register()
def relu6(x: Tensor) -> Tensor:
    """Return x clipped to [0, 6].

    >>> relu6(torch.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    return F.relu6(x)


@ACTIVATIONS.register()
def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)).

    >>> sigmoid(torch.tensor([0.0, 1.0]))
    tensor([0.5000, 0.7311])
    """
    return torch.sigmoid(x)


@ACTIVATIONS.register()
def hard_sigmoid(x: Tensor) -> Tensor:
    """Return 0.2 x + 0.5 clipped to [0, 1], as in Keras 2.

    >>> x = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    >>> hard_sigmoid(x), hard_sigmoid_keras3(x)
    (tensor([0.0000, 0.3000, 0.7000, 1.0000]), tensor([0.0000, 0.3333, 0.6667, 1.0000]))
    """
    return (0.2 * x + 0.5).clamp(0.0, 1.0)


@ACTIVATIONS.register()
def hard_sigmoid_keras3(x: Tensor) -> Tensor:
    """Return x / 6 + 0.5 clipped to [0, 1], which is hard_sigmoid in Keras 3.

    >>> hard_sigmoid_keras3(torch.tensor([-3.0, 0.0, 1.0]))
    tensor([0.0000, 0.5000, 0.6667])
    """
    return F.hardsigmoid(x)


KERAS_3: CustomObjects = {"hard_sigmoid": hard_sigmoid_keras3}
"""Custom objects for names that mean another function in Keras 3 than in Keras 2."""


@ACTIVATIONS.register()
def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent.

    >>> tanh(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return torch.tanh(x)


@ACTIVATIONS.register()
def softmax(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)), with the sum over one or several axes.

    >>> softmax(torch.zeros(2, 4))[0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if isinstance(axis, int):
        return torch.softmax(x, axis)
    return (x - x.logsumexp(tuple(axis), keepdim=True)).exp()


@ACTIVATIONS.register()
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of softmax along an axis.

    >>> log_softmax(torch.zeros(1, 2))
    tensor([[-0.6931, -0.6931]])
    """
    return F.log_softmax(x, axis)


@ACTIVATIONS.register()
def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)).

    >>> softplus(torch.tensor([-100.0, 0.0, 100.0]))
    tensor([3.7835e-44, 6.9315e-01, 1.0000e+02])
    """
    # Above its threshold torch returns x; the default of 20 would cost float64 half of its digits.
    return F.softplus(x, threshold=40)


@ACTIVATIONS.register()
def softsign(x: Tensor) -> Tensor:
    """Return x / (1 + abs(x)).

    >>> softsign(torch.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return F.softsign(x)


@ACTIVATIONS.register()
def elu(x: Tensor, alpha: float = 1) -> Tensor:
    """Return x for x > 0 and alpha * (exp(x) - 1) otherwise.

    >>> elu(torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return F.elu(x, alpha)


@ACTIVATIONS.register()
def selu(x: Tensor) -> Tensor:
    """Return 1.0507 * elu(x, 1.6733), the self-normalizing unit of Klambauer et al. (2017).

    >>> selu(torch.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return F.selu(x)


@ACTIVATIONS.register()
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """Return x * Phi(x), with the normal distribution function Phi or its approximation by tanh.

    >>> gelu(torch.tensor(1.0)), gelu(torch.tensor(1.0), approximate=True)
    (tensor(0.8413), tensor(0.8412))
    """
    return F.gelu(x, approximate="tanh" if approximate else "none")


@ACTIVATIONS.register("silu")
def swish(x: Tensor) -> Tensor:
    """Return x * sigmoid(x); Keras 3 calls it silu.

    >>> swish(torch.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return F.silu(x)


silu = swish


@ACTIVATIONS.register()
def mish(x: Tensor) -> Tensor:
    """Return x * tanh(softplus(x)).

    >>> mish(torch.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """
    return F.mish(x)


@ACTIVATIONS.register()
def exponential(x: Tensor) -> Tensor:
    """Return exp(x).

    >>> exponential(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return torch.exp(x)


def __dir__() -> list[str]:
    return sorted(__all__)


__path__: list[str] = []  # lets `from ... import` ask KerasImports for what is not here

if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)
