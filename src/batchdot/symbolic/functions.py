"""Functions of symbolic tensors: a call becomes a layer, which runs the function later.

Layers are above this package, so the class of that layer sets a hook here, `layer_of_call`, when it is
imported. `batch_dot` and `dot` of symbolic tensors arrive through a handler (`batchdot.ops.handlers`).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from batchdot.convert import as_tensor
from batchdot.ops.arguments import DOT, batch_dot_operation
from batchdot.ops.functional import batch_dot, dot
from batchdot.ops.handlers import Handler, register
from batchdot.ops.operation import Operation
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
    def run(*args: Any, **kwargs: Any) -> Any:
        if symbolic_tensors([args, kwargs]):
            return symbolic_call(function.__name__, *args, **kwargs)
        return function(*args, **kwargs)

    SYMBOLIC_FUNCTIONS[function.__name__] = run
    return run  # type: ignore[return-value]


def symbolic_call(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of `SYMBOLIC_FUNCTIONS` on symbolic tensors: make its layer, and with it a node.

    Raises:
        RuntimeError: ``batchdot.layers`` was never imported.
    """
    if layer_of_call is None:
        raise RuntimeError(f"{function} of symbolic tensors becomes a layer: import batchdot.layers first.")
    return layer_of_call(function, args, kwargs)


def infer_operation(operation: Operation, x: Any, y: Any) -> KerasTensor:
    """Return the symbolic result of an operation on symbolic tensors, or on one and constants.

    >>> infer_operation(DOT, KerasTensor((None, 3)), KerasTensor((3, 5))).shape
    (None, 5)
    """
    x, y = (t if is_keras_tensor(t) else as_tensor(t) for t in (x, y))
    return KerasTensor(*operation.infer(x, y))


def _infer_batch_dot(x: Any, y: Any, **options: Any) -> KerasTensor:
    return infer_operation(batch_dot_operation(**options), x, y)


def _infer_dot(x: Any, y: Any) -> KerasTensor:
    return infer_operation(DOT, x, y)


SHAPE_RULES: dict[str, Callable[..., KerasTensor]] = {"batch_dot": _infer_batch_dot, "dot": _infer_dot}
"""Functions of `SYMBOLIC_FUNCTIONS` that know the shape and dtype of their results; others are tried out."""


def _claims(operation: Operation, x: Any, y: Any) -> bool:
    return is_keras_tensor(x) or is_keras_tensor(y)


def _run(operation: Operation, x: Any, y: Any) -> Any:
    return symbolic_call(operation.function, x, y, **operation.options)


register(Handler("symbolic", _claims, _run))
