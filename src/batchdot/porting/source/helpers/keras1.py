"""Layers that only Keras 1 had."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Maxout(nn.Module):
    """The largest of several linear functions: (..., I) to (..., O)."""

    def __init__(self, inputs: int, outputs: int, count: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, count * outputs, bias)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(-1, (self.count, -1)).amax(-2)


class SReLU(nn.Module):
    """Linear pieces that meet at t_left and at t_left + |t_right|."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.t_left = nn.Parameter(torch.empty(shape))
        self.a_left = nn.Parameter(torch.empty(shape))
        self.t_right = nn.Parameter(torch.empty(shape))
        self.a_right = nn.Parameter(torch.empty(shape))

    def forward(self, x: Tensor) -> Tensor:
        x, width = x - self.t_left, self.t_right.abs()
        center = torch.minimum(F.relu(x), width)
        left, right = self.a_left * F.relu(-x), self.a_right * F.relu(x - width)
        return self.t_left + center - left + right
