"""Flatten: all axes but the first made one."""

from math import prod
from typing import Any

from torch import Tensor

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_least_rank
from batchdot.types import Shape


@LAYERS.register()
class Flatten(Layer):
    """Layer that flattens all axes but the batch axis into one.

    Args:
        data_format: ``"channels_last"``, the default, or ``"channels_first"``, which moves axis 1 to
            the end first.
        **kwargs: as for every `Layer`.

    Call it on a tensor of shape (B, ...); the output has two axes, also for the shape (B,).

    Raises:
        ValueError: another data format; an input without axes.
        TypeError: a keyword that no layer has.

    >>> import torch
    >>> Flatten()(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])

    Source: ``tf.keras.layers.Flatten``.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = "channels_last" if data_format is None else str(data_format).lower()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                'Flatten expects `data_format` to be one of "channels_first", "channels_last". '
                f"Received: data_format={data_format!r}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        """Return the flattened tensor, a view where that is possible."""
        rank = inputs.dim()
        if rank < 2:
            check_least_rank(self, inputs.shape, 1)
            return inputs.unsqueeze(1)
        if self.data_format == "channels_first":
            inputs = inputs.movedim(1, -1)
        return inputs.flatten(1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the input, whose unknown sizes are None.

        Raises:
            ValueError: a shape without axes.

        >>> Flatten().compute_output_shape((None, 3, 4)), Flatten().compute_output_shape((5, None, 4))
        ((None, 12), (5, None))
        """
        shape = tuple(input_shape)
        check_least_rank(self, shape, 1)
        return (shape[0], None if None in shape[1:] else prod(shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"data_format": self.data_format}
