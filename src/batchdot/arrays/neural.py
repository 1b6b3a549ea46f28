"""Activations, cross-entropies and other functions of neural networks under the names of keras.backend.

Activations keep shape and dtype. A cross-entropy returns one loss for each sample, without reducing them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot import activations
from batchdot.arrays.shapes import channel_axis
from batchdot.arrays.symbolic_call import Operand, as_tensors, of_tensor
from batchdot.config import epsilon as fuzz
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

    def read(statistic: Operand) -> Tensor:
        return _along(as_tensors(x, statistic)[1], axis, x.ndim)

    scale = (read(var) + epsilon).rsqrt()
    out = (x - read(mean)) * (scale if gamma is None else scale * read(gamma))
    return out if beta is None else out + read(beta)


@of_tensor
def binary_crossentropy(target: TensorLike, output: Operand, from_logits: bool = False) -> Tensor:
    """Return ``-target * log(output) - (1 - target) * log(1 - output)``, elementwise.

    Args:
        target: 0 or 1, or probabilities, of the shape of ``output``.
        output: probabilities, which are limited to [epsilon, 1 - epsilon] and increased by epsilon in the
            logarithms, as Keras does; or logits.
        from_logits: whether ``output`` is logits.

    >>> binary_crossentropy([1.0, 0.0], [0.9, 0.9])
    tensor([0.1054, 2.3026])
    """
    target, output = _targets(target, output)
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    output = output.clamp(fuzz(), 1 - fuzz())
    return -(target * (output + fuzz()).log() + (1 - target) * (1 - output + fuzz()).log())


@of_tensor
def binary_focal_crossentropy(
    target: TensorLike,
    output: Operand,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
) -> Tensor:
    """Return `binary_crossentropy` times ``(1 - p) ** gamma``, with p the probability of the target.

    Args:
        target: as in `binary_crossentropy`.
        output: as in `binary_crossentropy`.
        apply_class_balancing: whether class 1 weighs alpha and class 0 weighs ``1 - alpha``.
        alpha: see apply_class_balancing.
        gamma: the exponent.
        from_logits: whether ``output`` is logits.

    Source: Lin et al. (2017), "Focal Loss for Dense Object Detection".

    >>> binary_focal_crossentropy([1.0, 0.0], [0.6, 0.6])
    tensor([0.0817, 0.3299])
    """
    target, output = _targets(target, output)
    chance = output.sigmoid() if from_logits else output
    hit = target * chance + (1 - target) * (1 - chance)
    loss = (1 - hit) ** gamma * binary_crossentropy(target, output, from_logits)
    return (target * alpha + (1 - target) * (1 - alpha)) * loss if apply_class_balancing else loss


@of_tensor
def categorical_crossentropy(
    target: TensorLike, output: Operand, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return ``-sum(target * log(output))`` over the axis of the classes.

    Args:
        target: probabilities, one-hot vectors for example, of the shape of ``output``.
        output: probabilities, which are divided by their sum and limited to [epsilon, 1 - epsilon]; or
            logits.
        from_logits: whether ``output`` is logits.
        axis: the axis of the classes.

    >>> categorical_crossentropy([[0.0, 1.0]], [[1.0, 3.0]])
    tensor([0.2877])
    """
    target, output = _targets(target, output)
    if from_logits:
        return -(target * F.log_softmax(output, axis)).sum(axis)
    return -(target * _as_probabilities(output, axis).log()).sum(axis)


@of_tensor
def categorical_focal_crossentropy(
    target: TensorLike,
    output: Operand,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    axis: int = -1,
) -> Tensor:
    """Return ``-sum(alpha * (1 - output) ** gamma * target * log(output))`` over the axis of the classes.

    Args:
        target: as in `categorical_crossentropy`.
        output: as in `categorical_crossentropy`.
        alpha: a factor.
        gamma: the exponent.
        from_logits: whether ``output`` is logits.
        axis: the axis of the classes.

    >>> categorical_focal_crossentropy([[0.0, 1.0]], [[1.0, 3.0]])
    tensor([0.0045])
    """
    target, output = _targets(target, output)
    chance = _as_probabilities(output.softmax(axis) if from_logits else output, axis)
    return -(alpha * (1 - chance) ** gamma * target * chance.log()).sum(axis)


@of_tensor
def sparse_categorical_crossentropy(
    target: TensorLike,
    output: Operand,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Tensor:
    """Return ``-log(output[target])``: the cross-entropy for targets that are indices of classes.

    Args:
        target: indices, of the shape of ``output`` without its classes; further axes of size 1 are dropped.
        output: probabilities, which are limited to [epsilon, 1 - epsilon]; or logits.
        from_logits: whether ``output`` is logits.
        axis: the axis of the classes.
        ignore_class: an index whose loss is 0.

    Raises:
        ValueError: as many targets as there are samples are needed.
        IndexError: an index that is no class.

    >>> sparse_categorical_crossentropy([1], [[0.25, 0.75]])
    tensor([0.2877])
    """
    output = as_tensor(output).movedim(axis, -1)
    target = as_tensor(target, output.device).long()
    if target.numel() != output.shape[:-1].numel():
        raise ValueError(
            f"sparse_categorical_crossentropy takes one index for each sample. "
            f"Received: target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}."
        )
    logits = output if from_logits else output.clamp(fuzz(), 1 - fuzz()).log()
    loss = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        target.flatten(),
        ignore_index=-100 if ignore_class is None else ignore_class,
        reduction="none",
    )
    return loss.reshape(output.shape[:-1])


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


def _targets(target: TensorLike, output: Operand) -> tuple[Tensor, Tensor]:
    """Return targets in the dtype of the outputs, and the outputs."""
    output = as_tensor(output)
    target = as_tensor(target, output.device).to(output.dtype)
    if target.shape != output.shape:
        raise ValueError(
            f"Targets and outputs have one shape. "
            f"Received: target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}."
        )
    return target, output


def _as_probabilities(output: Tensor, axis: int) -> Tensor:
    return (output / output.sum(axis, keepdim=True)).clamp(fuzz(), 1 - fuzz())


def _along(vector: Tensor, axis: int, rank: int) -> Tensor:
    """Return a vector with axes of size 1 around it, so that it lies along an axis of a tensor."""
    if vector.ndim != 1:
        return vector
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def _noise_shape(given: Sequence[int | None], shape: torch.Size) -> list[int]:
    return [known if size is None else size for size, known in zip(given, shape, strict=True)]
