"""The symbolic tensor."""

from typing import Any

import torch

from batchdot.contraction import Shape


class KerasTensor:
    """A tensor that is known by its shape and dtype, and holds no numbers.

    Attributes:
        shape: tuple of sizes, None where unknown.
        dtype: the dtype the numbers will have.
        name: a name to print, or None.

    >>> KerasTensor((None, 3))
    <KerasTensor shape=(None, 3) dtype=float32>
    """

    layout = torch.strided
    is_nested = False
    device = torch.device("meta")

    def __init__(self, shape: Shape, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        self.shape = tuple(shape)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.name = name

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        name = f" name={self.name}" if self.name else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"<KerasTensor{name} shape={self.shape} dtype={dtype}>"


def is_keras_tensor(value: Any) -> bool:
    """Return whether a value is a symbolic tensor.

    >>> is_keras_tensor(KerasTensor((2, 3))), is_keras_tensor(torch.ones(2, 3))
    (True, False)
    """
    return isinstance(value, KerasTensor)
