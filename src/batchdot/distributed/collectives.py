"""The ways in and out of a DTensor, and sums over ranks: pairs of adjoints, so that derivatives close.

`enter` is the adjoint of `leave`, and `_Sum` that of `_Spread`: each backward is the other's forward, and
can be differentiated again. (That of torch's own ``from_local`` cannot where it redistributes.)
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate

from batchdot.distributed.layout import is_shard

Placements: TypeAlias = Sequence[Placement]


def enter(x: DTensor, placements: Placements, gradient: Placements) -> Tensor:
    """Return the local tensor of a DTensor brought to ``placements``.

    ``gradient`` says how what the ranks compute for its gradient makes up the whole one.
    """
    return _Enter.apply(_move(x, placements), gradient)  # type: ignore[no-any-return,no-untyped-call]


def leave(
    local: Tensor, mesh: DeviceMesh, placements: Placements, gradient: Placements, shape: Any
) -> DTensor:
    """Return the DTensor of a shape that local tensors make up; its gradient comes in as ``gradient``."""
    return _Leave.apply(local, mesh, placements, gradient, shape)  # type: ignore[no-any-return,no-untyped-call]


def sum_over(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
    """Return the sum of the ranks' tensors over mesh dimensions: one all-reduce each.

    What follows is the same on every rank, so that the gradient is too, and takes no communication.
    """
    return _Sum.apply(tensor, mesh, dims)  # type: ignore[no-any-return,no-untyped-call]


def largest_over(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
    """Return the largest of the ranks' numbers over mesh dimensions, a constant to autograd."""
    return _all_reduce(tensor, mesh, dims, "max")


class _Enter(Function):
    @staticmethod
    def forward(ctx: Any, x: DTensor, gradient: Placements) -> Tensor:
        ctx.x = x.device_mesh, gradient, x.placements, x.shape
        local = x.to_local()
        return local.view_as(local)  # autograd marks what is returned, which x is to keep as it is

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[DTensor, None]:
        return leave(grad, *ctx.x), None


class _Leave(Function):
    @staticmethod
    def forward(
        ctx: Any, local: Tensor, mesh: DeviceMesh, placements: Placements, gradient: Placements, shape: Any
    ) -> DTensor:
        ctx.placements, ctx.gradient = placements, gradient
        return DTensor.from_local(
            local.detach().contiguous(),
            mesh,
            placements,
            run_check=False,
            shape=torch.Size(shape),
            stride=torch.empty(shape, device="meta").stride(),
        )

    @staticmethod
    def backward(ctx: Any, grad: DTensor) -> tuple[Any, ...]:
        return enter(grad, ctx.gradient, ctx.placements), None, None, None, None


class _Move(Function):
    """Redistribution, whose gradient goes back as far as the placement of the tensor asks for.

    torch's own gathers the gradient of what was replicated; here it stays on the rank that has it.
    """

    @staticmethod
    def forward(ctx: Any, x: DTensor, placements: Placements) -> DTensor:
        ctx.placements = x.placements
        moved: DTensor = x.detach().redistribute(placements=placements)  # type: ignore[attr-defined]
        return moved

    @staticmethod
    def backward(ctx: Any, grad: DTensor) -> tuple[DTensor, None]:
        pairs = zip(ctx.placements, grad.placements, strict=True)
        return _move(grad, [own if is_shard(own) else got for own, got in pairs]), None


def _move(x: DTensor, placements: Placements) -> DTensor:
    if tuple(placements) == tuple(x.placements):
        return x
    return _Move.apply(x, placements)  # type: ignore[no-any-return,no-untyped-call]


class _Sum(Function):
    """From each rank's own number to one that all have."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
        ctx.where = mesh, dims
        return _all_reduce(tensor, mesh, dims, "sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Spread.apply(grad, *ctx.where), None, None  # type: ignore[no-untyped-call]


class _Spread(Function):
    """From a number that all ranks have to one that each uses for itself."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
        ctx.where = mesh, dims
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return sum_over(grad, *ctx.where), None, None


def _all_reduce(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int], operation: str) -> Tensor:
    # Along the other mesh dimensions tensors differ: called replicated, they are left alone.
    placements = [Partial(operation) if dim in dims else Replicate() for dim in range(mesh.ndim)]
    return DTensor.from_local(tensor.detach(), mesh, placements, run_check=False).full_tensor()
