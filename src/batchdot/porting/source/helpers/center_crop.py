import torch

from batchdot.porting.source.helpers.smart_resize import smart_resize


def center_crop(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut the middle out of images; smaller ones are resized instead."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    if top < 0 or left < 0:
        return smart_resize(x, size)
    return x[:, :, top : top + size[0], left : left + size[1]]
