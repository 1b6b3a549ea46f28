"""Conversions between DTensors and local tensors, and all-reduces, with derivatives of every order.

They come in pairs of adjoints: `to_local` and `from_local`, `_AllReduceSum` and `_Broadcast`. The backward of
each is the forward of the other, and so can be differentiated again. (The backward of torch's own
``from_local`` cannot, where it redistributes.)
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


def to_local(x: DTensor, placements: Placements, gradient: Placements) -> Tensor:
    """Return the local tensor of a DTensor redistributed to ``placements``.

    ``gradient`` is the placement of the local gradients.
    """
    return _ToLocal.apply(_redistribute(x, placements), gradient)  # type: ignore[no-any-return,no-untyped-call]


def from_local(
    local: Tensor, mesh: DeviceMesh, placements: Placements, gradient: Placements, shape: Any
) -> DTensor:
    """Return the DTensor of this shape whose shards are the local tensors.

    ``gradient`` is the placement that its gradient is redistributed to.
    """
    return _FromLocal.apply(local, mesh, placements, gradient, shape)  # type: ignore[no-any-return,no-untyped-call]


def all_reduce_sum(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
    """Return the sum of the ranks' tensors over mesh dimensions, by one all-reduce for each.

    The result is the same on every rank, and so is its gradient: the backward does not communicate.
    """
    return _AllReduceSum.apply(tensor, mesh, dims)  # type: ignore[no-any-return,no-untyped-call]


def all_reduce_max(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
    """Return the elementwise maximum over mesh dimensions; a constant to autograd."""
    return _all_reduce(tensor, mesh, dims, "max")


class _ToLocal(Function):
    @staticmethod
    def forward(ctx: Any, x: DTensor, gradient: Placements) -> Tensor:
        ctx.x = x.device_mesh, gradient, x.placements, x.shape
        local = x.to_local()
        return local.view_as(local)  # a new tensor: autograd sets attributes of the returned one

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[DTensor, None]:
        return from_local(grad, *ctx.x), None


class _FromLocal(Function):
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
        return to_local(grad, ctx.gradient, ctx.placements), None, None, None, None


class _Redistribute(Function):
    """Redistribution, whose backward restores shards and leaves other gradients where they are.

    torch's own gathers the gradient of a replicated tensor.
    """

    @staticmethod
    def forward(ctx: Any, x: DTensor, placements: Placements) -> DTensor:
        ctx.placements = x.placements
        redistributed: DTensor = x.detach().redistribute(placements=placements)  # type: ignore[attr-defined]
        return redistributed

    @staticmethod
    def backward(ctx: Any, grad: DTensor) -> tuple[DTensor, None]:
        pairs = zip(ctx.placements, grad.placements, strict=True)
        return _redistribute(grad, [own if is_shard(own) else got for own, got in pairs]), None


def _redistribute(x: DTensor, placements: Placements) -> DTensor:
    if tuple(placements) == tuple(x.placements):
        return x
    return _Redistribute.apply(x, placements)  # type: ignore[no-any-return,no-untyped-call]


class _AllReduceSum(Function):
    """From a tensor of each rank to their sum, the same on all ranks."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
        ctx.where = mesh, dims
        return _all_reduce(tensor, mesh, dims, "sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Broadcast.apply(grad, *ctx.where), None, None  # type: ignore[no-untyped-call]


class _Broadcast(Function):
    """From a tensor that is the same on all ranks to one that each rank uses by itself."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int]) -> Tensor:
        ctx.where = mesh, dims
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return all_reduce_sum(grad, *ctx.where), None, None


def _all_reduce(tensor: Tensor, mesh: DeviceMesh, dims: Sequence[int], operation: str) -> Tensor:
    # Along the other mesh dimensions the tensors differ; declared as replicated, they are not communicated.
    placements = [Partial(operation) if dim in dims else Replicate() for dim in range(mesh.ndim)]
    return DTensor.from_local(tensor.detach(), mesh, placements, run_check=False).full_tensor()
