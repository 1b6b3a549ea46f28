"""Dispatch: run an operation on whatever it is called on.

Most calls repeat the latest one on new numbers: a guard recognizes them, and they run at once. Others look
their plan up by signature. What has no plan yet goes to the first of the `HANDLERS` that claims it. Those of
this file are the last two: sparse matrices in `dot`, and dense tensors.
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
    """Run an operation on two tensors, or on what a handler or `as_tensor` takes for one."""
    plans = operation.plans
    guard, fast, options = plans.last_call
    try:
        nested = (
            x.is_nested or y.is_nested
        )  # guards read strides, which a nested tensor must not be asked for
    except AttributeError:
        nested = True  # no tensors
    if not nested and guard(x, y) and not in_forward_mode(x, y):
        return fast(x, y, *options)
    executable = plans.find(x, y)
    return run_uncached(operation, x, y) if executable is None else executable.run(x, y)


def run_uncached(operation: Operation, x: Any, y: Any) -> Any:
    """Run an operation by the first handler that claims its inputs."""
    for handler in HANDLERS:
        if handler.claims(operation, x, y):
            return handler.run(operation, x, y)
    raise AssertionError("the dense handler claims everything")


def run_traced(operation: Operation, x: Any, y: Any) -> Any:
    """Run an operation while Dynamo traces through it: sparse or dense, without the plan cache.

    The cache's keys would make Dynamo build a graph for each batch size.
    """
    if _claims_sparse(operation, x, y):
        return _run_sparse(operation, x, y)
    x, y = convert_operands(x, y)
    return select_kernel(operation.lower(x, y)).run(x, y)


def _claims_sparse(operation: Operation, x: Any, y: Any) -> bool:
    return operation.function == "dot" and isinstance(x, Tensor) and x.layout != torch.strided


def _run_sparse(operation: Operation, x: Any, y: Any) -> Tensor:
    return sparse_dot(*convert_operands(x, y))


def _claims_dense(operation: Operation, x: Any, y: Any) -> bool:
    return True


def _run_dense(operation: Operation, x: Any, y: Any) -> Tensor:
    """Convert, check, plan, keep the plan, and run it."""
    x, y = convert_operands(x, y)
    executable = select_kernel(operation.lower(x, y))
    operation.plans.add(executable, x, y)
    return executable.run(x, y)


register(Handler("sparse", _claims_sparse, _run_sparse), last=True)
register(Handler("dense", _claims_dense, _run_dense), last=True)
