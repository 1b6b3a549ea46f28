import torch
from torch import nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization of any rank whose running variance is not Bessel-corrected."""

    running_var: torch.Tensor
    momentum: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        old = self.running_var.clone() if self.training else self.running_var
        y = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training:
            count = x.numel() // x.shape[1]
            self.running_var.mul_(count - 1).add_(old, alpha=1 - self.momentum)
            self.running_var.div_(count)
        return y
