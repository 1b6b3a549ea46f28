"""Functions on symbolic tensors: a call becomes a layer that stands for it.

The layer is imported when the first one is made: functions that may be called symbolically are
below the layers.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from batchdot.symbolic.tensor import symbolic_tensors

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""The functions that a config may name."""

INFERENCES: dict[str, Callable[..., Any]] = {}
"""How functions that know infer their results from symbolic tensors, which are their arguments."""

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
            return call_symbolically(function.__name__, *args, **kwargs)
        return function(*args, **kwargs)

    FUNCTIONS[function.__name__] = run
    return run  # type: ignore[return-value]


def call_symbolically(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of this module's table on symbolic tensors: make its layer, and a node."""
    from batchdot.layers.core.function import Function

    return Function.call_on(function, args, kwargs)
