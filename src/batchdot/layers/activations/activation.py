"""Activation: an activation function as a layer."""

from typing import Any

from batchdot import activations
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS


@LAYERS.register()
class Activation(Layer):
    """Layer that applies an activation function.

    Args:
        activation: a name, a config or a function of a tensor; None means the identity.
        **kwargs: as for every `Layer`.

    Call it on a tensor of any shape (B, ...) and any dtype that the function takes. The output has the shape
    of the input.

    Raises:
        ValueError: an unknown activation.
        TypeError: a keyword that no layer has.

    >>> import torch
    >>> Activation("relu")(torch.tensor([-3.0, -1.0, 0.0, 2.0]))
    tensor([0., 0., 0., 2.])

    Source: ``tf.keras.layers.Activation``.
    """

    _pure_call = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return the value of the function."""
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"activation": activations.serialize(self.activation)}
