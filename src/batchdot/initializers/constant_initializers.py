"""Initializers whose values are not random: `Zeros`, `Ones`, `Constant` and `Identity`."""

import math
from typing import Self

import torch
from torch import Tensor, nn

from batchdot.convert import TensorLike, as_tensor
from batchdot.initializers.initializer import INITIALIZERS, Device, Initializer, Shape
from batchdot.registry import Config


@INITIALIZERS.register("zero")
class Zeros(Initializer):
    """Zeros of any dtype.

    >>> Zeros()((2,)), Ones()((2,), dtype=torch.int64)
    (tensor([0., 0.]), tensor([1, 1]))
    """

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)


@INITIALIZERS.register("one")
class Ones(Initializer):
    """Ones of any dtype.

    >>> Ones()((2,))
    tensor([1., 1.])
    """

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.ones(shape, dtype=dtype, device=device)


@INITIALIZERS.register()
class Constant(Initializer):
    """A constant: a number, or an array that is reshaped (same number of elements) or broadcast.

    Raises:
        ValueError: when called, the array can be neither reshaped nor broadcast to the shape.

    >>> Constant(3)((2,)), Constant([[1.0, 2.0]])((2, 1))
    (tensor([3., 3.]), tensor([[1.],
            [2.]]))
    """

    def __init__(self, value: TensorLike = 0) -> None:
        self.value = value

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if isinstance(self.value, bool | int | float | complex):
            return torch.full(shape, self.value, dtype=dtype, device=device)
        device = torch.get_default_device() if device is None else device
        value = as_tensor(self.value).detach().to(device, dtype, copy=True)
        if value.numel() == math.prod(shape):
            return value.reshape(shape)
        try:
            return value.expand(shape).clone()
        except RuntimeError:
            raise ValueError(
                f"Constant cannot fill the shape {shape} with a value of shape {tuple(value.shape)}."
            ) from None

    def get_config(self) -> Config:
        """Return the value; an array as nested lists."""
        return {"value": self.value.tolist() if hasattr(self.value, "tolist") else self.value}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Create the initializer from what `get_config` returned, here or in Keras."""
        value = config.get("value")
        # Keras wraps arrays: {"class_name": "__numpy__", "config": {"value": ..., "dtype": ...}}
        return super().from_config(config | value["config"] if isinstance(value, dict) else config)

    def __repr__(self) -> str:
        return f"Constant(value={self.value!r})"


@INITIALIZERS.register("IdentityInitializer")
class Identity(Initializer):
    """``gain`` times the identity matrix.

    Raises:
        ValueError: when called, the shape does not have two axes.

    >>> Identity(2.0)((2, 3))
    tensor([[2., 0., 0.],
            [0., 2., 0.]])
    """

    _arguments = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        return nn.init.eye_(torch.empty(shape, dtype=dtype, device=device)).mul_(self.gain)
