"""Reshape: change the shape of each sample."""

from collections.abc import Iterable
from math import prod
from typing import Any

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_least_rank, check_positive_int
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tensor import KerasTensor
from batchdot.types import Shape


@LAYERS.register()
class Reshape(Layer):
    """Layer that reshapes each sample.

    Args:
        target_shape: the sizes after the batch axis; one of them may be -1, and is inferred.
        **kwargs: as for every `Layer`.

    Call it on a tensor of shape (B, ...). The output has shape ``(B, *target_shape)``, and is a view where
    that is possible.

    Raises:
        ValueError: sizes that are not integers, or several of -1; an input of another size.
        TypeError: `target_shape` is not a sequence; a keyword that no layer has.

    >>> import torch
    >>> Reshape((-1, 2))(torch.ones(5, 3, 4)).shape
    torch.Size([5, 6, 2])

    Source: ``tf.keras.layers.Reshape``.
    """

    _pure_call = True

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(target_shape, Iterable) or isinstance(target_shape, str):
            raise TypeError(
                "Reshape expects `target_shape` to be a sequence of integers. "
                f"Received: target_shape={target_shape!r}"
            )
        self.target_shape = tuple(
            [check_positive_int("Reshape", "target_shape", size, -1) for size in target_shape]
        )
        if self.target_shape.count(-1) > 1:
            raise ValueError(
                "Reshape infers at most one size of `target_shape`. "
                f"Received: target_shape={self.target_shape}"
            )

    def call(self, inputs: Any) -> Any:
        """Return the reshaped tensor, a view where that is possible."""
        shape = inputs.shape
        if not inputs.numel() or not shape:
            return inputs.reshape(self.compute_output_shape(shape))
        try:
            return inputs.reshape(shape[0], *self.target_shape)
        except RuntimeError:
            if not CONTEXT.in_shape_inference:  # whose sizes need not fit
                self.compute_output_shape(shape)
            raise

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the input, whose unknown sizes are None.

        Raises:
            ValueError: the sizes do not fit.

        >>> Reshape((-1, 2)).compute_output_shape((None, 3, 4))
        (None, 6, 2)
        >>> Reshape((-1, 2)).compute_output_shape((None, None, 4))
        (None, None, 2)
        """
        shape, target = tuple(input_shape), self.target_shape
        check_least_rank(self, shape, 1)
        if None in shape[1:]:
            return (shape[0], *[None if size == -1 else size for size in target])
        count, known = prod(shape[1:]), prod(size for size in target if size != -1)
        missing = count // known if known else 0
        if count != (known * missing if -1 in target else known):
            raise ValueError(
                f"Layer {self.name} cannot reshape samples of shape {shape[1:]} to {target}: "
                "total size of new array must be unchanged"
            )
        return (shape[0], *[missing if size == -1 else size for size in target])

    def compute_output_spec(self, inputs: KerasTensor) -> KerasTensor:
        """Return the symbolic output: its dtype is that of the inputs, whose unknown sizes may not fit yet.

        >>> Reshape((3, 2)).compute_output_spec(KerasTensor((None, None, 2)))
        <KerasTensor shape=(None, 3, 2) dtype=float32>
        """
        dtype = self._dtype if self.autocast and inputs.dtype.is_floating_point else inputs.dtype
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"target_shape": self.target_shape}
