"""Activations that torch has not."""

import torch
from torch import Tensor
from torch.nn import functional as F


def hard_sigmoid(x: Tensor) -> Tensor:
    """Return 0.2 x + 0.5 between 0 and 1, the sigmoid of straight lines of Keras 2."""
    return (0.2 * x + 0.5).clamp(0, 1)


def softmax_over(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Softmax over several axes together."""
    return torch.exp(x - x.logsumexp(dims, keepdim=True))


def thresholded_relu(
    x: Tensor, threshold: float, slope: float, max_value: float = float("inf")
) -> Tensor:
    """Clip x to the maximum above the threshold; below is a slope."""
    above = torch.where(x > threshold, x, 0).clamp(max=max_value)
    return above - slope * F.relu(threshold - x)


def squareplus(x: Tensor, b: float) -> Tensor:
    """A smooth rectifier: (x + sqrt(x² + b)) / 2."""
    return (x + torch.sqrt(x.square() + b)) / 2


def sparse_plus(x: Tensor) -> Tensor:
    """A smooth rectifier that is 0 below -1 and x above 1."""
    return torch.where(x < 1, (x.clamp(min=-1) + 1).square() / 4, x)


def sparsemax(x: Tensor) -> Tensor:
    """Softmax with zeros, with the threshold as Keras computes it."""
    sorted_x = x.sort(-1, descending=True).values
    sums = sorted_x.cumsum(-1)
    support = sorted_x * torch.arange(1, x.shape[-1] + 1, device=x.device) > sums - 1
    count = support.sum(-1, keepdim=True)
    return F.relu(x - ((sums * support).sum(-1, keepdim=True) - 1) / count)
