"""The optional cast of file inputs: parsing the target dtype and refusing casts that lose information."""

import torch

from batchdot.convert import ARITHMETIC, dtype_name
from batchdot.io.layout import NUMPY_DTYPES

DTYPES = {dtype_name(dtype): dtype for dtype in NUMPY_DTYPES if dtype in ARITHMETIC}
"""The dtypes that inputs can be cast to, by name."""


def parse_target_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return the dtype that inputs are cast to, given as a dtype or its name; None for no cast.

    Raises:
        ValueError: it is not one of `DTYPES`.

    >>> parse_target_dtype("float32"), parse_target_dtype(None)
    (torch.float32, None)
    """
    if dtype is None:
        return None
    if isinstance(dtype, torch.dtype) and dtype in DTYPES.values():
        return dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype should be one of {', '.join(DTYPES)}. Received: {dtype!r}")
    return DTYPES[dtype]


def cast_dtype(dtype: torch.dtype, to: torch.dtype | None, name: str) -> torch.dtype:
    """Return the dtype of an input after its cast, which is its own if ``to`` is None.

    Raises:
        TypeError: the cast would lose an imaginary part or a fraction.

    >>> cast_dtype(torch.int8, torch.float32, "x"), cast_dtype(torch.int8, None, "x")
    (torch.float32, torch.int8)
    """
    if to is None:
        return dtype
    if not torch.can_cast(dtype, to):
        lost = "the imaginary part" if dtype.is_complex and not to.is_complex else "the fraction"
        raise TypeError(f"{name} is {dtype_name(dtype)}: a cast to {dtype_name(to)} would lose {lost}.")
    return to
