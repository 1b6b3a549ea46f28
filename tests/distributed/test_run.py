"""DTensors: decisions as a table, then the calls of sharding_ranks.py by 2 and by 4 processes."""

import importlib
import json
import os
import subprocess
import sys

import pytest
import torch
from tests.support import sharding_ranks
from tests.support.processes import run_side_by_side
from torch.distributed.tensor import Partial, Placement, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from batchdot import distributed
from batchdot.distributed import ShardingPlan, check_agreement, plan_sharding
from batchdot.planning.contraction import Contraction

ROWS = Contraction.batch_dot((8, 100), (8, 100), 1)
MATRICES = Contraction.batch_dot((8, 6, 20), (8, 5, 20), 2)  # x is the larger
LONG = Contraction.batch_dot((8, 6, 20), (8, 5000, 20), 2)  # y is much the larger
TWO = Contraction.batch_dot((8, 6, 20), (8, 20, 6), ((1, 2), (2, 1)))
SHARED = Contraction.batch_dot((8, 6, 20), (8, 6, 20), 2, 2)
FEW = Contraction.batch_dot((2, 6, 20), (2, 5, 20), 2)  # fewer samples than ranks

S0, S1, S2, S3 = map(Shard, range(4))
R, P, AVG, MAX = Replicate(), Partial(), Partial("avg"), Partial("max")

# contraction, placements of x and y, whether cosines, then: rules, what x and y are brought to, what comes
# out, what each rank computes of the two gradients, bytes received. All on 4 ranks, float32.
DECISIONS = [
    # Both sides fit: nothing is moved.
    (ROWS, R, R, False, "R", R, R, R, R, R, 0),
    (ROWS, S0, S0, False, "B", S0, S0, S0, S0, S0, 0),
    (ROWS, S1, S1, False, "K", S1, S1, P, S1, S1, 0),
    (ROWS, S1, S1, True, "K", S1, S1, R, S1, S1, 0),
    (MATRICES, S0, S0, True, "B", S0, S0, S0, S0, S0, 0),
    (MATRICES, S1, R, False, "I", S1, R, S1, S1, P, 0),
    (MATRICES, R, S1, False, "J", R, S1, S2, P, S1, 0),
    (MATRICES, S2, S2, False, "K", S2, S2, P, S2, S2, 0),
    (TWO, S1, S2, False, "K", S1, S2, P, S1, S2, 0),
    (TWO, S2, S1, False, "K", S2, S1, P, S2, S1, 0),
    (SHARED, S1, S1, False, "B", S1, S1, S1, S1, S1, 0),
    (FEW, S0, S0, False, "B", S0, S0, S0, S0, S0, 0),
    # One side is replicated: it is cut where it lies.
    (ROWS, S0, R, False, "B", S0, S0, S0, S0, S0, 0),
    (ROWS, R, S0, True, "B", S0, S0, S0, S0, S0, 0),
    (ROWS, R, S1, False, "K", S1, S1, P, S1, S1, 0),
    (MATRICES, S2, R, False, "K", S2, S2, P, S2, S2, 0),
    (TWO, S1, R, False, "K", S1, S2, P, S1, S2, 0),
    # They do not fit: the smaller moves, and each rank receives a sixteenth of it rather than the rest.
    (ROWS, S0, S1, False, "B", S0, S0, S0, S0, S0, 3200 * 3 // 16),
    (MATRICES, S0, S2, False, "B", S0, S0, S0, S0, S0, 3200 * 3 // 16),
    (MATRICES, S0, S1, False, "B", S0, S0, S0, S0, S0, 3200 * 3 // 16),
    (MATRICES, S1, S0, False, "B", S0, S0, S0, S0, S0, 3840 * 3 // 16),
    (MATRICES, S1, S2, False, "B", S0, S0, S0, S0, S0, (3840 + 3200) * 3 // 16),
    (LONG, S1, S1, False, "J", R, S1, S2, P, S1, 3840 * 3 // 4),
    (LONG, S2, S1, False, "J", R, S1, S2, P, S1, 3840 * 3 // 4),
    (TWO, S1, S1, False, "K", S1, S2, P, S1, S2, 3840 * 3 // 16),
    (SHARED, S0, S1, False, "B", S0, S0, S0, S0, S0, 3840 * 3 // 16),
    # Too few samples to shard by them.
    (FEW, S1, S1, False, "I", S1, R, S1, S1, P, 800 * 3 // 4),
    # A sum that is pending is scattered, and not gathered, where that serves.
    (ROWS, P, S0, False, "B", S0, S0, S0, S0, S0, 3200 * 3 // 4),
    (ROWS, P, S1, True, "K", S1, S1, R, S1, S1, 3200 * 3 // 4),
    (MATRICES, P, R, False, "I", S1, R, S1, S1, P, 3840 * 3 // 4),
    (MATRICES, AVG, S1, False, "B", S0, S0, S0, S0, S0, 3840 * 3 // 4 + 3200 * 3 // 16),
    (MATRICES, MAX, MAX, True, "B", S0, S0, S0, S0, S0, (3840 + 3200) * 3 // 4),
    # The order of FSDP2 over tensor parallelism is kept.
    (ROWS, _StridedShard(0, split_factor=2), R, False, "B", *[_StridedShard(0, split_factor=2)] * 5, 0),
]


@pytest.mark.parametrize("row", DECISIONS, ids=lambda row: f"{row[0].einsum} {row[1]} {row[2]}")
def test_decisions(row):
    contraction, x, y, normalize, rules, x_to, y_to, out, x_grad, y_grad, moved = row
    layout = plan_sharding(contraction, [x], [y], [4], normalize=normalize)
    assert (layout.rules, layout.dims[0].comm_bytes) == (rules, moved), str(layout)
    assert (layout.x, layout.y, layout.out) == ((x_to,), (y_to,), (out,))
    assert (layout.x_grad, layout.y_grad) == ((x_grad,), (y_grad,))


def test_each_mesh_dimension_is_decided_for_itself():
    layout = plan_sharding(MATRICES, [S0, S2], [S0, S2], [2, 2])
    assert (layout.rules, layout.out) == ("BK", (S0, P))
    assert str(layout) == (
        "mesh dimension 0: B, x S(0), y S(0), result S(0), 0 bytes moved\n"
        "mesh dimension 1: K, x S(2), y S(2), result P(sum), 0 bytes moved"
    )
    crossed = plan_sharding(ROWS, [R, S0], [S0, R], [2, 2])  # cut by other ranks: that cannot be free
    assert any(dim.comm_bytes for dim in crossed.dims)
    # A shard of a shard is gathered over both dimensions, whichever of them is to be replicated.
    nested = plan_sharding(LONG, [S0, S0], [S1, S1], [2, 2])
    assert (nested.rules, nested.x) == ("JJ", (R, R))
    assert [dim.comm_bytes for dim in nested.dims] == [3840, 3840 // 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex32, torch.uint16], ids=str)
def test_what_is_not_multiplied_in_its_own_dtype_is_summed_before_it_is_rounded(dtype):
    layout = plan_sharding(ROWS, [S1], [S1], [4], x_dtype=dtype, y_dtype=dtype)
    assert (layout.out, layout.summed) == ((R,), (0,))
    assert "summed over the ranks at once" in str(layout)


def test_scalars_and_layouts_print():
    scalar = Contraction.numpy_dot((), (3, 4))
    assert plan_sharding(scalar, [R], [S0], [2]).out == (S0,)
    assert isinstance(plan_sharding(scalar, [R], [S0], [2]), ShardingPlan)


@pytest.mark.parametrize(("old", "new"), [("Layout", "ShardingPlan"), ("lay_out", "plan_sharding")])
def test_name_of_version_0_1_warns_and_works(old, new):
    sys.modules.pop("batchdot.sharding", None)
    with pytest.warns(DeprecationWarning, match=r"batchdot\.distributed now"):
        sharding = importlib.import_module("batchdot.sharding")
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(sharding, old) is getattr(distributed, new)


def test_unknown_placement_is_refused():
    class Scattered(Placement):
        def is_replicate(self):
            return False

        def is_partial(self, reduce_op=None):
            return False

    with pytest.raises(TypeError, match="redistribute"):
        plan_sharding(ROWS, [Scattered()], [S0], [4])


def test_one_process_agrees_with_itself():
    check_agreement(torch.ones(2), axes=1)


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def outcomes(request, tmp_path_factory):
    """What each rank found, of as many processes."""
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    command = ["-W", "error", "-m", "tests.support.sharding_ranks"]
    ranks = range(request.param)
    ended = run_side_by_side([[*command, str(rank), str(len(ranks)), str(folder)] for rank in ranks], 300)
    report = "\n".join(f"rank {rank} {end}" for rank, end in zip(ranks, ended, strict=True))
    assert not any(end.status for end in ended), report
    return len(ranks), [json.loads((folder / f"{rank}.json").read_text()) for rank in ranks]


def test_all_ranks_on_all_cases(outcomes):
    ranks, found = outcomes
    for rank, outcome in enumerate(found):
        failures = [f"rank {rank}, {name}:\n{text}" for name, text in outcome["failures"].items()]
        assert not failures, f"{len(failures)} failures, of which\n" + "\n".join(failures[:5])
        assert outcome["passed"] == list(sharding_ranks.cases(ranks))


@pytest.mark.skipif(
    os.environ.get("BATCHDOT_TORCH_PRIVATE") == "0",
    reason="the public fallback torch.compiler.assume_constant_result loads torch._dynamo",
)
def test_dot_of_plain_tensors_knows_nothing_of_all_this():
    """Nothing of torch.distributed is loaded before there is a DTensor."""
    script = """
import sys, torch
before = set(sys.modules)
import batchdot
batchdot.Dot(1)(torch.ones(2, 3), torch.ones(2, 3))
print([m for m in set(sys.modules) - before if "distributed" in m or "sharding" in m])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
