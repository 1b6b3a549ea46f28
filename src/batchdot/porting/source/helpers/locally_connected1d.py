import torch
from torch import nn


class LocallyConnected1d(nn.Module):
    """A convolution that has a kernel and a bias of its own at every position."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        length: int,
        kernel_size: int,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        shape = length, out_channels, in_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(out_channels, length)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = x.unfold(2, self.kernel_size, self.stride)
        y = torch.einsum("bclk,lock->bol", patches, self.weight)
        return y if self.bias is None else y + self.bias
