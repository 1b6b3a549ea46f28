"""Convolutions that share no weights between positions."""

import torch
from torch import Tensor, nn


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

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unfold(2, self.kernel_size, self.stride)
        y = torch.einsum("bclk,lock->bol", patches, self.weight)
        return y if self.bias is None else y + self.bias


class LocallyConnected2d(nn.Module):
    """A convolution that has a kernel and a bias of its own at every position."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        shape = *size, out_channels, in_channels, *kernel_size
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(out_channels, *size)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        for axis in (0, 1):
            x = x.unfold(2 + axis, self.kernel_size[axis], self.stride[axis])
        y = torch.einsum("bchwyx,hwocyx->bohw", x, self.weight)
        return y if self.bias is None else y + self.bias
