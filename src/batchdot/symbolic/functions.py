"""Functions called on symbolic tensors: each call makes a layer, which runs the function on tensors later.

`batchdot.layers` imports this package, so the module of that layer sets a hook here, `layer_of_call`, when
it is imported. `batch_dot` and `dot` of symbolic tensors come through a handler (`batchdot.ops.handlers`).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from torch import Tensor

from batchdot.convert import TensorLike, as_tensor
from batchdot.ops.arguments import DOT, batch_dot_operation
from batchdot.ops.dispatch import run
from batchdot.ops.functional import batch_dot, dot
from batchdot.ops.handlers import Handler, register
from batchdot.ops.operation import Operation
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.meta_mode import META
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor, symbolic_tensors

SYMBOLIC_FUNCTIONS: dict[str, Callable[..., Any]] = {"batch_dot": batch_dot, "dot": dot}
"""The functions that a config may name."""

layer_of_call: Callable[[str, tuple[Any, ...], dict[str, Any]], Any] | None = None
"""Makes the layer of a function's call and calls it: set by `batchdot.layers.core.function`."""

F = TypeVar("F", bound=Callable[..., Any])


def symbolic(function: F) -> F:
    """Let a function of tensors take symbolic tensors as well.

    >>> import torch
    >>> from batchdot import Input
    >>> @symbolic
    ... def double(x):
    ...     return 2 * x
    >>> double(torch.ones(2)), double(Input((3,))).shape
    (tensor([2., 2.]), (None, 3))
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if symbolic_tensors([args, kwargs]):
            return symbolic_call(function.__name__, *args, **kwargs)
        return function(*args, **kwargs)

    SYMBOLIC_FUNCTIONS[function.__name__] = call
    return call  # type: ignore[return-value]


def symbolic_call(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of `SYMBOLIC_FUNCTIONS` on symbolic tensors: make its layer, and with it a node.

    Raises:
        RuntimeError: ``batchdot.layers`` was never imported.
    """
    if layer_of_call is None:
        raise RuntimeError(f"{function} of symbolic tensors becomes a layer: import batchdot.layers first.")
    return layer_of_call(function, args, kwargs)


def infer_operation(
    operation: Operation, x: KerasTensor | TensorLike, y: KerasTensor | TensorLike
) -> KerasTensor:
    """Return the symbolic result of an operation on symbolic tensors, or on one and constants.

    >>> infer_operation(DOT, KerasTensor((None, 3)), KerasTensor((3, 5))).shape
    (None, 5)
    """
    x_meta, y_meta = (t if isinstance(t, KerasTensor) else as_tensor(t) for t in (x, y))
    return KerasTensor(*operation.infer(x_meta, y_meta))


def _infer_batch_dot(x: Any, y: Any, **options: Any) -> KerasTensor:
    return infer_operation(batch_dot_operation(**options), x, y)


def _infer_dot(x: Any, y: Any) -> KerasTensor:
    return infer_operation(DOT, x, y)


SHAPE_RULES: dict[str, Callable[..., KerasTensor]] = {"batch_dot": _infer_batch_dot, "dot": _infer_dot}
"""Rules for the shape and dtype of results, by name; functions without one are run on meta tensors."""


def _claims_mixed(operation: Operation, x: object, y: object) -> bool:
    return CONTEXT.in_shape_inference and _is_meta(x) is not _is_meta(y)


def _run_mixed(operation: Operation, x: Any, y: Any) -> Any:
    """Run an operation on a meta tensor and a constant, in shape inference."""
    return run(operation, as_tensor(x).to(META), as_tensor(y).to(META))


def _is_meta(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_meta


def _claims(operation: Operation, x: object, y: object) -> bool:
    return is_keras_tensor(x) or is_keras_tensor(y)


def _run(operation: Operation, x: object, y: object) -> Any:
    return symbolic_call(operation.function, x, y, **operation.options)


register(Handler("constant in shape inference", _claims_mixed, _run_mixed))
register(Handler("symbolic", _claims, _run))
