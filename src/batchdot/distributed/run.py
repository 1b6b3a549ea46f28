"""Run an operation on DTensors: redistribute them by a `ShardingPlan`, then run it on the local shards."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Replicate

from batchdot.convert import check_operands
from batchdot.distributed.collectives import all_reduce_sum, from_local, to_local
from batchdot.distributed.consistency import check_call
from batchdot.distributed.cosine import cosine_of_shards
from batchdot.distributed.layout import plan_sharding
from batchdot.ops.operation import Operation
from batchdot.planning.lowering import ACCUMULATION_DTYPE, result_dtype


def run_sharded(
    operation: Operation, x: Any, y: Any, run: Callable[[Operation, Tensor, Tensor], Tensor]
) -> DTensor:
    """Run an operation on two DTensors of one mesh; the result is a DTensor.

    Args:
        operation: what to compute.
        x: the first DTensor.
        y: the second.
        run: runs an operation on two local shards.

    Raises:
        TypeError: one of them is not a DTensor; or as `check_operands` and `plan_sharding`.
        ValueError: they are on two meshes; or as the operation.
    """
    check_call(operation, x, y)
    x, y = _check_pair(operation.function, x, y)
    check_operands(x, y, operation.function)
    contraction = operation.contract(tuple(x.shape), tuple(y.shape))
    mesh, normalize = x.device_mesh, operation.epsilon is not None
    dtype = result_dtype(x.dtype, y.dtype, normalize)
    plan = plan_sharding(
        contraction,
        x.placements,
        y.placements,
        tuple(mesh.shape),
        x_dtype=x.dtype,
        y_dtype=y.dtype,
        normalize=normalize,
    )
    x_local, y_local = to_local(x, plan.x, plan.x_grad), to_local(y, plan.y, plan.y_grad)
    if not plan.summed:
        local = run(operation, x_local, y_local)
    elif normalize:
        local = cosine_of_shards(operation, contraction, x_local, y_local, dtype, mesh, plan.summed, run)
    else:
        compute = ACCUMULATION_DTYPE[dtype]  # rounded to the dtype after the sum over the ranks
        local = run(operation, x_local.to(compute), y_local.to(compute))
        local = all_reduce_sum(local, mesh, plan.summed).to(dtype)
    gradient = tuple(Replicate() if isinstance(p, Partial) else p for p in plan.out)
    return from_local(local, mesh, plan.out, gradient, contraction.output_shape)


def _check_pair(function: str, x: Any, y: Any) -> tuple[DTensor, DTensor]:
    for name, other, value in (("x", "y", x), ("y", "x", y)):
        if not isinstance(value, DTensor):
            raise TypeError(
                f"{name} is not a DTensor. Pass two DTensors or none; place {name} on the mesh of {other} by "
                f"DTensor.from_local({name}, {other}.device_mesh, placements)."
            )
    if x.device_mesh != y.device_mesh:
        raise ValueError(
            f"{function} takes DTensors of one mesh, and x is on {x.device_mesh}, y on {y.device_mesh}."
        )
    return x, y
