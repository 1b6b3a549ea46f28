"""Noise while a model trains."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GaussianNoise(nn.Module):
    """Add normal noise while training."""

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def forward(self, x: Tensor) -> Tensor:
        return x + self.stddev * torch.randn_like(x) if self.training else x


class GaussianDropout(nn.Module):
    """Multiply by normal noise around 1 while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.stddev = (rate / (1 - rate)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.stddev * torch.randn_like(x)) if self.training else x


class SharedDropout(nn.Module):
    """Dropout whose noise is shared along the axes where its shape is 1."""

    def __init__(self, rate: float, shape: tuple[int | None, ...]) -> None:
        super().__init__()
        self.rate = rate
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        sizes = [size or x.shape[axis] for axis, size in enumerate(self.shape)]
        return x * F.dropout(x.new_ones(sizes), self.rate, self.training)
