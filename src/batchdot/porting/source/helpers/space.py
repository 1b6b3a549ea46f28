"""Windows, crops and interpolation of images as Keras has them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pad_same(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0
) -> Tensor:
    """Pad the last axes as TensorFlow's "same" does: an odd one goes to the end."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[-len(kernel) :], kernel, stride, strict=True):
        total = max(-size % s + k - s, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads, value=value)


def average_same(
    pool: nn.Module, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """Average pooling that pads as TensorFlow's "same" does and does not count it."""
    inside = pad_same(torch.ones_like(x[:1, :1]), kernel, stride)
    average: Tensor = pool(pad_same(x, kernel, stride)) / pool(inside)
    return average


def upsample_corners(x: Tensor, scale: tuple[int, int]) -> Tensor:
    """Upsample bilinearly from the pixels' corners, as Keras 2.2 and 2.3 did."""
    size = [side * factor + 1 for side, factor in zip(x.shape[2:], scale, strict=True)]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    return x[:, :, :-1, :-1]


def resize_bicubic(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images bicubically as TensorFlow does: a = -0.5, offsets in 1/1024."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        centers = (torch.arange(new, device=x.device) + 0.5) * (old / new) - 0.5
        first = centers.floor()
        offset = ((centers - first) * 1024).round() / 1024
        position = torch.arange(old, device=x.device)
        distance = (position - (first + offset)[:, None]).abs()
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weights = torch.where(distance < 1, near, far * (distance < 2))
        weights = weights / weights.sum(1, keepdim=True)
        x = (x.movedim(axis, -1) @ weights.to(x.dtype).T).movedim(-1, axis)
    return x


def smart_resize(x: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Cut the middle of the wanted aspect ratio out of images, and resize it."""
    height, width = x.shape[2], x.shape[3]
    rows = min(height, width * size[0] // size[1])
    columns = min(width, height * size[1] // size[0])
    top, left = (height - rows) // 2, (width - columns) // 2
    x = x[:, :, top : top + rows, left : left + columns]
    return F.interpolate(x, size=size, mode=mode)


def center_crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the middle out of images; smaller ones are resized instead."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    if top < 0 or left < 0:
        return smart_resize(x, size)
    return x[:, :, top : top + size[0], left : left + size[1]]
