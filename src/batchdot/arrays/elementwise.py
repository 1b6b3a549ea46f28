"""Elementwise functions under the names of keras.backend.

Two tensors broadcast and are promoted as in torch. Each function returns the dtype of its arguments, except
the comparisons, which return bool.
"""

import torch
from torch import Tensor

from batchdot.arrays.operands import Operand, as_tensors, of_tensor
from batchdot.convert import DTypeLike, TensorLike, as_tensor, parse_dtype


@of_tensor
def abs(x: TensorLike) -> Tensor:
    """Return the absolute values.

    >>> abs([-1.0, 2.0])
    tensor([1., 2.])
    """
    return as_tensor(x).abs()


@of_tensor
def square(x: TensorLike) -> Tensor:
    """Return x times x.

    >>> square([-2, 3])
    tensor([4, 9])
    """
    return as_tensor(x).square()


@of_tensor
def sqrt(x: TensorLike) -> Tensor:
    """Return the square root of x, and 0 for negative x, as keras.backend does; torch.sqrt gives NaN there.

    >>> sqrt([4.0, -1.0])
    tensor([2., 0.])
    """
    return as_tensor(x).clamp_min(0).sqrt()


@of_tensor
def exp(x: TensorLike) -> Tensor:
    """Return e to the power of x.

    >>> exp([0.0, 1.0])
    tensor([1.0000, 2.7183])
    """
    return as_tensor(x).exp()


@of_tensor
def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm.

    >>> log([1.0, 0.0])
    tensor([0., -inf])
    """
    return as_tensor(x).log()


@of_tensor
def sin(x: TensorLike) -> Tensor:
    """Return the sine.

    >>> sin([0.0, 1.0])
    tensor([0.0000, 0.8415])
    """
    return as_tensor(x).sin()


@of_tensor
def cos(x: TensorLike) -> Tensor:
    """Return the cosine.

    >>> cos([0.0, 1.0])
    tensor([1.0000, 0.5403])
    """
    return as_tensor(x).cos()


@of_tensor
def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1.

    >>> sign([-2.5, 0.0, 3.0])
    tensor([-1.,  0.,  1.])
    """
    return as_tensor(x).sign()


@of_tensor
def round(x: TensorLike) -> Tensor:
    """Return the nearest integers, in x's dtype; halves go to the even one.

    >>> round([0.5, 1.5, 2.4])
    tensor([0., 2., 2.])
    """
    return as_tensor(x).round()


@of_tensor
def pow(x: TensorLike, a: Operand) -> Tensor:
    """Return x to the power of a, elementwise.

    >>> pow([2.0, 3.0], 2)
    tensor([4., 9.])
    """
    base, exponent = as_tensors(x, a)
    return base.pow(exponent)


@of_tensor
def clip(x: TensorLike, min_value: Operand | None = None, max_value: Operand | None = None) -> Tensor:
    """Return x limited to an interval; None leaves a side open.

    If max_value is a number below the number min_value, it counts as min_value.

    >>> clip([-1.0, 0.5, 9.0], 0, 1), clip([5.0], 2.0, 1.0)
    (tensor([0.0000, 0.5000, 1.0000]), tensor([2.]))
    """
    x = as_tensor(x)
    if isinstance(min_value, int | float) and isinstance(max_value, int | float):
        max_value = max_value if max_value >= min_value else min_value
    low, high = (None if bound is None else as_tensors(x, bound)[1] for bound in (min_value, max_value))
    return x if low is high is None else x.clamp(low, high)


@of_tensor
def maximum(x: TensorLike, y: Operand) -> Tensor:
    """Return the larger of two tensors, elementwise.

    >>> maximum([1, 5], 3)
    tensor([3, 5])
    """
    return torch.maximum(*as_tensors(x, y))


@of_tensor
def minimum(x: TensorLike, y: Operand) -> Tensor:
    """Return the smaller of two tensors, elementwise.

    >>> minimum([1, 5], 3)
    tensor([1, 3])
    """
    return torch.minimum(*as_tensors(x, y))


@of_tensor
def equal(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x == y, elementwise.

    >>> equal([1, 2], [1, 3])
    tensor([ True, False])
    """
    return torch.eq(*as_tensors(x, y))


@of_tensor
def not_equal(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x != y, elementwise.

    >>> not_equal([1, 2], [1, 3])
    tensor([False,  True])
    """
    return torch.ne(*as_tensors(x, y))


@of_tensor
def greater(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x > y, elementwise.

    >>> greater([1, 2], 1)
    tensor([False,  True])
    """
    return torch.gt(*as_tensors(x, y))


@of_tensor
def greater_equal(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x >= y, elementwise.

    >>> greater_equal([1, 2], 2)
    tensor([False,  True])
    """
    return torch.ge(*as_tensors(x, y))


@of_tensor
def less(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x < y, elementwise.

    >>> less([1, 2], 2)
    tensor([ True, False])
    """
    return torch.lt(*as_tensors(x, y))


@of_tensor
def less_equal(x: TensorLike, y: Operand) -> Tensor:
    """Return whether x <= y, elementwise.

    >>> less_equal([1, 2], 1)
    tensor([ True, False])
    """
    return torch.le(*as_tensors(x, y))


@of_tensor
def zeros_like(x: TensorLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return zeros in the shape of x, and in its dtype unless one is given.

    >>> zeros_like([[1.0, 2.0]])
    tensor([[0., 0.]])
    """
    return torch.zeros_like(as_tensor(x), dtype=None if dtype is None else parse_dtype(dtype))


@of_tensor
def ones_like(x: TensorLike, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """Return ones in the shape of x, and in its dtype unless one is given.

    >>> ones_like([[1.0, 2.0]], dtype="int32")
    tensor([[1, 1]], dtype=torch.int32)
    """
    return torch.ones_like(as_tensor(x), dtype=None if dtype is None else parse_dtype(dtype))


@of_tensor
def cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """Return a tensor in another dtype.

    Raises:
        TypeError: torch has no such dtype.

    >>> cast([1, 0], "bool")
    tensor([ True, False])
    """
    return as_tensor(x).to(parse_dtype(dtype))


@of_tensor
def where(condition: TensorLike, x: Operand, y: Operand) -> Tensor:
    """Return x where a condition is not 0, and y elsewhere; the three broadcast.

    >>> where([True, False], [1.0, 2.0], 0.0)
    tensor([1., 0.])
    """
    return torch.where(as_tensor(condition).bool(), *as_tensors(x, y))
