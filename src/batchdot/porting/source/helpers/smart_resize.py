import torch
from torch.nn import functional as F


def smart_resize(
    x: torch.Tensor, size: tuple[int, int], mode: str = "bilinear"
) -> torch.Tensor:
    """Cut the middle of the wanted aspect ratio out of images, and resize it."""
    height, width = x.shape[2], x.shape[3]
    rows = min(height, width * size[0] // size[1])
    columns = min(width, height * size[1] // size[0])
    top, left = (height - rows) // 2, (width - columns) // 2
    x = x[:, :, top : top + rows, left : left + columns]
    return F.interpolate(x, size=size, mode=mode)
