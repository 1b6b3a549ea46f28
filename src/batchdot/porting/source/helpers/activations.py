"""Activations that torch has not."""

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Softmax over several axes together."""
    return torch.exp(x - x.logsumexp(dims, keepdim=True))


def thresholded_relu(
    x: Tensor, threshold: float, slope: float, max_value: float | None
) -> Tensor:
    """Clip x to the maximum from the threshold on; below is a slope."""
    above = torch.where(x >= threshold, x, 0).clamp(max=max_value)
    return above - slope * F.relu(threshold - x)


def squareplus(x: Tensor, b: float) -> Tensor:
    """A smooth rectifier: (x + sqrt(x² + b)) / 2."""
    return (x + torch.sqrt(x.square() + b)) / 2


def sparse_plus(x: Tensor) -> Tensor:
    """A smooth rectifier that is 0 below -1 and x above 1."""
    return torch.where(x < 1, (x.clamp(min=-1) + 1).square() / 4, x)


def sparsemax(x: Tensor) -> Tensor:
    """Project onto the simplex, with zeros (Martins & Astudillo, 2016)."""
    sorted_x = x.sort(-1, descending=True).values
    excess = sorted_x.cumsum(-1) - 1
    ranks = torch.arange(1, x.shape[-1] + 1, device=x.device)
    support = (sorted_x * ranks > excess).sum(-1, keepdim=True)
    return F.relu(x - excess.gather(-1, support - 1) / support)
