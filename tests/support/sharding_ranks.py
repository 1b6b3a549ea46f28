"""What every rank of a group of processes runs: tables of calls on sharded tensors.

``python sharding_ranks.py RANK RANKS FOLDER`` joins the others over gloo, runs the cases that are for so
many ranks, and writes what went wrong, by case, to FOLDER/RANK.json. What is right is tensordot, sample by
sample in float64, on whole tensors; nothing of it comes from the package under test.
"""

import itertools
import json
import os
import runpy
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from tests.support import ROOT, oracle
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.placement_types import _StridedShard

import batchdot
from batchdot.distributed import agreement_checked, check_agreement, plan_sharding
from batchdot.planning.contraction import Contraction

# name: shapes, axes, shared axes; sizes that 2 and 4 ranks share evenly, unevenly, and not at all.
CONTRACTIONS = {
    "rows": ((8, 12), (8, 12), 1, 1),
    "uneven rows": ((7, 5), (7, 5), 1, 1),
    "matrices": ((4, 6, 5), (4, 3, 5), 2, 1),
    "matrix times vector": ((4, 3, 8), (4, 8), (2, 1), 1),
    "one row": ((4, 1, 8), (4, 1, 8), 2, 1),
    "several axes": ((3, 4, 6), (3, 6, 4), ((1, 2), (2, 1)), 1),
    "two shared": ((2, 5, 8), (2, 5, 8), 2, 2),
    "rank 4": ((3, 4, 2, 8), (3, 8, 3, 2), (3, 1), 1),
}

MATRICES = ("matrices", "matrix times vector", "rank 4")
"""Those of which a cosine sums norms before products."""


def reference(x, y, axes, shared, normalize, epsilon=1e-12):
    """Return the documented rule on whole tensors, differentiable."""
    x_axes, y_axes = oracle.resolve(axes, x.ndim, y.ndim)
    if normalize:
        x, y = (
            t / t.square().sum(own, keepdim=True).clamp_min(epsilon).sqrt()
            for t, own in ((x, x_axes), (y, y_axes))
        )
    inner = [a - shared for a in x_axes], [a - shared for a in y_axes]
    samples = [torch.tensordot(x[i], y[i], inner) for i in itertools.product(*map(range, x.shape[:shared]))]
    out = torch.stack(samples).reshape(*x.shape[:shared], *samples[0].shape)
    return out.unsqueeze(-1) if out.ndim == 1 else out


def place(whole, mesh, placements, requires_grad=False):
    """Return a DTensor of any placements; the parts of a Partial one are the whole in unequal shares."""
    kept = [Replicate() if p.is_partial() else p for p in placements]
    local = distribute_tensor(whole, mesh, kept, src_data_rank=None).to_local()  # sends nothing
    for dim, placement in enumerate(placements):
        if placement.is_partial() and placement.reduce_op == "sum":
            ranks, own = mesh.size(dim), mesh.get_local_rank(dim)
            local = local * ([2, -1] if ranks == 2 else [3, -4, 1, 1])[own]  # which add up to 1
    tensor = DTensor.from_local(
        local, mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )
    return tensor.requires_grad_(requires_grad)


def counts(mode):
    return {str(name).rpartition(".")[2]: n for name, n in mode.get_comm_counts().items() if n}


def call(x, y, axes, shared, normalize):
    return batchdot.batch_dot(x, y, axes, batch_dims=shared, normalize=normalize)


def check_placements(mesh, name, x_placements, y_placements, normalize):
    """One call and its backward: values, gradients, placements, and what was communicated."""
    x_shape, y_shape, axes, shared = CONTRACTIONS[name]
    generator = torch.Generator().manual_seed(sum(x_shape))
    x, y = (torch.randn(s, dtype=torch.float64, generator=generator) for s in (x_shape, y_shape))
    right = reference(x.requires_grad_(), y.requires_grad_(), axes, shared, normalize)
    weights = torch.randn(right.shape, dtype=torch.float64, generator=generator)
    right.backward(weights)

    dx, dy = (place(t.detach().float(), mesh, p, True) for t, p in ((x, x_placements), (y, y_placements)))
    with CommDebugMode() as forward:
        out = call(dx, dy, axes, shared, normalize)
    kept = [Replicate() if p.is_partial() else p for p in out.placements]
    gradient = place(weights.float(), mesh, kept)
    with CommDebugMode() as backward:
        out.backward(gradient)
    close = {"rtol": 2e-5, "atol": 2e-5, "check_dtype": False}
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.full_tensor(), right, **close)
    for own, whole, placements in ((dx, x, x_placements), (dy, y, y_placements)):
        torch.testing.assert_close(own.grad.full_tensor(), whole.grad, **close)
        for placement, got in zip(placements, own.grad.placements, strict=True):
            assert got == placement or not placement.is_shard(), (placements, own.grad.placements)
    check_communication(
        tuple(mesh.shape), name, axes, shared, normalize, x_placements, y_placements, forward, backward
    )


def check_communication(mesh_shape, name, axes, shared, normalize, x, y, forward, backward):
    """Assert the promise: nothing for batch and free sharding, one sum for a contraction's cosines."""
    kinds = [sharding(name, axes, shared, *pair) for pair in zip(x, y, strict=True)]
    layout = plan_sharding(
        Contraction.batch_dot(*CONTRACTIONS[name][:3], shared), x, y, mesh_shape, normalize=normalize
    )
    found = counts(forward)
    moves = sum(found.values()) > (layout.rules.count("K") * (1 + (name in MATRICES)) if normalize else 0)
    assert moves == any(dim.comm_bytes for dim in layout.dims), f"{found} by\n{layout}"
    if None in kinds or crossed(name, axes, shared, x, y):
        return
    sums = kinds.count("contraction") if normalize else 0
    if normalize and name in MATRICES:
        sums *= 2  # norms, and then products
    assert found == ({"all_reduce": sums} if sums else {}), f"forward {found}"
    assert not counts(backward), f"backward {counts(backward)}"


def crossed(name, axes, shared, x, y):
    """Whether an axis would be cut for the first mesh dimension that the second one has cut already."""
    x_shape, y_shape, *_ = CONTRACTIONS[name]
    pairs = [(axis, axis) for axis in range(shared)]
    pairs += zip(*oracle.resolve(axes, len(x_shape), len(y_shape)), strict=True)
    return len(x) == 2 and any(
        (x[0].is_replicate() and (x[1], y[0]) == (Shard(a), Shard(b)))
        or (y[0].is_replicate() and (x[0], y[1]) == (Shard(a), Shard(b)))
        for a, b in pairs
    )


def sharding(name, axes, shared, x, y):
    """Say what a mesh dimension shards where both sides already fit, None where they do not."""
    x_shape, y_shape, *_ = CONTRACTIONS[name]
    pairs = list(zip(*oracle.resolve(axes, len(x_shape), len(y_shape)), strict=True))
    if x.is_partial() or y.is_partial():
        return None
    x_axis, y_axis = (p.dim if p.is_shard() else None for p in (x, y))
    if x_axis is None and y_axis is None:
        return "nothing"
    if {x_axis, y_axis} - {None} in [{axis} for axis in range(shared)]:
        return "batch"
    if any(x_axis in (a, None) and y_axis in (b, None) for a, b in pairs):
        return "contraction"
    return "free" if None in (x_axis, y_axis) else None


def placement_cases(ranks):
    """List the pairs of placements of each contraction, on a line of ranks and, in part, on a square."""
    cases = {}

    def add(mesh_shape, name, normalize, x, y):
        key = f"{'cosine' if normalize else 'product'} of {name}: {show(x)} with {show(y)} on {mesh_shape}"
        cases[key] = lambda mesh: check_placements(mesh, name, x, y, normalize)

    for name, contraction in CONTRACTIONS.items():
        for number, (x, y) in enumerate(itertools.product(*map(all_placements, contraction[:2]))):
            for normalize in (False, True) if ranks == 2 else (number % 2 == 0,):
                add((ranks,), name, normalize, [x], [y])
    for name, share in (("rows", 7), ("uneven rows", 9), ("matrices", 19), ("several axes", 29)):
        each = [itertools.product(all_placements(shape), repeat=2) for shape in CONTRACTIONS[name][:2]]
        for number, (x, y) in enumerate(itertools.product(*each)):
            if ranks == 4 and number % share == 0:
                add((2, 2), name, number // share % 2 == 0, list(x), list(y))
    return cases


def all_placements(shape):
    return [Replicate(), Partial(), *map(Shard, range(len(shape)))]


def show(placements):
    return " ".join(map(str, placements))


# What is not about placements: each takes a mesh of one dimension.


def dot_by_numpys_rule(mesh):
    for x_shape, y_shape in (
        ((4, 5), (3, 5, 2)),
        ((6,), (6,)),
        ((3, 6), (6,)),
        ((), (4, 3)),
        ((7, 6), (6, 8)),
    ):
        x, y = torch.randn(x_shape), torch.randn(y_shape)
        for px, py in itertools.product(all_placements(x_shape), all_placements(y_shape)):
            out = batchdot.dot(place(x, mesh, [px]), place(y, mesh, [py])).full_tensor()
            right = torch.from_numpy(np.asarray(np.dot(x.double().numpy(), y.double().numpy())))
            torch.testing.assert_close(out, right, check_dtype=False, rtol=1e-5, atol=1e-5)


def the_layer(mesh):
    x, y = torch.randn(6, 8), torch.randn(6, 8)
    layer = batchdot.Dot(1, normalize=True)
    for placement in (Shard(0), Shard(1), Replicate()):
        pair = [place(t, mesh, [placement]) for t in (x, y)]
        for out in (layer(pair), layer(*pair), batchdot.layers.dot(pair, 1, True)):
            torch.testing.assert_close(out.full_tensor(), reference(x, y, 1, 1, True))
    double = batchdot.Dot(1, dtype="float64")(pair)
    assert double.dtype == torch.float64


def a_plain_plan_is_not_taken(mesh):
    """The same call on plain tensors before, whose key is the same but for the class."""
    x, y = torch.randn(6, 8), torch.randn(6, 8)
    right = batchdot.batch_dot(x, y, 1, normalize=True)
    dx, dy = (place(t, mesh, [Shard(1)]) for t in (x, y))
    with CommDebugMode() as mode:
        out = batchdot.batch_dot(dx, dy, 1, normalize=True)
    assert counts(mode) == {"all_reduce": 1}
    torch.testing.assert_close(out.full_tensor(), right)
    plain = batchdot.batch_dot(x, y, 1, normalize=True)
    assert type(plain) is torch.Tensor
    assert torch.equal(plain, right)


def three_numbers_a_row(mesh):
    """What one all-reduce of a row cosine carries, forward; nothing is sent backward."""
    sent = []

    class Watch(CommDebugMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "all_reduce" in str(func):
                sent.append((args[0].numel(), args[0].dtype))
            return super().__torch_dispatch__(func, types, args, kwargs)

    x, y = (place(torch.randn(10, 64), mesh, [Shard(1)], True) for _ in range(2))
    with Watch() as mode:
        out = batchdot.batch_dot(x, y, 1, normalize=True)
        out.to_local().sum().backward()
    assert counts(mode) == {"all_reduce": 1}
    assert sent == [(30, torch.float64)]


def more_rows_than_fit_a_block(mesh):
    x, y = torch.randn(5000, 40), torch.randn(5000, 40)
    parts = [place(t, mesh, [Shard(1)], True) for t in (x, y)]
    out = call(*parts, 1, 1, True)
    wholes = [t.clone().requires_grad_() for t in (x, y)]
    right = reference(*wholes, 1, 1, True)
    torch.testing.assert_close(out.full_tensor(), right)
    out.square().sum().full_tensor().backward()
    right.square().sum().backward()
    for part, whole in zip(parts, wholes, strict=True):
        torch.testing.assert_close(part.grad.full_tensor(), whole.grad)


def rounded_once(mesh):
    """16-bit rows whose contraction is sharded: as close as on one rank, for cosines and products."""
    for dtype, digits in ((torch.float16, 11), (torch.bfloat16, 8), (torch.float32, 24)):
        x, y = torch.rand(9, 200).to(dtype), torch.rand(9, 200).to(dtype)
        for normalize in (False, True):
            if dtype == torch.float32 and not normalize:
                continue
            out = call(place(x, mesh, [Shard(1)]), place(y, mesh, [Shard(1)]), 1, 1, normalize)
            right = reference(x.double(), y.double(), 1, 1, normalize)
            assert out.dtype == dtype
            ulp = 2.0 ** (right.log2().floor() - digits + 1)
            error = ((out.full_tensor().double() - right).abs() / ulp).max()
            assert error < 0.51, (dtype, normalize, error)
    for x_shape, y_shape in (((3, 4, 100), (3, 5, 100)),):
        x, y = torch.rand(x_shape).bfloat16(), torch.rand(y_shape).bfloat16()
        out = call(place(x, mesh, [Shard(2)]), place(y, mesh, [Shard(2)]), 2, 1, False).full_tensor()
        right = reference(x.double(), y.double(), 2, 1, False)
        assert ((out.double() - right).abs() / 2.0 ** (right.log2().floor() - 7)).max() < 0.51


def range_of_the_norms(mesh):
    """Neither overflow nor underflow of squares changes a cosine, and zero and NaN rows are as documented."""
    for dtype, scale in ((torch.float32, 1e30), (torch.float64, 1e200), (torch.float64, 1.0)):
        wide = torch.randn(6, 40, dtype=torch.float64), torch.randn(6, 40, dtype=torch.float64)
        x, y = ((t * scale).to(dtype).requires_grad_() for t in wide)
        dx, dy = (place(t.detach(), mesh, [Shard(1)], True) for t in (x, y))
        with CommDebugMode() as mode:
            out = call(dx, dy, 1, 1, True)
        assert counts(mode) == {"all_reduce": 2 if dtype == torch.float64 else 1}
        right = reference(*(t.detach().double() / scale for t in (x, y)), 1, 1, True)
        torch.testing.assert_close(out.full_tensor(), right, check_dtype=False, rtol=1e-6, atol=1e-7)
        with CommDebugMode() as mode:
            out.to_local().sum().backward()
        assert not counts(mode)
        batchdot.batch_dot(x, y, 1, normalize=True).sum().backward()
        torch.testing.assert_close(dx.grad.full_tensor(), x.grad, rtol=1e-4, atol=0.0)
    x = torch.zeros(3, 8)
    x[1] = 1.0
    x[2, 7] = torch.nan
    dx, dy = place(x, mesh, [Shard(1)], True), place(torch.ones(3, 8), mesh, [Shard(1)])
    out = call(dx, dy, 1, 1, True)
    torch.testing.assert_close(
        out.full_tensor(), torch.tensor([[0.0], [1.0], [torch.nan]]), equal_nan=True, rtol=1e-7, atol=0
    )
    out.to_local()[0].sum().backward()
    torch.testing.assert_close(dx.grad.full_tensor()[0], torch.full((8,), 1e6 / 8**0.5))
    small = torch.rand(6, 40, dtype=torch.float64) * 1e-130  # below the floor, which is scaled with them
    dx, dy = (place(t, mesh, [Shard(1)]) for t in (small, small))
    out = batchdot.batch_dot(dx, dy, 1, normalize=True, epsilon=1e-250).full_tensor()
    torch.testing.assert_close(out, reference(small, small, 1, 1, True, 1e-250), rtol=1e-12, atol=0.0)
    same = torch.rand(400, 7)
    for shape in ((400, 7), (100, 4, 7)):
        rows = place(same.reshape(shape), mesh, [Shard(len(shape) - 1)])
        assert call(rows, rows, len(shape) - 1, 1, True).full_tensor().max() <= 1


def other_dtypes(mesh):
    for dtype in (torch.int8, torch.uint8, torch.int32, torch.int64):
        x, y = (torch.randint(0, 100, (6, 9)).to(dtype) for _ in range(2))
        for placement in (Shard(0), Shard(1), Replicate()):
            out = batchdot.batch_dot(place(x, mesh, [placement]), place(y, mesh, [placement]), 1)
            assert out.dtype == dtype
            right = (x.long() * y.long()).sum(1, keepdim=True).to(dtype)
            assert torch.equal(out.full_tensor(), right)
            cosine = call(place(x, mesh, [placement]), place(y, mesh, [placement]), 1, 1, True)
            assert cosine.dtype == torch.float32
            torch.testing.assert_close(cosine.full_tensor(), reference(x.float(), y.float(), 1, 1, True))
    for dtype in (torch.complex64, torch.complex128):
        x, y = torch.randn(2, 4, 3, 10, dtype=dtype)
        norms = (t / t.abs().square().sum(2, keepdim=True).sqrt() for t in (x, y))
        right = torch.einsum("bik,bjk->bij", *norms)
        out = call(place(x, mesh, [Shard(2)]), place(y, mesh, [Shard(2)]), 2, 1, True)
        torch.testing.assert_close(out.full_tensor(), right)
        rows = call(place(x[:, 0], mesh, [Shard(1)]), place(y[:, 0], mesh, [Shard(1)]), 1, 1, True)
        torch.testing.assert_close(rows.full_tensor(), right[:, :1, 0])
    x, y = torch.randn(4, 6).half(), torch.randn(4, 6)
    out = batchdot.batch_dot(place(x, mesh, [Shard(1)]), place(y, mesh, [Shard(1)]), 1)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.full_tensor(), (x * y).sum(1, keepdim=True))


def empty_tensors(mesh):
    for x_shape, y_shape in (
        ((0, 4), (0, 4)),
        ((3, 0), (3, 0)),
        ((3, 0, 4), (3, 2, 4)),
        ((1, 3, 1), (1, 2, 1)),
    ):
        for normalize in (False, True):
            axes = len(x_shape) - 1
            for px, py in itertools.product(
                *[[Replicate(), *map(Shard, range(len(s)))] for s in (x_shape, y_shape)]
            ):
                x, y = torch.ones(x_shape), torch.ones(y_shape)
                out = call(place(x, mesh, [px]), place(y, mesh, [py]), axes, 1, normalize)
                assert torch.equal(out.full_tensor(), batchdot.batch_dot(x, y, axes, normalize=normalize))


def derivatives_of_derivatives(mesh):
    """The squared norm of a gradient, differentiated again."""
    for name in ("rows", "matrices", "matrix times vector")[: 3 if mesh.size() == 2 else 1]:
        x_shape, y_shape, axes, shared = CONTRACTIONS[name]
        x, y = torch.randn(x_shape, dtype=torch.float64), torch.randn(y_shape, dtype=torch.float64)
        options = [[Replicate(), *map(Shard, range(len(s)))] for s in (x_shape, y_shape)]
        for (px, py), normalize in itertools.product(itertools.product(*options), (False, True)):
            wholes = [t.clone().requires_grad_() for t in (x, y)]
            parts = [place(t, mesh, [p], True) for t, p in ((x, px), (y, py))]
            for inputs, function in (
                (wholes, reference),
                (parts, lambda *args: call(*args).redistribute(placements=[Replicate()])),
            ):
                out = function(*inputs, axes, shared, normalize)
                first = torch.autograd.grad((out**3).sum(), inputs, create_graph=True)
                total = sum((g**2).sum() for g in first)
                total.backward()
            for part, whole in zip(parts, wholes, strict=True):
                torch.testing.assert_close(
                    part.grad.full_tensor(), whole.grad, msg=f"{name} {px} {py} {normalize}"
                )


def used_twice(mesh):
    """Gradients of one tensor that come in different placements add up."""
    x, y = torch.randn(8, 12), torch.randn(8, 12)
    whole = y.clone().requires_grad_()
    (reference(x, whole, 1, 1, True).sum() + reference(x, whole, 1, 1, False).square().sum()).backward()
    part = place(y, mesh, [Replicate()], True)
    cosines = call(place(x, mesh, [Shard(0)]), part, 1, 1, True)
    products = call(place(x, mesh, [Shard(1)]), part, 1, 1, False)
    (cosines.sum().full_tensor() + products.full_tensor().square().sum()).backward()
    torch.testing.assert_close(part.grad.full_tensor(), whole.grad)


def masked_rows_of_an_embedding(mesh):
    """A table sharded by rows gives sums with a mask, which have to be added up first."""
    table, other = torch.randn(10, 6), torch.randn(7, 6)
    ids = torch.tensor([0, 9, 3, 3, 5, 8, 1])
    weight = place(table, mesh, [Shard(0)], True)
    rows = torch.nn.functional.embedding(place(ids, mesh, [Replicate()]), weight)
    out = call(rows, place(other, mesh, [Replicate()]), 1, 1, True)
    whole = table.clone().requires_grad_()
    right = reference(whole[ids], other, 1, 1, True)
    torch.testing.assert_close(out.full_tensor(), right)
    out.full_tensor().sum().backward()
    right.sum().backward()
    torch.testing.assert_close(weight.grad.full_tensor(), whole.grad)


def other_partials(mesh):
    x = torch.randn(4, 6)
    average = place(x, mesh, [Partial("avg")])
    for normalize in (False, True):
        out = call(average, place(x, mesh, [Shard(1)]), 1, 1, normalize)
        torch.testing.assert_close(out.full_tensor(), reference(x, x, 1, 1, normalize))


def compiled_calls_go_by_torchs_rules(mesh):
    """torch.compile sees the plain operators, for which torch decides: right, if with more sums."""
    for name, placements in (("rows", (0, 1)), ("matrices", (2,))):
        x_shape, y_shape, axes, shared = CONTRACTIONS[name]
        function = torch.compile(
            lambda x, y, axes=axes: batchdot.batch_dot(x, y, axes, normalize=True), backend="eager"
        )
        x, y = torch.randn(x_shape), torch.randn(y_shape)
        for axis in placements:
            out = function(*(place(t, mesh, [Shard(axis)]) for t in (x, y)))
            torch.testing.assert_close(out.full_tensor(), reference(x, y, axes, shared, True))


def fsdp_over_tensor_parallelism(mesh):
    """Axes cut twice in the order of FSDP2 over tensor parallelism, with the same and with others."""
    strided = [_StridedShard(0, split_factor=2), Shard(0)]
    x, y = torch.randn(9, 12), torch.randn(9, 12)
    for placements, moves in (
        (strided, 0),
        ([Replicate(), Replicate()], 0),
        ([Shard(0), Shard(0)], 1),
        ([Shard(1), Replicate()], 1),
    ):
        for normalize in (False, True):
            dx, dy = place(x, mesh, strided, True), place(y, mesh, placements, True)
            with CommDebugMode() as mode:
                out = call(dx, dy, 1, 1, normalize)
            assert bool(counts(mode)) == bool(moves), (placements, counts(mode), out.placements)
            torch.testing.assert_close(out.full_tensor(), reference(x, y, 1, 1, normalize))
            out.full_tensor().sum().backward()
            whole = x.clone().requires_grad_()
            reference(whole, y, 1, 1, normalize).sum().backward()
            torch.testing.assert_close(dx.grad.full_tensor(), whole.grad)
            assert dx.grad.placements == dx.placements


def raises(kind, text, function, *args, **kwargs):
    """Assert that all ranks raise the same."""
    try:
        function(*args, **kwargs)
    except kind as error:
        said = [None] * dist.get_world_size()
        dist.all_gather_object(said, str(error))
        found = set(said)
    else:
        found = {"nothing was raised"}
    assert len(found) == 1, found
    assert text in found.pop(), found


def what_is_refused(mesh):
    x = torch.ones(4, 6)
    dx = place(x, mesh, [Shard(0)])
    for args in ((dx, x), (x, dx), (dx, x.tolist()), (dx, x.numpy())):
        raises(TypeError, "two DTensors or none", batchdot.batch_dot, *args, 1)
    raises(
        TypeError,
        "y is not a DTensor. Pass two DTensors or none; place y on the mesh of x",
        batchdot.batch_dot,
        dx,
        x,
        1,
    )
    ranks = dist.get_world_size()
    other = init_device_mesh("cpu", (1, ranks))
    raises(ValueError, "DTensors of one mesh", batchdot.batch_dot, dx, place(x, other, [Replicate()] * 2), 1)
    raises(
        ValueError,
        "x.shape[1] != y.shape[1] (6 != 5)",
        batchdot.batch_dot,
        dx,
        place(x[:, :5], mesh, [Shard(0)]),
        1,
    )
    raises(batchdot.AxisError, "Axis 2 is out of range", batchdot.batch_dot, dx, dx, 2)
    raises(TypeError, "x is bool", batchdot.batch_dot, place(x.bool(), mesh, [Shard(0)]), dx, 1)


def agreement(mesh):
    """What differs between the ranks is an error on all of them, the same one."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    x = torch.ones(4, 6)
    dx = place(x, mesh, [Shard(0)])
    others = ", ".join(str(r) for r in range(ranks) if r != 1)
    others = f"rank{'s' * (ranks > 2)} {others}"
    with agreement_checked():
        torch.testing.assert_close(batchdot.batch_dot(dx, dx, 1).full_tensor(), torch.full((4, 1), 6.0))
        cases = [
            ("axes=1", (dx, dx), {"axes": 1 + (rank == 1)}),
            ("epsilon=", (dx, dx), {"axes": 1, "epsilon": 1e-6 if rank == 1 else 1e-12}),
            ("float64 S(0)", (place(x.double() if rank == 1 else x, mesh, [Shard(0)]), dx), {"axes": 1}),
            ("S(1)", (place(x, mesh, [Shard(int(rank == 1))]), dx), {"axes": 1}),
            # torch takes unequal shapes, infers other whole shapes on each rank, and aborts later.
            (
                "float32 S(0)",
                (DTensor.from_local(torch.ones(2 + (rank == 1), 6), mesh, [Shard(0)]), dx),
                {"axes": 1},
            ),
        ]
        for text, args, options in cases:
            raises(ValueError, text, batchdot.batch_dot, *args, **options)
            raises(ValueError, f"\n  {others}: ", batchdot.batch_dot, *args, **options)
            raises(ValueError, "\n  rank 1: ", batchdot.batch_dot, *args, **options)
        wrong = DTensor.from_local(
            torch.ones(3 if rank == 1 else 4 // ranks, 6), mesh, [Shard(0)], shape=x.shape, stride=(6, 1)
        )
        raises(
            ValueError,
            f"its local shape is (3, 6), and not ({4 // ranks}, 6)",
            batchdot.batch_dot,
            wrong,
            dx,
            1,
        )
        raises(
            ValueError,
            "what they call dot with",
            batchdot.dot,
            dx,
            place(torch.ones(6, 2 + (rank == 1)), mesh, [Replicate()]),
        )
    os.environ["BATCHDOT_CHECK_AGREEMENT"] = "1"
    try:
        raises(
            ValueError,
            "The ranks do not agree on what they call batch_dot with.",
            batchdot.Dot(1 if rank else 2),
            [dx, dx],
        )
    finally:
        del os.environ["BATCHDOT_CHECK_AGREEMENT"]
    check_agreement(x, axes=1)
    raises(ValueError, "tensor (4, 6) float32, axes=1", check_agreement, x, axes=1 + (rank == 1))
    raises(ValueError, "tensor (4, 6) float32", check_agreement, x[: 4 - (rank == 1)])
    if rank < 1:  # ranks that make other calls outside a check take part in nothing
        batchdot.batch_dot(x, x, 1)


def two_towers_by_fsdp(mesh):
    """The model of the example, its weights sharded by FSDP2, each rank with its part of the batch."""
    from torch.distributed.fsdp import fully_shard

    example = runpy.run_path(str(ROOT / "examples" / "two_tower.py"))
    columns = example["load_ratings"]()
    model, alone = example["build_model"](), example["build_model"]()
    alone.load_state_dict(model.state_dict())
    for layer in model.layers:
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(p, DTensor) for p in model.parameters())
    for mine, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        assert mine.tolist() == other.tolist()
    model.set_weights(model.get_weights())
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.02) for m in (model, alone)]
    history = []
    for step in range(12):
        batch = [column[step * 512 : (step + 1) * 512] for column in columns]
        losses = []
        for one, optimizer in zip((model, alone), optimizers, strict=True):
            rank, ranks = (dist.get_rank(), dist.get_world_size()) if one is model else (0, 1)
            writers, places, ratings = (column.chunk(ranks)[rank] for column in batch)
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(one([writers, places]), ratings)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        dist.all_reduce(losses[0], dist.ReduceOp.SUM)
        losses[0] /= dist.get_world_size()
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
        history.append(float(losses[0]))
    assert history[-1] < history[0] / 1.5, history
    for (name, mine), other in zip(model.state_dict().items(), alone.state_dict().values(), strict=True):
        torch.testing.assert_close(mine.full_tensor(), other, rtol=1e-3, atol=1e-4, msg=name)


SINGLE = (
    dot_by_numpys_rule,
    the_layer,
    a_plain_plan_is_not_taken,
    three_numbers_a_row,
    more_rows_than_fit_a_block,
    rounded_once,
    range_of_the_norms,
    other_dtypes,
    empty_tensors,
    derivatives_of_derivatives,
    used_twice,
    masked_rows_of_an_embedding,
    other_partials,
    what_is_refused,
    agreement,
    two_towers_by_fsdp,
)


def cases(ranks):
    """List the cases for a number of ranks, by name; those that end in (2, 2) are for a square of ranks."""
    special = {2: compiled_calls_go_by_torchs_rules, 4: fsdp_over_tensor_parallelism}[ranks]
    name = special.__name__ + (" on (2, 2)" if ranks == 4 else "")
    return {case.__name__: case for case in SINGLE} | {name: special} | placement_cases(ranks)


def main(rank, ranks, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        rank=rank,
        world_size=ranks,
        init_method=(Path(folder) / "meeting").as_uri(),
        timeout=timedelta(seconds=40),
    )
    meshes = {(ranks,): init_device_mesh("cpu", (ranks,))}
    if ranks == 4:
        meshes[2, 2] = init_device_mesh("cpu", (2, 2))
    passed, failures = [], {}
    for name, case in cases(ranks).items():
        torch.manual_seed(0)
        try:
            case(meshes[2, 2] if name.endswith("(2, 2)") else meshes[ranks,])
        except Exception as error:
            failures[name] = traceback.format_exc()
            if not isinstance(error, AssertionError):
                traceback.print_exc()
                break  # who knows what the other ranks wait for
        else:
            passed.append(name)
    else:
        dist.barrier()  # or one would leave while the others still need it
    (Path(folder) / f"{rank}.json").write_text(json.dumps({"passed": passed, "failures": failures}))
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads sometimes abort a process while the interpreter shuts down


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
