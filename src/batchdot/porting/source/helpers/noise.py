"""Noise while a model trains."""

import torch
from torch import Tensor
from torch.nn import functional as F


def add_noise(x: Tensor, stddev: float, training: bool) -> Tensor:
    """Add normal noise while training."""
    return x + stddev * torch.randn_like(x) if training else x


def multiply_noise(x: Tensor, rate: float, training: bool) -> Tensor:
    """Multiply by normal noise around 1 while training."""
    stddev = (rate / (1 - rate)) ** 0.5
    return x * (1 + stddev * torch.randn_like(x)) if training else x


def shared_dropout(
    x: Tensor, rate: float, shape: tuple[int | None, ...], training: bool
) -> Tensor:
    """Dropout whose noise is shared along the axes where its shape is 1."""
    sizes = [size or x.shape[axis] for axis, size in enumerate(shape)]
    return x * F.dropout(x.new_ones(sizes), rate, training)


def shared_alpha_dropout(
    x: Tensor, rate: float, shape: tuple[int | None, ...], training: bool
) -> Tensor:
    """Alpha dropout whose noise is shared along the axes where its shape is 1."""
    if not training:
        return x
    low = -1.7580993408473766  # selu's value far below 0
    sizes = [size or x.shape[axis] for axis, size in enumerate(shape)]
    kept = torch.rand(sizes, device=x.device) >= rate
    scale = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    return scale * (torch.where(kept, x, low) - rate * low)
