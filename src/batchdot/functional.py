"""The functions, and the pipeline they run: axes, contraction, lowering, kernel, tensor."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from math import inf
from operator import index
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from batchdot.axes import Axes, is_bool, read_axes, refuse_shared_axes
from batchdot.contraction import Contraction, Shape
from batchdot.conversion import as_tensor, check_dtypes, check_operands, is_sharded
from batchdot.graph.functions import FUNCTIONS, INFERENCES, call_symbolically
from batchdot.graph.tensor import KerasTensor, is_keras_tensor
from batchdot.kernels import choose
from batchdot.kinds import PLAIN, Recognize, key, recognize_nothing, recognizer
from batchdot.lowering import lower, result_dtype
from batchdot.plans import Operand, Plan, Run
from batchdot.sparse import sparse_dot

EPSILON = 1e-12
"""TensorFlow's floor on the squared norm, in every version (``tf.math.l2_normalize``)."""

_is_tracing = torch.compiler.is_dynamo_compiling

# A program meets a few shapes, or a few thousand; one that meets a new one at each call must not grow.
MAX_PLANS = 4096


# What recognizes tensors, and how they are run: by a function of them and of options.
_Way: TypeAlias = tuple[Recognize, Callable[..., Any], tuple[Any, ...]]


class _Kept:
    """A plan, and the way of tensors like those that it met last: one value, for threads share it."""

    __slots__ = ("plan", "way")

    def __init__(self, plan: Plan, x: Tensor, y: Tensor) -> None:
        self.plan = plan
        self.way = self.settle(x, y)

    def settle(self, x: Tensor, y: Tensor) -> _Way:
        """Return the way of these tensors, and of those that are recognized as like them."""
        # Whether gradients are asked for, and whether torch.func watches, is part of what is recognized.
        differentiated = x.requires_grad or y.requires_grad or torch._C._are_functorch_transforms_active()
        quick = None if differentiated else self.plan.quick
        return (recognizer(x, y), *(quick or (self.plan.run, ())))


class Operation:
    """One thing a user asks for, as distinct from the tensors they ask it of; it keeps its plans.

    Attributes:
        function: the name it goes by in messages.
        rule: from two shapes to their contraction.
        epsilon: floor on the squared norms, None to normalize nothing.
        options: what else was asked for, by argument name; messages repeat it.
        sparse: what runs it where x is sparse, None where nothing does.
    """

    __slots__ = ("epsilon", "function", "last", "options", "plans", "rule", "sparse")

    def __init__(
        self,
        function: str,
        rule: Callable[[Shape, Shape], Contraction],
        epsilon: float | None = None,
        options: dict[str, Any] | None = None,
        sparse: Run | None = None,
    ) -> None:
        self.function = function
        self.rule = rule
        self.epsilon = epsilon
        self.options = options or {}
        self.sparse = sparse
        self.plans: dict[Hashable, _Kept] = {}
        # Of the last call, which the next most often is like.
        self.last: _Way = (recognize_nothing, self.run_first, ())

    def __call__(self, x: Any, y: Any) -> Any:
        """Run it. A call on tensors of the same kind as the last one's plans nothing."""
        if _is_tracing():
            return self.trace(x, y)
        recognizes, run, options = self.last
        if recognizes(x, y) and forward_ad._current_level < 0:
            return run(x, y, *options)
        kept = self.plans.get(key(x, y))
        if kept is None:
            return self.run_first(x, y)
        way = kept.way
        if not way[0](x, y):  # of the same shapes and strides, but watched by something else
            way = kept.way = kept.settle(x, y)
        self.last = way
        return kept.plan.run(x, y)

    def run_first(self, x: Any, y: Any) -> Any:
        """Run it on what it has no plan for: convert, check, plan, keep the plan."""
        if is_keras_tensor(x) or is_keras_tensor(y):
            return call_symbolically(self.function, x, y, **self.options)
        if is_sharded(x) or is_sharded(y):
            from batchdot.sharding.execution import run_sharded

            return run_sharded(self, x, y)
        x, y = self.read(x, y)
        if self.sparse is not None and x.layout != torch.strided:
            return self.sparse(x, y)
        plan = self.plan(x, y)
        if _may_keep(plan, x, y):
            if len(self.plans) >= MAX_PLANS:
                self.plans.clear()
            self.plans[key(x, y)] = _Kept(plan, x, y)
        return plan.run(x, y)

    def trace(self, x: Any, y: Any) -> Tensor:
        """Run while torch.compile looks on: as one operator, or in full what an operator does not take.

        Without the plans, whose keys would make torch.compile build a graph for each batch size.
        """
        if x.__class__ in PLAIN and y.__class__ in PLAIN:
            from batchdot.tracing import call_operator

            if (out := call_operator(self.function, x, y, self.options)) is not None:
                return out
        x, y = self.read(x, y)
        if self.sparse is not None and x.layout != torch.strided:
            return self.sparse(x, y)
        return self.plan(x, y).run(x, y)

    def read(self, x: Any, y: Any) -> tuple[Tensor, Tensor]:
        """Convert what is not a tensor, to the device of what is."""
        device = next((t.device for t in (x, y) if isinstance(t, Tensor)), None)
        return as_tensor(x, device), as_tensor(y, device)

    def plan(self, x: Tensor, y: Tensor) -> Plan:
        """Check two tensors and decide how to contract them, and by which kernel."""
        return choose(self.lower(x, y))

    def lower(self, x: Tensor, y: Tensor) -> Plan:
        """Check two tensors and return the plan that every kernel is asked about."""
        check_operands(x, y, self.function)
        contraction = self.contract(tuple(x.shape), tuple(y.shape))
        if _is_tracing() or not (_is_plain(x) and _is_plain(y)):
            x_is, y_is = (Operand(t.dtype, t.device.type, None) for t in (x, y))
        else:
            x_is, y_is = Operand.of(x), Operand.of(y)
        return lower(contraction, x_is, y_is, self.epsilon)

    def contract(self, x_shape: Shape, y_shape: Shape) -> Contraction:
        """Apply the rule; an error repeats the whole call."""
        try:
            return self.rule(x_shape, y_shape)
        except ValueError as error:
            received = f"x.shape={tuple(x_shape)}, y.shape={tuple(y_shape)}"
            if "axes" in self.options:
                received += f", axes={self.options['axes']}"
            if self.options.get("batch_dims", 1) != 1:
                received += f", batch_dims={self.options['batch_dims']}"
            raise type(error)(f"{error} Received: {received}.") from None

    def infer(self, x: Any, y: Any) -> KerasTensor:
        """Infer shape and dtype of the result from symbolic tensors, without computing."""
        x, y = (t if is_keras_tensor(t) else as_tensor(t) for t in (x, y))
        check_dtypes(x.dtype, y.dtype, self.function)
        shape = self.contract(tuple(x.shape), tuple(y.shape)).output_shape
        return KerasTensor(shape, result_dtype(x.dtype, y.dtype, self.epsilon is not None))


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
    axes = read_axes(axes)
    if batch_dims.__class__ is not int:
        batch_dims = _read_batch_dims(batch_dims)
    if epsilon.__class__ is not float:
        epsilon = _read_epsilon(epsilon)
    operation = _batch_dot_operation if _is_tracing() else _cached_operation
    return operation(axes, batch_dims, bool(normalize), epsilon)(x, y)


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
    return operation.plan(*operation.read(x, y))


def batch_dot_operation(
    axes: Any = None, *, batch_dims: Any = 1, normalize: bool = False, epsilon: Any = EPSILON
) -> Operation:
    """Return the operation of a `batch_dot` call, for those who ask about shapes or plans."""
    return _batch_dot_operation(
        read_axes(axes), _read_batch_dims(batch_dims), bool(normalize), _read_epsilon(epsilon)
    )


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


def _may_keep(plan: Plan, x: Tensor, y: Tensor) -> bool:
    """Whether the key of a plan says all that the plan depends on."""
    if plan.traced:
        return False
    if plan.epsilon is not None and not (x.is_floating_point() or x.is_complex()):
        return False  # depends on the default dtype
    # A sparse COO tensor shows strides of zero, or none: no dense tensor may have left a plan for that.
    return all(any(t.stride()) for t in (x, y))


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is what it looks like: neither of a subclass nor of symbolic sizes."""
    return tensor.__class__ in PLAIN and all(size.__class__ is int for size in tensor.shape)


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
