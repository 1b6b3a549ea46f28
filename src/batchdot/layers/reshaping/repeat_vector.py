"""RepeatVector: a vector for each of several steps."""

from typing import Any

from torch import Tensor

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_rank, read_size
from batchdot.types import Shape


@LAYERS.register()
class RepeatVector(Layer):
    """Layer that repeats its input along a new axis.

    Args:
        n: how often.
        **kwargs: as for every `Layer`.

    Call it on a tensor of shape (B, K); the output has shape (B, n, K) and is a view: no numbers are
    copied.

    Raises:
        ValueError: `n` is not an integer of at least 0; an input of another rank.
        TypeError: a keyword that no layer has.

    >>> import torch
    >>> RepeatVector(3)(torch.ones(2, 4)).shape
    torch.Size([2, 3, 4])

    Source: ``tf.keras.layers.RepeatVector``.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = read_size("RepeatVector", "n", n, 0)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the repeated vectors."""
        if inputs.dim() != 2:
            check_rank(self, inputs.shape, 2)
        return inputs.unsqueeze(1).expand(-1, self.n, -1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the input.

        Raises:
            ValueError: a shape of another rank.

        >>> RepeatVector(3).compute_output_shape((None, 4))
        (None, 3, 4)
        """
        check_rank(self, input_shape, 2)
        batch, size = input_shape
        return (batch, self.n, size)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"n": self.n}
