"""Activations, normalization and other functions of neural networks under the names of keras.backend.

Activations keep shape and dtype.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from batchdot import activations
from batchdot.arrays.operands import Operand, as_tensors, of_tensor
from batchdot.arrays.shapes import channel_axis
from batchdot.convert import TensorLike, as_tensor


@of_tensor
def relu(x: TensorLike, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """Return x above the threshold, at most max_value, and ``alpha * (x - threshold)`` below it.

    >>> relu([-1.0, 2.0, 9.0], alpha=0.5, max_value=6)
    tensor([-0.5000,  2.0000,  6.0000])
    """
    return activations.relu(as_tensor(x), alpha, max_value, threshold)


@of_tensor
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Return x above 0 and ``alpha * (exp(x) - 1)`` below.

    >>> elu([-1.0, 2.0])
    tensor([-0.6321,  2.0000])
    """
    return activations.elu(as_tensor(x), alpha)


@of_tensor
def softmax(x: TensorLike, axis: int | Sequence[int] = -1) -> Tensor:
    """Return ``exp(x) / sum(exp(x))``, with the sum over an axis, or several.

    >>> softmax([[0.0, 0.0]])
    tensor([[0.5000, 0.5000]])
    """
    return activations.softmax(as_tensor(x), axis)


@of_tensor
def softplus(x: TensorLike) -> Tensor:
    """Return ``log(exp(x) + 1)``.

    >>> softplus([0.0])
    tensor([0.6931])
    """
    return activations.softplus(as_tensor(x))


@of_tensor
def softsign(x: TensorLike) -> Tensor:
    """Return ``x / (1 + |x|)``.

    >>> softsign([1.0])
    tensor([0.5000])
    """
    return activations.softsign(as_tensor(x))


@of_tensor
def sigmoid(x: TensorLike) -> Tensor:
    """Return ``1 / (1 + exp(-x))``.

    >>> sigmoid([0.0])
    tensor([0.5000])
    """
    return activations.sigmoid(as_tensor(x))


@of_tensor
def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return ``0.2 * x + 0.5``, limited to [0, 1].

    >>> hard_sigmoid([-9.0, 1.0])
    tensor([0.0000, 0.7000])
    """
    return activations.hard_sigmoid(as_tensor(x))


@of_tensor
def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent.

    >>> tanh([1.0])
    tensor([0.7616])
    """
    return activations.tanh(as_tensor(x))


@of_tensor
def dropout(
    x: TensorLike, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None
) -> Tensor:
    """Return x with a fraction of its elements set to 0 and the others divided by ``1 - level``.

    Args:
        x: a floating tensor.
        level: the fraction, in [0, 1).
        noise_shape: the shape of the random choice, which broadcasts with x; None is x's own size.
        seed: makes the choice the same in each call.

    Raises:
        ValueError: ``level`` is outside [0, 1).

    >>> dropout([1.0, 2.0], 0.0)
    tensor([1., 2.])
    """
    x = as_tensor(x)
    if not 0 <= level < 1:
        raise ValueError(f"dropout drops a fraction in [0, 1). Received: level={level!r}")
    shape = x.shape if noise_shape is None else _noise_shape(noise_shape, x.shape)
    if seed is None:
        draws = torch.rand(shape, device=x.device)
    else:  # one generator for all devices
        draws = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    return torch.where(draws >= level, x / (1 - level), torch.zeros_like(x))


@of_tensor
def bias_add(x: TensorLike, bias: Operand, data_format: str | None = None) -> Tensor:
    """Return x plus a bias of one number a channel, or of one for each element of a sample.

    Args:
        x: a tensor of shape (B, ..., C), or (B, C, ...) with ``channels_first``.
        bias: of shape (C,), or (..., C) with one axis less than x.
        data_format: ``channels_last`` or ``channels_first``, by default `image_data_format`.

    Raises:
        ValueError: a bias of another rank; an unknown ``data_format``.

    >>> bias_add([[1.0, 2.0]], [10.0, 20.0])
    tensor([[11., 22.]])
    """
    x, bias = as_tensors(x, bias)
    axis = channel_axis(data_format, x.ndim)
    if bias.ndim not in (1, x.ndim - 1):
        raise ValueError(f"A bias has 1 or {x.ndim - 1} axes here. Received: bias.shape={tuple(bias.shape)}.")
    return x + (_along(bias, axis, x.ndim) if bias.ndim == 1 else bias.movedim(-1, axis - 1))


@of_tensor
def batch_normalization(
    x: TensorLike,
    mean: Operand,
    var: Operand,
    beta: Operand | None,
    gamma: Operand | None,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Return ``(x - mean) / sqrt(var + epsilon) * gamma + beta``.

    Args:
        x: a tensor of any shape.
        mean: of one number for each index of ``axis``, or of a shape that broadcasts with x; so are
            var, beta and gamma.
        var: see mean.
        beta: see mean; None adds nothing.
        gamma: see mean; None multiplies by nothing.
        axis: the axis of the statistics.
        epsilon: what is added to the variance.

    >>> batch_normalization([[1.0, 4.0]], [1.0, 2.0], [1.0, 4.0], None, None, epsilon=0.0)
    tensor([[0., 1.]])
    """
    x = as_tensor(x)

    def along_axis(statistic: Operand) -> Tensor:
        return _along(as_tensors(x, statistic)[1], axis, x.ndim)

    scale = (along_axis(var) + epsilon).rsqrt()
    out = (x - along_axis(mean)) * (scale if gamma is None else scale * along_axis(gamma))
    return out if beta is None else out + along_axis(beta)


@of_tensor
def in_top_k(predictions: TensorLike, targets: Operand, k: int) -> Tensor:
    """Return whether the score of each target is among the k highest of its row.

    Args:
        predictions: scores, of shape (B, classes).
        targets: indices of classes, of shape (B,).
        k: how many; equal scores all count as the highest of them.

    >>> in_top_k([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]], [2, 0], 2)
    tensor([ True, False])
    """
    scores = as_tensor(predictions)
    mine = scores.gather(1, as_tensor(targets, scores.device).long().unsqueeze(1))
    return (scores > mine).sum(1) < k


def _along(vector: Tensor, axis: int, rank: int) -> Tensor:
    """Return a vector with axes of size 1 around it, so that it lies along an axis of a tensor."""
    if vector.ndim != 1:
        return vector
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def _noise_shape(given: Sequence[int | None], shape: torch.Size) -> list[int]:
    return [known if size is None else size for size, known in zip(given, shape, strict=True)]
