"""Softmax: exp(x) / sum(exp(x)) along an axis, without masked elements."""

from typing import Any

import torch
from torch import Tensor

from batchdot import activations
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_axis, check_bool


@LAYERS.register()
class Softmax(Layer):
    """Layer that applies softmax along an axis, or along several.

    Args:
        axis: an axis, or a list of axes.
        robust_masking: whether a masked element is replaced by a large negative number. By default that
            number is added to it, which differs if the element is as large.
        **kwargs: as for every `Layer`.

    Call it on a floating tensor of shape (B, ...), and for masking on a mask of the same shape too,
    ``layer(x, mask)``: elements where the mask is False are left out. The output has the shape and dtype of
    the input.

    Raises:
        TypeError: `axis` is not of integers; an input that is not floating; a keyword that no layer has.

    >>> layer = Softmax()
    >>> scores = torch.tensor([[1.0, 2.0, 1.0]])
    >>> layer(scores, torch.tensor([[True, False, True]]))
    tensor([[0.5000, 0.0000, 0.5000]])

    Source: ``tf.keras.layers.Softmax``: ``exp(x) / sum(exp(x))``.
    """

    _pure_call = True

    def __init__(self, axis: Any = -1, robust_masking: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, list | tuple):
            self.axis: Any = type(axis)([check_axis("Softmax", item) for item in axis])
        else:
            self.axis = check_axis("Softmax", axis)
        self.robust_masking = check_bool("Softmax", "robust_masking", robust_masking)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        """Return the softmax of the elements that are not masked."""
        if not inputs.is_floating_point():
            raise TypeError(f"Layer {self.name} takes floating tensors. Received: {inputs.dtype}")
        if mask is not None:
            inputs = self._masked(inputs, mask)
        return activations.softmax(inputs, self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = super().get_config() | {"axis": self.axis}
        return config | {"robust_masking": True} if self.robust_masking else config

    def _masked(self, inputs: Tensor, mask: Tensor) -> Tensor:
        large = torch.finfo(torch.float16).min / 2 if inputs.dtype is torch.float16 else -1e9
        if self.robust_masking:
            return torch.where(mask if mask.dtype is torch.bool else mask > 0.5, inputs, large)
        return inputs + (1.0 - mask.to(inputs.dtype)) * large
