"""keras.backend functions that change tensors in place, print them, or cut their gradient."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchdot.arrays.operands import constant_like
from batchdot.backend._values import get_value, set_value
from batchdot.convert import Array, TensorLike, as_tensor
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tree import map_structure


def batch_get_value(tensors: Sequence[Tensor]) -> list[Array]:
    """Return the values of several tensors as numpy arrays.

    >>> batch_get_value([torch.ones(1), torch.zeros(1)])
    [array([1.], dtype=float32), array([0.], dtype=float32)]
    """
    return [get_value(tensor) for tensor in tensors]


def batch_set_value(tuples: Iterable[tuple[Tensor, TensorLike]]) -> None:
    """Set the values of several tensors in place, given pairs of a tensor and its value.

    Raises:
        ValueError: a value has another shape than its tensor.

    >>> x = torch.zeros(2)
    >>> batch_set_value([(x, [1, 2])])
    >>> x
    tensor([1., 2.])
    """
    for tensor, value in tuples:
        set_value(tensor, value)


def update(x: Tensor, new_x: TensorLike) -> Tensor:
    """Set the value of a tensor in place, and return the tensor.

    >>> update(torch.zeros(2), [1, 2])
    tensor([1., 2.])
    """
    set_value(x, new_x)
    return x


def update_add(x: Tensor, increment: TensorLike) -> Tensor:
    """Add to a tensor in place, without a gradient, and return the tensor.

    >>> update_add(torch.ones(2), 2)
    tensor([3., 3.])
    """
    with torch.no_grad():
        return x.add_(as_tensor(increment, x.device))


def update_sub(x: Tensor, decrement: TensorLike) -> Tensor:
    """Subtract from a tensor in place, without a gradient, and return the tensor.

    >>> update_sub(torch.ones(2), 2)
    tensor([-1., -1.])
    """
    with torch.no_grad():
        return x.sub_(as_tensor(decrement, x.device))


def moving_average_update(x: Tensor, value: TensorLike, momentum: float) -> Tensor:
    """Set x in place to ``x * momentum + value * (1 - momentum)``, and return it.

    >>> moving_average_update(torch.zeros(1), [1.0], momentum=0.75)
    tensor([0.2500])
    """
    with torch.no_grad():
        return x.lerp_(constant_like(value, x).to(x.dtype).expand_as(x), 1 - momentum)


@symbolic
def stop_gradient(variables: Any) -> Any:
    """Return a tensor, or a list of tensors, through which no gradient flows.

    >>> stop_gradient(torch.ones(1, requires_grad=True)).requires_grad
    False
    """
    if isinstance(variables, list | tuple):
        return map_structure(stop_gradient, variables)
    return as_tensor(variables).detach()


@symbolic
def print_tensor(x: Any, message: str = "", summarize: int = 3) -> Any:
    """Print a message and the value of a tensor, and return the tensor.

    Args:
        x: the tensor; a symbolic one is printed in each later call on tensors.
        message: what stands before it.
        summarize: how many elements to print at the ends of a long axis; -1 prints all.

    >>> print_tensor(torch.ones(2), "ones are")
    ones are [1. 1.]
    tensor([1., 1.])
    """
    if not CONTEXT.in_shape_inference:
        edge = sys.maxsize // 2 if summarize < 0 else summarize
        print(message, np.array2string(get_value(x), threshold=2 * edge, edgeitems=edge))
    return x
