import torch


def resize_bicubic(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize images bicubically as TensorFlow does: a = -0.5, offsets in 1/1024."""
    for axis, new in zip((2, 3), size):
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
