import torch
from torch.nn import functional as F


def pad_same(
    x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0
) -> torch.Tensor:
    """Pad the last axes as TensorFlow's "same" does: an odd one goes to the end."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape), reversed(kernel), reversed(stride)):
        total = max(-size % s + k - s, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)
