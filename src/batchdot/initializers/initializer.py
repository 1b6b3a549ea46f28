"""The base of Keras's weight initializers, and their registry."""

import operator
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

import torch
from torch import Tensor

from batchdot.convert import DTypeLike, dtype_or_floatx
from batchdot.registry import Config, Configurable, Registry

Initialize: TypeAlias = Callable[..., Tensor]
Device: TypeAlias = torch.device | str | None
Shape: TypeAlias = tuple[int, ...]

INITIALIZERS = Registry[Initialize]("initializer", "keras.initializers")


class Initializer(Configurable):
    """Base of the initializers. A subclass defines ``__call__``, and ``get_config`` if it has arguments.

    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None, device=None):
    ...         return torch.full(shape, 0.5)
    >>> Halves()((2,))
    tensor([0.5000, 0.5000])
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None, device: Device = None) -> Tensor:
        """Return a tensor of initial values.

        Args:
            shape: the shape, a sequence of integers.
            dtype: a dtype of torch or numpy, or its name; None for `floatx`.
            device: the device of the tensor; None for torch's default device.

        Raises:
            TypeError: torch has no such dtype.
            ValueError: the initializer does not support the shape or the dtype.
        """
        dtype = dtype_or_floatx(dtype)
        return self._values(tuple(map(operator.index, shape)), dtype, device)

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Create the initializer from what `get_config` returned, here or in Keras."""
        # tf.keras 1.x wrote a dtype. Keras 3 writes axes; None is the behaviour implemented here.
        unset = {"dtype"} | {name for name in ("input_axes", "output_axes") if config.get(name) is None}
        return cls(**{name: value for name, value in config.items() if name not in unset})
