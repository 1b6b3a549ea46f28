"""Dropout: set random elements to zero in training."""

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS


@LAYERS.register()
class Dropout(Layer):
    """Layer that in training sets elements to 0 at random, and multiplies the others by ``1 / (1 - rate)``.

    Args:
        rate: the fraction of elements set to 0, at least 0 and below 1.
        noise_shape: the shape of the random choices, which broadcast over the input: for each axis None
            for the input's size, or 1 for one choice along the axis.
        seed: an integer seeds a generator of the layer's own. None uses torch's default generator, which
            ``torch.manual_seed`` seeds and torch.compile can trace.
        **kwargs: as for every `Layer`.

    Call it on a floating or complex tensor of shape (B, ...); the output has its shape and dtype. Whether
    it trains is decided by the argument, ``layer(x, training=True)``, else by that of the call around it,
    else by the mode of the module, ``layer.train()`` or ``layer.eval()``; PyTorch starts in training mode.

    Raises:
        ValueError: a rate outside [0, 1); a noise shape that does not fit.
        TypeError: an argument of the wrong type; an integer input in training; a keyword that no layer has.

    >>> layer = Dropout(0.5, seed=1)
    >>> layer(torch.ones(4), training=False)
    tensor([1., 1., 1., 1.])
    >>> layer(torch.ones(1000), training=True).unique()
    tensor([0., 2.])

    Source: ``tf.keras.layers.Dropout``; the random numbers are PyTorch's.
    """

    _pure_call = True
    _resolves_training = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(rate, Real) or isinstance(rate, bool):
            raise TypeError(f"Dropout expects `rate` to be a number. Received: rate={rate!r}")
        if not 0 <= rate < 1:
            raise ValueError(
                f"Dropout received an invalid value for `rate`, expected a value in [0, 1). "
                f"Received: rate={rate!r}"
            )
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise TypeError(f"Dropout expects `seed` to be an integer. Received: seed={seed!r}")
        self.rate: float = rate
        self.noise_shape: Any = tuple(noise_shape) if isinstance(noise_shape, list) else noise_shape
        self.seed: int | None = seed
        self.supports_masking = True
        self._generator: torch.Generator | None = None

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return the inputs, in training with elements dropped."""
        if not self.rate or not (self.training if training is None else training):
            return inputs
        if not inputs.is_floating_point() and not inputs.is_complex():
            raise TypeError(f"Layer {self.name} drops from floating tensors. Received: {inputs.dtype}")
        if self.noise_shape is None and self.seed is None and not inputs.is_complex():
            return torch.nn.functional.dropout(inputs, float(self.rate))
        return inputs * self._noise(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }

    def _noise(self, inputs: Tensor) -> Tensor:
        """Return the factors of the inputs: 0 or ``1 / (1 - rate)``."""
        shape = tuple(inputs.shape) if self.noise_shape is None else self._noise_shape(inputs.shape)
        if self.seed is None or inputs.is_meta:  # shape inference must not advance the generator
            kept = torch.rand(shape, device=inputs.device)
        else:  # the same numbers on every device
            if self._generator is None:
                self._generator = torch.Generator().manual_seed(self.seed)
            kept = torch.rand(shape, generator=self._generator).to(inputs.device)
        return (kept >= self.rate).to(inputs.dtype) / (1 - self.rate)

    def _noise_shape(self, shape: Any) -> tuple[int, ...]:
        wanted = self.noise_shape
        pairs = list(zip(wanted, shape, strict=False))
        if len(wanted) != len(shape) or any(choice not in (None, 1, size) for choice, size in pairs):
            raise ValueError(
                f"Layer {self.name} cannot broadcast `noise_shape` {wanted} over inputs of shape "
                f"{tuple(shape)}."
            )
        return tuple([size if choice is None else choice for choice, size in pairs])
