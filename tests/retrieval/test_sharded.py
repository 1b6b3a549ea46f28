"""top_k over items that two processes hold: the result of one process, and one all-gather of (Q, k)."""

import os
import socket

import pytest
import torch
import torch.multiprocessing as mp

from batchdot import top_k

if not torch.distributed.is_available():
    pytest.skip("this PyTorch is built without torch.distributed", allow_module_level=True)

ITEMS = {
    "even": torch.randn(40, 6, generator=torch.Generator().manual_seed(1)),
    "uneven": torch.randn(41, 6, generator=torch.Generator().manual_seed(2)),
    "ties": torch.randint(-1, 2, (33, 6), generator=torch.Generator().manual_seed(3)).float(),
    "one side is empty": torch.randn(1, 6, generator=torch.Generator().manual_seed(4)),
    "infinities": torch.full((9, 6), -float("inf")),
    "nans": torch.tensor([[1.0], [float("nan")], [3.0], [2.0], [float("nan")]]).expand(5, 6).contiguous(),
    "integers": torch.randint(-100, 100, (30, 6), generator=torch.Generator().manual_seed(5)).to(torch.int8),
    "bfloat16": torch.randn(30, 6, generator=torch.Generator().manual_seed(6)).bfloat16(),
    "float64": torch.randn(30, 6, generator=torch.Generator().manual_seed(7)).double(),
}


def compare(rank, port):
    """What each process runs: every case beside the same call on plain tensors."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    _compare(rank)
    torch.distributed.barrier()  # or one would leave while the other still needs it
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads sometimes abort a process while the interpreter shuts down


def _compare(rank):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
    from torch.distributed.tensor.debug import CommDebugMode

    mesh = init_device_mesh("cpu", (2,))
    for name, items in ITEMS.items():
        queries = torch.ones(7, 6, dtype=items.dtype) if name in ("infinities", "nans") else items[:7].clone()
        sharded = distribute_tensor(items, mesh, [Shard(0)])
        for k in sorted({0, 1, min(3, len(items)), len(items)}):
            for normalize in (False, True):
                expected = top_k(queries, items, k, normalize)
                with CommDebugMode() as communication:
                    found = top_k(queries, sharded, k, normalize)
                counts = {str(kind): n for kind, n in communication.get_comm_counts().items()}
                assert counts == ({"c10d.allgather_": 1} if k else {}), (name, counts)
                same(found, expected, (name, k, normalize))
        whole = top_k(queries, items, 1)
        same(top_k(queries[0], sharded, 1), top_k(queries[0], items, 1), name)
        # Queries that are DTensors: the result is placed as they are.
        for placement in (Replicate(), Shard(0)):
            placed = distribute_tensor(queries, mesh, [placement])
            for others in (sharded, items, distribute_tensor(items, mesh, [Replicate()])):
                found = top_k(placed, others, 1)
                assert all(isinstance(t, DTensor) and t.placements == (placement,) for t in found)
                same([t.full_tensor() for t in found], whole, (name, placement))
    same(
        top_k(queries, distribute_tensor(items, mesh, [Replicate()]), 2),
        top_k(queries, items, 2),
        "replicated",
    )
    with pytest.raises(ValueError, match=r"sharded over their rows and over one axis of the mesh"):
        top_k(queries, distribute_tensor(items, mesh, [Shard(1)]), 1)
    with pytest.raises(ValueError, match="k should be from 0 to the number of items, 30"):
        top_k(queries, sharded, 31)
    with pytest.raises(ValueError, match=r"to the number of items, 30\. Received: queries\.shape=\(6,\)"):
        top_k(queries[0], sharded, 31)


def same(found, expected, what):
    torch.testing.assert_close(
        tuple(found), tuple(expected), rtol=0, atol=0, equal_nan=True, msg=lambda text: f"{what}: {text}"
    )


@pytest.mark.slow
def test_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(compare, (port,), nprocs=2)
