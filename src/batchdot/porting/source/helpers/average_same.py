import torch
from torch import nn

from batchdot.porting.source.helpers.pad_same import pad_same


def average_same(
    pool: nn.Module, x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> torch.Tensor:
    """Average pooling that pads as TensorFlow's "same" does and does not count it."""
    inside = pad_same(torch.ones_like(x[:1, :1]), kernel, stride)
    average: torch.Tensor = pool(pad_same(x, kernel, stride)) / pool(inside)
    return average
