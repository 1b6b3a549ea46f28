"""What torch.compile sees of a call: one operator, as it was called.

Dynamo would look through the whole pipeline and guard on all that it read there, which takes longer at
each call than a small product. An operator it puts into its graph as it is. What compiles the graph then
runs the function itself, on tensors of symbolic sizes, and sees PyTorch's operators (the kernel is
CompositeImplicitAutograd), so that derivatives, torch.func and autocast need no rules of their own; of
cosines on the CPU it sees those of the native kernel, for which it knows nothing quicker.

Every name that is read here is a guard, asked for again at each compiled call, 60 ns each. Imported when
Dynamo first traces a call, and not before.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from batchdot.kernels import AVAILABLE
from batchdot.ops import functional
from batchdot.ops.functional import is_constant
from batchdot.ops.operation import Operation
from batchdot.ops.plan_cache import are_plain
from batchdot.symbolic.functions import FUNCTIONS

# torch keeps what it compiled in files, by the names of operators: ours say which sources they stand for,
# and which kernels.
_SOURCES = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
_KERNELS = [kernel.name.encode() for kernel in AVAILABLE]
_OVERLOAD = "of_" + sha256(b"".join([*_SOURCES, *_KERNELS])).hexdigest()[:16]

# A program that is exported goes where there is no batchdot.
_is_exporting = torch.compiler.is_exporting


def trace_batch_dot(x: Any, y: Any, axes: Any, batch_dims: Any, normalize: Any, epsilon: Any) -> Tensor:
    """Run `functional.batch_dot` while torch.compile looks on."""
    if (
        x.__class__ is Tensor  # are_plain is a name more
        and y.__class__ is Tensor
        and batch_dims.__class__ is int
        and is_constant((axes, batch_dims))
        and isinstance(epsilon, float)  # it may be a symbol
        and not _is_exporting()
    ):
        return _BATCH_DOT(x, y, axes, batch_dims, bool(normalize), epsilon)
    operation = functional.batch_dot_operation(
        axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon
    )
    return trace_operation(operation, x, y)


def trace_operation(operation: Operation, x: Any, y: Any) -> Tensor:
    """Run an operation while torch.compile looks on: as an operator, or in full what is none."""
    if are_plain((x, y)) and not _is_exporting():
        if operation.text:
            return _OPERATION(x, y, operation.text)
        options = operation.options
        if options and is_constant((options["axes"], options["batch_dims"])):  # made by what is compiled
            return _BATCH_DOT(
                x, y, options["axes"], options["batch_dims"], options["normalize"], options["epsilon"]
            )
    return operation.trace(x, y)


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
    # Under vmap too: torch would call it for each sample. Disabled, or Dynamo would trace it where an error
    # has broken the graph.
    for key in ("CompositeImplicitAutograd", "FuncTorchBatchedDecomposition"):
        torch.library.impl(full_name, key, torch.compiler.disable(run))  # type: ignore[no-untyped-call]
    operator: Callable[..., Tensor] = getattr(getattr(torch.ops.batchdot, name), _OVERLOAD)
    return operator


def _run_operation(x: Tensor, y: Tensor, text: str) -> Tensor:
    function, options = json.loads(text)
    result: Tensor = FUNCTIONS[function](x, y, **options)
    return result


_BATCH_DOT = _operator(
    "batch_dot",
    "Tensor x, Tensor y, Any axes, int batch_dims, bool normalize, float epsilon",
    lambda x, y, axes, batch_dims, normalize, epsilon: functional.batch_dot(
        x, y, axes, batch_dims=batch_dims, normalize=normalize, epsilon=epsilon
    ),
)
_OPERATION = _operator("operation", "Tensor x, Tensor y, str text", _run_operation)
