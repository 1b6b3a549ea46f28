"""Permute: the axes behind the first in another order."""

from typing import Any

from torch import Tensor

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_rank
from batchdot.types import Shape


@LAYERS.register()
class Permute(Layer):
    """Layer that permutes the axes of each sample.

    Args:
        dims: the axes of the input in their new order, counted from 1, the one behind the batch axis.
        **kwargs: as for every `Layer`.

    Call it on a tensor with one axis more than `dims` has; the output is a view.

    Raises:
        ValueError: `dims` is not a permutation of 1, 2, ...; an input of another rank.
        TypeError: a keyword that no layer has.

    >>> import torch
    >>> Permute((2, 1))(torch.ones(5, 3, 4)).shape
    torch.Size([5, 4, 3])

    Source: ``tf.keras.layers.Permute``.
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            axes = tuple(dims)
            fits = sorted(axes) == list(range(1, len(axes) + 1))
        except TypeError:
            fits = False
        if not fits:
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must "
                f"be consecutive and start from 1. Received dims={dims!r}"
            )
        self.dims = tuple(map(int, axes))

    def call(self, inputs: Tensor) -> Tensor:
        """Return the permuted tensor, a view."""
        try:
            return inputs.permute(0, *self.dims)
        except RuntimeError:
            check_rank(self, inputs.shape, len(self.dims) + 1)
            raise

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the input.

        Raises:
            ValueError: a shape of another rank.

        >>> Permute((2, 1)).compute_output_shape((None, 3, None))
        (None, None, 3)
        """
        shape = tuple(input_shape)
        check_rank(self, shape, len(self.dims) + 1)
        return (shape[0], *[shape[axis] for axis in self.dims])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"dims": self.dims}
