"""The functions, and how their arguments are read."""

from functools import lru_cache
from math import inf
from operator import index
from typing import Any, TypeAlias

import torch

from batchdot.ops.operation import Operation
from batchdot.ops.sparse import sparse_dot
from batchdot.planning.axes import is_bool, read_axes, refuse_shared_axes
from batchdot.planning.contraction import Contraction
from batchdot.planning.plan import Plan
from batchdot.symbolic.functions import FUNCTIONS, INFERENCES
from batchdot.symbolic.tensor import KerasTensor
from batchdot.types import Axes, Shape

EPSILON = 1e-12
"""TensorFlow's floor on the squared norm, in every version (``tf.math.l2_normalize``)."""

_is_tracing = torch.compiler.is_dynamo_compiling

# Operations of calls before, by the identity of their axes, and the other arguments they were called with:
# the same objects ask for the same. To read the arguments and find their operation takes 0.5 µs, this 0.15.
_Called: TypeAlias = dict[int, tuple[Any, ...]]
_PRODUCTS: _Called = {}
_COSINES: _Called = {}
_NOT_CALLED: tuple[Any, ...] = (None, object(), None, None)
MAX_CALLS = 1024


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
            number of the result a cosine. A real cosine is never above 1 or below -1.
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
    if _is_tracing():
        from batchdot.ops.compile import trace_batch_dot

        return trace_batch_dot(x, y, axes, batch_dims, normalize, epsilon)
    called = _COSINES if normalize else _PRODUCTS
    _, dims, floor, operation = called.get(id(axes), _NOT_CALLED)
    if dims is not batch_dims or floor is not epsilon:
        operation = _read_call(called, axes, batch_dims, normalize, epsilon)
    return operation(x, y)


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
    if _is_tracing():
        from batchdot.ops.compile import trace_operation

        return trace_operation(_DOT, x, y)
    return _DOT(x, y)


def plan(
    x: Any,
    y: Any,
    axes: Any = None,
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
    operation = batch_dot_operation(axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon)
    return operation.build(*operation.read(x, y)).plan


def batch_dot_operation(
    axes: Any = None, *, batch_dims: Any = 1, normalize: bool = False, epsilon: Any = EPSILON
) -> Operation:
    """Return the operation of a `batch_dot` call, for those who ask about shapes or plans."""
    return _batch_dot_operation(*_read(axes, batch_dims, normalize, epsilon))


def _read_call(called: _Called, axes: Any, batch_dims: Any, normalize: Any, epsilon: Any) -> Operation:
    """Return the operation of a call, and keep it for calls with the same arguments."""
    operation = _cached_operation(*_read(axes, batch_dims, normalize, epsilon))
    if is_constant(axes) and batch_dims.__class__ is int and epsilon.__class__ is float:
        if len(called) >= MAX_CALLS:
            called.clear()
        called[id(axes)] = (axes, batch_dims, epsilon, operation)  # with axes, that no other has its identity
    return operation


def is_constant(axes: Any) -> bool:
    """Whether axes are the same at the next call if they are the same object, and integers of 64 bits.

    A list may change, a symbol of torch.compile may stand for another number.
    """
    if axes.__class__ is tuple:
        for axis in axes:  # noqa: SIM110  # all(...) is two guards more where torch.compile looks on
            if not is_constant(axis):
                return False
        return True
    return axes is None or (axes.__class__ is int and -(2**63) <= axes < 2**63)


def _batch_dot_operation(axes: Axes, batch_dims: int, normalize: bool, epsilon: float) -> Operation:
    if batch_dims < 1:
        raise ValueError(
            f"batch_dims counts the axes shared between the samples, at least 1. Received: {batch_dims}. "
            "Without a shared axis this is torch.tensordot."
        )
    if not 0 < epsilon < inf:
        raise ValueError(f"epsilon is a floor on the squared norm, positive and finite. Received: {epsilon}.")
    refuse_shared_axes(axes, batch_dims)

    def rule(x_shape: Shape, y_shape: Shape) -> Contraction:
        return Contraction.batch_dot(x_shape, y_shape, axes, batch_dims)

    options = {"axes": axes, "batch_dims": batch_dims, "normalize": normalize, "epsilon": epsilon}
    return Operation("batch_dot", rule, epsilon if normalize else None, options)


_cached_operation = lru_cache(maxsize=1024)(_batch_dot_operation)

_DOT = Operation("dot", Contraction.numpy_dot, sparse=sparse_dot)


def _read(axes: Any, batch_dims: Any, normalize: Any, epsilon: Any) -> tuple[Axes, int, bool, float]:
    return read_axes(axes), _read_batch_dims(batch_dims), bool(normalize), _read_epsilon(epsilon)


def _read_batch_dims(value: Any) -> int:
    if is_bool(value):
        raise TypeError(f"batch_dims should be an integer. Received: {value!r}")
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"batch_dims should be an integer. Received: {value!r}") from None


def _read_epsilon(value: Any) -> float:
    if isinstance(value, float):
        return float(value)  # a symbol of torch.compile, of which nothing else can be asked
    if is_bool(value) or isinstance(value, str | bytes | bytearray):
        raise TypeError(f"epsilon should be a number. Received: {value!r}")
    try:
        return float(value)
    except OverflowError:
        return inf
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"epsilon should be a number. Received: {value!r}") from None


def _infer_batch_dot(x: Any, y: Any, **options: Any) -> KerasTensor:
    return batch_dot_operation(**options).infer(x, y)


FUNCTIONS.update(batch_dot=batch_dot, dot=dot)
INFERENCES.update(batch_dot=_infer_batch_dot, dot=_DOT.infer)
