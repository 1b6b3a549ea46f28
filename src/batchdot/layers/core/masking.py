"""Masking: mask the timesteps whose features all equal one value."""

from typing import Any

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS


@LAYERS.register()
class Masking(Layer):
    """Layer that masks the timesteps whose features all equal a value, and sets them to 0.

    Args:
        mask_value: the value.
        **kwargs: as for every `Layer`.

    Call it on a tensor of shape (B, ..., K). The output has its shape and dtype, the mask shape (B, ...).

    Raises:
        TypeError: `mask_value` is not a number; a keyword that no layer has.

    >>> import torch
    >>> layer = Masking(9.0)
    >>> steps = torch.tensor([[[9.0, 9.0], [9.0, 1.0]]])
    >>> layer(steps).tolist(), layer.compute_mask(steps).tolist()
    ([[[0.0, 0.0], [9.0, 1.0]]], [[False, True]])

    Source: ``tf.keras.layers.Masking``.
    """

    _pure_call = True

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(mask_value, int | float | complex):
            try:
                mask_value = mask_value.item()  # numpy's numbers and torch's
            except (AttributeError, ValueError, RuntimeError):
                raise TypeError(
                    f"Masking expects `mask_value` to be a number. Received: mask_value={mask_value!r}"
                ) from None
        self.mask_value = mask_value
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return the inputs with masked timesteps set to 0."""
        return inputs * (inputs != self.mask_value).any(-1, keepdim=True)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return which timesteps have a feature that differs from the value."""
        return (inputs != self.mask_value).any(-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"mask_value": self.mask_value}
