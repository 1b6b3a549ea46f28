"""Batch normalizations that torch has not."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization whose running variance has no Bessel correction."""

    running_var: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        var = self.running_var.clone() if self.training else self.running_var
        y = F.batch_norm(
            x,
            self.running_mean,
            var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training and len(x):
            count = x.numel() // x.shape[1]
            self.running_var.mul_((1 - self.momentum) / count)
            self.running_var.add_(var, alpha=1 - 1 / count)
        return y


class FrozenBatchNorm(nn.BatchNorm1d):
    """Batch normalization by stored statistics, while training too."""

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)


class SampleNorm(nn.Module):
    """Normalize each sample over its last axis, as Keras 1's mode 1 does."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        deviation = torch.sqrt(var + self.eps) + self.eps
        return self.weight * ((x - mean) / deviation) + self.bias
