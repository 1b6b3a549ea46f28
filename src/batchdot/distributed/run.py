"""Execution: bring two DTensors where their `Layout` says, and run the operation on the local shards."""

from typing import Any

from torch.distributed.tensor import DTensor, Partial, Replicate

from batchdot.convert import check_operands
from batchdot.distributed.collectives import enter, leave, sum_over
from batchdot.distributed.consistency import check_call
from batchdot.distributed.cosine import cosine_of_shards
from batchdot.distributed.layout import lay_out
from batchdot.ops.operation import Operation
from batchdot.planning.lowering import ACCUMULATION_DTYPE, result_dtype


def run_sharded(operation: Operation, x: Any, y: Any) -> DTensor:
    """Run an operation on two DTensors of one mesh; the result is a DTensor.

    Raises:
        TypeError: one of them is not a DTensor, and what `check_operands` refuses.
        ValueError: two meshes, or what the operation refuses.
    """
    check_call(operation, x, y)
    x, y = _read(operation.function, x, y)
    check_operands(x, y, operation.function)
    contraction = operation.contract(tuple(x.shape), tuple(y.shape))
    mesh, normalize = x.device_mesh, operation.epsilon is not None
    dtype = result_dtype(x.dtype, y.dtype, normalize)
    layout = lay_out(
        contraction,
        x.placements,
        y.placements,
        tuple(mesh.shape),
        x_dtype=x.dtype,
        y_dtype=y.dtype,
        normalize=normalize,
    )
    x_local, y_local = enter(x, layout.x, layout.x_grad), enter(y, layout.y, layout.y_grad)
    if not layout.summed:
        local = operation(x_local, y_local)
    elif normalize:
        local = cosine_of_shards(operation, contraction, x_local, y_local, dtype, mesh, layout.summed)
    else:
        compute = ACCUMULATION_DTYPE[dtype]  # products and their sum over the ranks are rounded once
        local = operation(x_local.to(compute), y_local.to(compute))
        local = sum_over(local, mesh, layout.summed).to(dtype)
    gradient = tuple(Replicate() if isinstance(p, Partial) else p for p in layout.out)
    return leave(local, mesh, layout.out, gradient, contraction.output_shape)


def _read(function: str, x: Any, y: Any) -> tuple[DTensor, DTensor]:
    for name, other, value in (("x", "y", x), ("y", "x", y)):
        if not isinstance(value, DTensor):
            raise TypeError(
                f"{function} takes two DTensors or none, and {name} is none. Say how it lies on the mesh of "
                f"{other}: DTensor.from_local({name}, {other}.device_mesh, placements)."
            )
    if x.device_mesh != y.device_mesh:
        raise ValueError(
            f"{function} takes DTensors of one mesh, and x is on {x.device_mesh}, y on {y.device_mesh}."
        )
    return x, y
