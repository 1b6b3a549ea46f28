"""Top-k search over DTensors: each process searches its shard, and one all-gather merges the results."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, Replicate, Shard

from batchdot.retrieval.block_search import BlockSearch, merge
from batchdot.retrieval.search import TopK, top_k_local
from batchdot.retrieval.spec import SearchSpec, check_shapes

PADDING = torch.iinfo(torch.int64).max
"""The index that pads the results of a process with fewer than k items."""


def top_k_sharded(queries: Tensor, items: Tensor, k: Any, normalize: bool, epsilon: float) -> TopK:
    """Find the k items with the largest scores, where items, queries or both are DTensors.

    Args:
        queries: a tensor, the same in every process, or a DTensor.
        items: likewise. Each may be sharded over its rows and over one axis of the mesh.
        k: as in `top_k`.
        normalize: as in `top_k`.
        epsilon: as in `top_k`.

    Returns:
        As `top_k`: DTensors placed as the queries if those are a DTensor, else tensors, the same in every
        process. They have no gradient.

    Raises:
        ValueError: as `top_k`; or another axis is sharded, or the two are on different meshes.
    """
    single = queries.ndim == 1
    mesh = next(t.device_mesh for t in (items, queries) if isinstance(t, DTensor))
    for name, tensor in (("queries", queries), ("items", items)):
        if isinstance(tensor, DTensor):
            _check_placements(name, tensor, mesh)
    check_shapes(tuple(queries.shape), tuple(items.shape), k, single)
    with torch.no_grad():
        axis = _sharded_axis(items)
        split = isinstance(queries, DTensor) and _sharded_axis(queries) is not None
        if axis is None:
            mine = queries.to_local() if isinstance(queries, DTensor) else queries
            found = top_k_local(mine, _whole(items), k, normalize, epsilon)
        else:
            assert isinstance(items, DTensor)
            every = _whole(queries)
            found = _search(every.unsqueeze(0) if single else every, items, axis, k, normalize, epsilon)
            found = TopK(*(t.squeeze(0) for t in found)) if single else found
        if not isinstance(queries, DTensor):
            return found
        if axis is None and split:
            shape = torch.Size((queries.shape[0], found.scores.shape[1]))
            return TopK(*(_from_shards(t, queries, shape) for t in found))
        whole = [DTensor.from_local(t, mesh, [Replicate()] * mesh.ndim, run_check=False) for t in found]
        return TopK(*(t.redistribute(placements=queries.placements) for t in whole))


def _search(queries: Tensor, items: DTensor, axis: int, k: int, normalize: bool, epsilon: float) -> TopK:
    """Search the shard of this process and merge all results: one all-gather of (2, Q, k)."""
    mesh = items.device_mesh
    local = items.to_local()
    # Shard splits as torch.chunk: all shards have ceil(N / ranks) rows, the last ones fewer or none.
    offset = mesh.get_local_rank(axis) * -(-len(items) // mesh.size(axis))
    spec = SearchSpec.of(k, queries, items, normalize, epsilon)
    scores, indices = BlockSearch(spec, queries.detach()).find(local.detach())
    few = scores.shape[1]
    message = indices.new_full((2, len(queries), spec.k), PADDING)
    message[0] = _as_bits(_lowest(spec.score_dtype, local.device))
    message[0, :, :few], message[1, :, :few] = _as_bits(scores), indices + offset
    gathered = [torch.empty_like(message) for _ in range(mesh.size(axis))]
    if message.numel():
        distributed.all_gather(gathered, message, group=mesh.get_group(axis))
    bits, places = torch.cat(gathered, 2)
    scores, places = merge([_from_bits(bits, spec.score_dtype)], [places], spec.k)
    return TopK(scores.to(spec.dtype), places)


def _lowest(dtype: torch.dtype, device: torch.device) -> Tensor:
    lowest = -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min
    return torch.tensor(lowest, dtype=dtype, device=device)


def _as_bits(scores: Tensor) -> Tensor:
    """Return scores as int64, to share a collective with the indices; float64 holds all floats."""
    return scores.double().view(torch.int64) if scores.is_floating_point() else scores


def _from_bits(bits: Tensor, dtype: torch.dtype) -> Tensor:
    return bits.contiguous().view(torch.float64).to(dtype) if dtype.is_floating_point else bits


def _check_placements(name: str, tensor: DTensor, mesh: Any) -> None:
    if tensor.device_mesh != mesh:
        raise ValueError("top_k takes DTensors on one mesh, and queries and items are on two.")
    sharded = [p for p in tensor.placements if not p.is_replicate()]
    if (
        len(sharded) > 1
        or any(type(p) is not Shard or p.dim != 0 for p in sharded)
        or (sharded and tensor.ndim == 1)
    ):
        raise ValueError(
            f"top_k takes {name} that are sharded over their rows and over one axis of the mesh, "
            f"Shard(0), or replicated. Received: {tuple(tensor.placements)}."
        )


def _sharded_axis(tensor: Tensor) -> int | None:
    """Return the axis of the mesh over which a tensor is sharded."""
    if not isinstance(tensor, DTensor):
        return None
    return next((axis for axis, p in enumerate(tensor.placements) if not p.is_replicate()), None)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _from_shards(local: Tensor, like: DTensor, shape: torch.Size) -> DTensor:
    return DTensor.from_local(
        local, like.device_mesh, like.placements, run_check=False, shape=shape, stride=(shape[1], 1)
    )
