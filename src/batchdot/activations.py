"""Activations: Keras's functions under Keras's names, over torch.nn.functional.

Each takes a floating tensor of any shape and returns one of the same shape and dtype. `get` finds them by
name, `serialize` writes their names.

One name means two things: ``hard_sigmoid`` is ``0.2 x + 0.5`` in Keras 2, and here; it is ``x / 6 + 0.5``
in Keras 3, and `hard_sigmoid_keras3` here. To read what Keras 3 wrote, pass `KERAS_3` for custom objects:

>>> get("hard_sigmoid", custom_objects=KERAS_3).__name__
'hard_sigmoid_keras3'
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.registry import Registry

Activation: TypeAlias = Callable[..., Tensor]

ACTIVATIONS = Registry[Activation]("activation", "keras.activations")
serialize = ACTIVATIONS.serialize


def get(identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Activation:
    """Return the function that an identifier means, as `Registry.get`; None means `linear`.

    >>> get("relu") is relu, get(None) is linear, get(torch.tanh) is torch.tanh
    (True, True, True)
    """
    return ACTIVATIONS.get(identifier, custom_objects) or linear


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Activation:
    """Return the function that a name or a config means, as `Registry.deserialize`; None means `linear`.

    >>> deserialize({"class_name": "function", "config": "tanh"}) is tanh
    True
    """
    return ACTIVATIONS.deserialize(config, custom_objects) or linear


@ACTIVATIONS.register()
def linear(x: Tensor) -> Tensor:
    """Return x itself."""
    return x


# Defaults are integers where they can be: one that is a float torch.compile takes for a symbol, and guards on
# it for 0.2 µs at each call.


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

    ``alpha`` is Keras 2's name of ``negative_slope``.

    >>> x = torch.tensor([-10.0, -5.0, 0.0, 5.0, 10.0])
    >>> relu(x, 0.5, max_value=8.0)
    tensor([-5.0000, -2.5000,  0.0000,  5.0000,  8.0000])
    >>> relu(x, threshold=5.0)
    tensor([ 0.,  0.,  0.,  0., 10.])
    """
    slope = negative_slope if alpha is None else alpha
    if threshold == 0 and max_value is None:
        return F.leaky_relu(x, slope) if slope else torch.relu(x)
    kept = F.threshold(x, threshold, 0.0)
    if max_value is not None:
        kept = kept.clamp(0.0, max_value)
    return kept - slope * F.relu(threshold - x) if slope else kept


@ACTIVATIONS.register()
def leaky_relu(x: Tensor, negative_slope: float = 0.2, *, alpha: float | None = None) -> Tensor:
    """Return x where it is positive, negative_slope * x elsewhere; ``alpha`` is TensorFlow's name for it.

    >>> leaky_relu(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    return F.leaky_relu(x, negative_slope if alpha is None else alpha)


@ACTIVATIONS.register()
def relu6(x: Tensor) -> Tensor:
    """Return x clipped to [0, 6]."""
    return F.relu6(x)


@ACTIVATIONS.register()
def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


@ACTIVATIONS.register()
def hard_sigmoid(x: Tensor) -> Tensor:
    """Return 0.2 x + 0.5 clipped to [0, 1]: Keras 2's.

    >>> x = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    >>> hard_sigmoid(x), hard_sigmoid_keras3(x)
    (tensor([0.0000, 0.3000, 0.7000, 1.0000]), tensor([0.0000, 0.3333, 0.6667, 1.0000]))
    """
    return (0.2 * x + 0.5).clamp(0.0, 1.0)


@ACTIVATIONS.register()
def hard_sigmoid_keras3(x: Tensor) -> Tensor:
    """Return x / 6 + 0.5 clipped to [0, 1]: what Keras 3 calls hard_sigmoid."""
    return F.hardsigmoid(x)


KERAS_3: Mapping[str, Any] = {"hard_sigmoid": hard_sigmoid_keras3}
"""Custom objects: the names by which Keras 3 means other functions than Keras 2."""


@ACTIVATIONS.register()
def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return torch.tanh(x)


@ACTIVATIONS.register()
def softmax(x: Tensor, axis: int | Sequence[int] = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)), summed over an axis or over several.

    >>> softmax(torch.zeros(2, 4))[0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if isinstance(axis, int):
        return torch.softmax(x, axis)
    return (x - x.logsumexp(tuple(axis), keepdim=True)).exp()


@ACTIVATIONS.register()
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of softmax along an axis."""
    return F.log_softmax(x, axis)


@ACTIVATIONS.register()
def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x))."""
    # torch's own threshold of 20, above which it returns x, costs float64 half of its digits.
    return F.softplus(x, threshold=40)


@ACTIVATIONS.register()
def softsign(x: Tensor) -> Tensor:
    """Return x / (1 + |x|)."""
    return F.softsign(x)


@ACTIVATIONS.register()
def elu(x: Tensor, alpha: float = 1) -> Tensor:
    """Return x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    return F.elu(x, alpha)


@ACTIVATIONS.register()
def selu(x: Tensor) -> Tensor:
    """Return 1.0507 * elu(x, 1.6733), with the constants of the paper."""
    return F.selu(x)


@ACTIVATIONS.register()
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """Return x times the normal distribution function of x, or its approximation by tanh.

    >>> gelu(torch.tensor(1.0)), gelu(torch.tensor(1.0), approximate=True)
    (tensor(0.8413), tensor(0.8412))
    """
    return F.gelu(x, approximate="tanh" if approximate else "none")


@ACTIVATIONS.register("silu")
def swish(x: Tensor) -> Tensor:
    """Return x * sigmoid(x); Keras 3 calls it silu."""
    return F.silu(x)


silu = swish


@ACTIVATIONS.register()
def mish(x: Tensor) -> Tensor:
    """Return x * tanh(softplus(x))."""
    return F.mish(x)


@ACTIVATIONS.register()
def exponential(x: Tensor) -> Tensor:
    """Return exp(x)."""
    return torch.exp(x)
