import torch
from torch import nn


class SampleNorm(nn.Module):
    """Keras 1's BatchNormalization(mode=1): normalize each sample over its last axis."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        deviation = torch.sqrt(var + self.eps) + self.eps
        return self.weight * ((x - mean) / deviation) + self.bias
