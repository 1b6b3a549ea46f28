"""Shapes with a batch, spatial axes and channels: what convolutions, pooling and resizing share."""

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spec import Config
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape

PADDING = Field(fields.choice("valid", "same", "causal"), "valid", ("border_mode",))


def split(config: Config, shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], int | None]:
    """Return the spatial sizes and the channels of a shape."""
    if config.get("data_format") == "channels_first":
        return shape[2:], shape[1] if len(shape) > 1 else None
    return shape[1:-1], shape[-1]


def join(config: Config, batch: int | None, space: tuple[int | None, ...], channels: int | None) -> Shape:
    """Return the shape that `split` takes apart."""
    if config.get("data_format") == "channels_first":
        return (batch, channels, *space)
    return (batch, *space, channels)


def window(size: int | None, kernel: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """Return how many windows fit along one axis."""
    if size is None:
        return None
    if padding == "same" or padding == "causal":
        return -(-size // stride)
    return max(-(-(size - (kernel - 1) * dilation) // stride), 0)
