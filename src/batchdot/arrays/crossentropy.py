"""Cross-entropies under the names of keras.backend, not reduced over samples."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from batchdot.arrays.operands import Operand, of_tensor
from batchdot.config import epsilon as fuzz
from batchdot.convert import TensorLike, as_tensor


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
