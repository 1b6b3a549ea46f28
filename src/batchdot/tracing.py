"""What torch.compile sees of a call: one operator, as it was called.

Dynamo would look through the whole pipeline and guard on all that it read there, which takes longer at
each call than a small product. An operator it puts into its graph as it is. What compiles the graph then
runs the function itself, on tensors of symbolic sizes, and sees PyTorch's operators (the kernel is
CompositeImplicitAutograd), so that derivatives, torch.func and autocast need no rules of their own.

Imported when Dynamo first traces a call, and not before.
"""

from collections.abc import Callable
from hashlib import sha256
from operator import index
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from batchdot import functional

# torch keeps what it compiled in files, by the names of operators: ours say which sources they stand for.
_SOURCES = sorted(Path(__file__).parent.rglob("*.py"))
_OVERLOAD = "of_" + sha256(b"".join([path.read_bytes() for path in _SOURCES])).hexdigest()[:16]


def _operator(name: str, parameters: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function as an operator, whose arguments are all given by position."""

    def run(*arguments: Any) -> Tensor:
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            if torch._guards.active_fake_mode() is None:
                raise
            # Of no other error does Dynamo make a break in the graph, after which the call raises its own.
            raise NotImplementedError(str(error)) from error

    full_name = f"batchdot::{name}.{_OVERLOAD}"
    torch.library.define(full_name, f"({parameters}) -> Tensor")
    # Disabled, or Dynamo would trace it where an error has broken the graph.
    torch.library.impl(full_name, "CompositeImplicitAutograd", torch.compiler.disable(run))  # type: ignore[no-untyped-call]
    operator: Callable[..., Tensor] = getattr(getattr(torch.ops.batchdot, name), _OVERLOAD)
    return operator


_BATCH_DOT = _operator(
    "batch_dot",
    "Tensor x, Tensor y, Any axes, int batch_dims, bool normalize, float epsilon",
    lambda x, y, axes, batch_dims, normalize, epsilon: functional.batch_dot(
        x, y, axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon
    ),
)
_DOT = _operator("dot", "Tensor x, Tensor y", functional.dot)


def call_operator(function: str, x: Tensor, y: Tensor, options: dict[str, Any]) -> Tensor | None:
    """Call a function as an operator, or return None where an integer is none of 64 bits.

    Args:
        function: `batch_dot` or `dot`.
        x: tensor of no subclass.
        y: likewise.
        options: the other arguments, as they were read.
    """
    if function == "dot":
        return _DOT(x, y)
    try:
        axes, batch_dims = _known(options["axes"]), _known(options["batch_dims"])
    except OverflowError:
        return None
    return _BATCH_DOT(x, y, axes, batch_dims, options["normalize"], options["epsilon"])


def _known(axes: Any) -> Any:
    """Return axes with integers for what torch.compile may hold as symbols."""
    if axes is None:
        return None
    if isinstance(axes, tuple):
        return tuple([_known(axis) for axis in axes])
    axis = index(axes)
    if not -(2**63) <= axis < 2**63:
        raise OverflowError
    return axis
