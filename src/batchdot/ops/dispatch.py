"""Run an operation: by the latest call's guard, a cached plan, or the first handler that claims the inputs.

Most calls repeat the latest one with new values: its guard accepts them, and the same function runs. Other
calls look up their plan by signature. Without a cached plan, the first of the `HANDLERS` that claims the
inputs runs. This file has the last two handlers: sparse matrices in `dot`, and dense tensors.
"""

from typing import Any

import torch
from torch import Tensor

from batchdot._torch import in_forward_mode
from batchdot.kernels import select_kernel
from batchdot.ops.handlers import HANDLERS, Handler, register
from batchdot.ops.operation import Operation, convert_operands
from batchdot.ops.sparse import sparse_dot


def run(operation: Operation, x: Any, y: Any) -> Any:
    """Run an operation on two tensors, or on values that a handler or `as_tensor` accepts."""
    plans = operation.plans
    guard, fast, options = plans.last_call
    try:
        # Guards read strides; reading those of a nested tensor ends the process.
        nested = x.is_nested or y.is_nested
    except AttributeError:
        nested = True  # not tensors: no guard accepts them
    if not nested and guard(x, y) and not in_forward_mode(x, y):
        return fast(x, y, *options)
    executable = plans.find(x, y)
    return run_uncached(operation, x, y) if executable is None else executable.run(x, y)


def run_uncached(operation: Operation, x: object, y: object) -> Any:
    """Run an operation by the first handler that claims its inputs."""
    for handler in HANDLERS:
        if handler.claims(operation, x, y):
            return handler.run(operation, x, y)
    raise AssertionError("the dense handler claims everything")


def run_traced(operation: Operation, x: object, y: object) -> Any:
    """Run an operation while Dynamo traces it: sparse or dense, without the plan cache.

    With the cache's keys, which hold sizes, Dynamo would build a graph for each batch size.
    """
    if _claims_sparse(operation, x, y):
        return _run_sparse(operation, x, y)
    x, y = convert_operands(x, y)
    return select_kernel(operation.lower(x, y)).run(x, y)


def _claims_sparse(operation: Operation, x: object, y: object) -> bool:
    return operation.function == "dot" and isinstance(x, Tensor) and x.layout != torch.strided


def _run_sparse(operation: Operation, x: object, y: object) -> Tensor:
    return sparse_dot(*convert_operands(x, y))


def _claims_dense(operation: Operation, x: object, y: object) -> bool:
    return True


def _run_dense(operation: Operation, x: object, y: object) -> Tensor:
    """Convert the operands, make their plan, cache it and run it."""
    x, y = convert_operands(x, y)
    executable = select_kernel(operation.lower(x, y))
    operation.plans.add(executable, x, y)
    return executable.run(x, y)


register(Handler("sparse", _claims_sparse, _run_sparse), last=True)
register(Handler("dense", _claims_dense, _run_dense), last=True)
