"""The public functions `batch_dot`, `dot` and `plan`."""

from typing import Any, TypeVar, overload

from torch import Tensor

from batchdot._torch import is_tracing
from batchdot.convert import AxesLike, TensorLike
from batchdot.kernels import select_kernel
from batchdot.ops.arguments import DOT, batch_dot_operation, cached_operation
from batchdot.ops.dispatch import run
from batchdot.ops.operation import convert_operands
from batchdot.planning.plan import Plan
from batchdot.types import EPSILON, SymbolicTensor

S = TypeVar("S", bound=SymbolicTensor)


@overload
def batch_dot(
    x: S,
    y: TensorLike | SymbolicTensor,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
) -> S: ...
@overload
def batch_dot(
    x: TensorLike,
    y: S,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
) -> S: ...
@overload
def batch_dot(
    x: TensorLike,
    y: TensorLike,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
) -> Tensor: ...
def batch_dot(
    x: Any,
    y: Any,
    axes: Any = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
) -> Any:
    """Dot products between the samples of two tensors: ``out[b] = tensordot(x[b], y[b], axes)``.

    Args:
        x: tensor of shape (B, ...), rank 2 or more. numpy arrays and nested lists are converted.
        y: tensor of shape (B, ...), rank 2 or more, of the same batch size.
        axes: the axes to sum over: an int for both inputs, a pair of ints, or a pair of sequences of
            ints to sum over several. Negative axes count from the end of each input by itself. None
            stands for the last axis of x with the second-to-last of y, or the last where y has rank 2.
        batch_dims: how many leading axes are shared between the samples; each index into them is a
            sample.
        normalize: whether to L2-normalize the slices along the summed axes first, which makes every
            number of the result a cosine. A real cosine is never above 1 or below -1. Derivatives that
            are finite and beyond the range of their dtype, as those at a slice of zeros are in float16,
            saturate at its largest number.
        epsilon: floor on the squared norm of a slice; 1e-14 reproduces Keras 3.

    Returns:
        A tensor: x's shape without the summed axes, then y's without the shared and the summed axes;
        (B, 1) where that has rank 1. The dtype is the promoted one; integers stay integers, except
        that cosines of integers have the default floating dtype. Symbolic inputs give a symbolic
        result.

    Raises:
        AxisError: an axis outside ``[-rank, rank)``. It is a ValueError and an IndexError.
        ValueError: sizes, ranks or devices do not fit, or a shared axis is summed over.
        TypeError: `axes` is not of integers, or the inputs are bool, sparse, nested or not numbers.

    >>> import torch
    >>> x, y = torch.ones(32, 20, 1), torch.ones(32, 30, 20)
    >>> batch_dot(x, y, axes=(1, 2)).shape
    torch.Size([32, 1, 30])
    >>> batch_dot([[3., 4.]], [[4., 3.]], axes=1, normalize=True)
    tensor([[0.9600]])

    Source: ``tf.keras.backend.batch_dot`` of TensorFlow 2; the normalization is
    ``tf.math.l2_normalize``, ``x * rsqrt(max(sum(x**2), epsilon))``.
    """
    if is_tracing():
        from batchdot.ops.compile import trace_batch_dot

        return trace_batch_dot(x, y, axes, batch_dims, normalize, epsilon)
    return run(cached_operation(axes, batch_dims, normalize, epsilon), x, y)


@overload
def dot(x: S, y: TensorLike | SymbolicTensor) -> S: ...
@overload
def dot(x: TensorLike, y: S) -> S: ...
@overload
def dot(x: TensorLike, y: TensorLike) -> Tensor: ...
def dot(x: Any, y: Any) -> Any:
    """Dot product of two tensors by numpy.dot's rule, as ``keras.backend.dot``.

    Args:
        x: tensor of any shape; or a sparse matrix (COO or CSR).
        y: tensor of any shape; dense.

    Returns:
        A tensor of shape ``x.shape[:-1] + y.shape[:-2] + y.shape[-1:]``: the last axis of x is summed
        with the second-to-last of y, or with the only one of a vector. A scalar multiplies.

    Raises:
        ValueError: the summed sizes or the devices differ.
        TypeError: bool inputs, a sparse y, a nested tensor, or not numbers.

    >>> import torch
    >>> dot(torch.ones(2, 3), torch.ones(4, 3, 5)).shape
    torch.Size([2, 4, 5])

    Source: ``tf.keras.backend.dot``; 1-D and scalar operands as ``numpy.dot``.
    """
    if is_tracing():
        from batchdot.ops.compile import trace_operation

        return trace_operation(DOT, x, y)
    return run(DOT, x, y)


def plan(
    x: TensorLike,
    y: TensorLike,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    epsilon: float = EPSILON,
) -> Plan:
    """Return how `batch_dot` would run this call: a value to print and to assert on.

    >>> import torch
    >>> print(plan(torch.ones(32, 128, 64), torch.ones(32, 100, 64), axes=2))
    matrix product by aten on cpu: bik,bjk->bij
      x as it is
      y.mT
      result (32, 128, 100) float32, products in float32
    """
    operation = batch_dot_operation(axes, batch_dims, normalize, epsilon)
    return select_kernel(operation.lower(*convert_operands(x, y))).plan
