"""The same calls on a CUDA device: int64 too, for which torch has no matrix product there.

By the kernels that are chosen: BATCHDOT_KERNELS=native,triton asks for those in Triton.
"""

import itertools
from contextlib import contextmanager

import pytest
import torch
from tests.support import oracle
from tests.support.cases import RANKS, enumerate_cases

from batchdot import batch_dot, dot, top_k
from batchdot.ops.functional import plan

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.complex64], ids=str)
def test_as_on_the_cpu(dtype):
    found = []
    for ranks in itertools.product(RANKS, RANKS):
        for case in enumerate_cases(*ranks, sample=0):
            x, y = case.tensors(dtype)
            out, right = batch_dot(x.cuda(), y.cuda(), case.axes), batch_dot(x, y, case.axes)
            close = torch.equal if dtype == torch.int64 else torch.allclose
            options = {} if dtype == torch.int64 else {"rtol": 1e-4, "atol": 1e-4}
            if out.shape != right.shape or out.dtype != dtype or not close(out.cpu(), right, **options):
                found.append(str(case))
    assert not found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_cosines(dtype):
    for x_shape, y_shape in (((30, 8), (30, 8)), ((3, 4, 8), (3, 5, 8)), ((3, 4, 8), (3, 8))):
        x, y = torch.randn(x_shape).to(dtype), torch.randn(y_shape).to(dtype)
        out = batch_dot(x.cuda(), y.cuda(), -1, normalize=True)
        assert out.dtype == dtype
        assert out.abs().max() <= 1
        torch.testing.assert_close(out.cpu(), batch_dot(x, y, -1, normalize=True))


def test_large_integer_products_are_formed_in_blocks():
    x, y = torch.randint(-99, 99, (3, 70, 300)), torch.randint(-99, 99, (3, 300, 80))
    assert torch.equal(batch_dot(x.cuda(), y.cuda()).cpu(), batch_dot(x, y))
    assert torch.equal(dot(x.cuda(), y[0].cuda()).cpu(), dot(x, y[0]))


def test_devices_differ():
    with pytest.raises(ValueError, match="x is on cuda:0, y on cpu"):
        batch_dot(torch.ones(2, 3).cuda(), torch.ones(2, 3), 1)


def test_lists_go_to_the_device():
    assert batch_dot(torch.ones(1, 2).cuda(), [[1.0, 2.0]], 1).device.type == "cuda"


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
KINDS = {
    "row": ((40, 130), (40, 130)),
    "shared": ((4, 9, 130), (4, 130)),
    "matrix": ((4, 9, 64), (4, 7, 64)),
    "long": ((3, 20_000), (3, 20_000)),
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind, dtype, normalize):
    """Against those of float64 on the CPU, relative to the largest."""
    x, y = (torch.randn(shape).to(dtype) for shape in KINDS[kind])
    found = []
    for device, wide in (("cuda", dtype), ("cpu", torch.float64)):
        a, b = (t.to(device, wide).requires_grad_() for t in (x, y))
        found.append(torch.autograd.grad(batch_dot(a, b, -1, normalize=normalize).sum(), (a, b)))
    for ours, right in zip(*found, strict=True):
        assert ours.dtype == dtype
        assert (ours.cpu().double() - right).abs().max() <= 16 * torch.finfo(dtype).eps * right.abs().max()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", ["row", "shared", "matrix"])
def test_gradcheck(kind, normalize):
    shapes = [tuple(min(size, 3) for size in shape) for shape in KINDS[kind]]
    x, y = (torch.randn(s, dtype=torch.float64, device="cuda", requires_grad=True) for s in shapes)
    inputs = (x, y)
    assert torch.autograd.gradcheck(lambda x, y: batch_dot(x, y, -1, normalize=normalize), inputs)
    assert torch.autograd.gradgradcheck(lambda x, y: batch_dot(x, y, -1, normalize=normalize), inputs)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("size", [2, 50, 128, 1000, 20_000])
def test_rows_that_cancel(size, dtype):
    """Within 0.51 ulp by Triton; by ATen within the term that docs/numerics.md has for cancellation."""
    x, y = (torch.randn(16, size, dtype=torch.float64) for _ in "xy")
    half = size // 2
    x[:, half : 2 * half], y[:, half : 2 * half] = x[:, :half], -y[:, :half] * (1 + 2.0**-6)
    x, y = x.to(dtype), y.to(dtype)
    out = batch_dot(x.cuda(), y.cuda(), 1, normalize=True)
    exact_bound = plan(x.cuda(), y.cuda(), 1, normalize=True).kernel == "triton"
    allowed = size**2 * 2.0**-104 if dtype == torch.float64 else size * 2.0**-52
    for value, a, b in zip(out.flatten().tolist(), x.tolist(), y.tolist(), strict=True):
        exact = oracle.exact_cosine(a, b)
        error = oracle.ulps(value, exact, dtype)
        assert error <= 0.51 or (not exact_bound and abs(value - float(exact)) <= allowed)


@pytest.mark.parametrize("normalize", [False, True])
def test_more_matrices_than_a_grid_has_in_its_second_axis(normalize):
    x, y = torch.randn(65_537, 3, 8, device="cuda"), torch.randn(65_537, 4, 8, device="cuda")
    out = batch_dot(x, y, 2, normalize=normalize)
    torch.testing.assert_close(out[-2:], batch_dot(x[-2:], y[-2:], 2, normalize=normalize))
    rows = batch_dot(x, y[:, 0], (2, 1), normalize=normalize)
    torch.testing.assert_close(rows[-2:], batch_dot(x[-2:], y[-2:, 0], (2, 1), normalize=normalize))


@pytest.mark.parametrize("normalize", [False, True])
def test_more_elements_than_an_int32_counts(normalize):
    if torch.cuda.get_device_properties().total_memory < 24 << 30:
        pytest.skip("needs 24 GiB")
    x = torch.zeros(2**24 + 1, 128, dtype=torch.bfloat16, device="cuda")
    x[-3:] = torch.randn(3, 128)
    out = batch_dot(x, x, 1, normalize=normalize)
    assert torch.equal(out[-3:], batch_dot(x[-3:].clone(), x[-3:].clone(), 1, normalize=normalize))
    assert not out[:-3].any()


@contextmanager
def no_synchronization():
    """Make PyTorch raise where the CPU waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_the_device_and_a_graph_gives_the_same_bits(kind, dtype, normalize):
    x, y = (torch.randn(shape, device="cuda").to(dtype).requires_grad_() for shape in KINDS[kind])
    gradient = torch.ones_like(batch_dot(x, y, -1, normalize=normalize))

    def call():
        out = batch_dot(x, y, -1, normalize=normalize)
        return out.detach(), *torch.autograd.grad(out, (x, y), gradient)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            right = call()
        with no_synchronization():
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = call()
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))
    with torch.no_grad():
        x.zero_()
    graph.replay()  # reads x again
    assert not found[0].any()


def test_two_streams():
    """Each stream's work is in its own order: no result is read or overwritten by the other's."""
    x, y = (torch.randn(4096, 128, device="cuda") for _ in "xy")
    right = batch_dot(x, y, 1), batch_dot(x, y, 1, normalize=True)
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream() for _ in range(2)], []
    for _ in range(20):
        for stream, normalize in zip(streams, (False, True), strict=True):
            with torch.cuda.stream(stream):
                found.append((batch_dot(x, y, 1, normalize=normalize), right[normalize]))
    torch.cuda.synchronize()
    assert all(torch.equal(out, expected) for out, expected in found)


def test_a_second_device():
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one device")
    x, y = torch.randn(30, 50), torch.randn(30, 50)
    out = batch_dot(x.to("cuda:1"), y.to("cuda:1"), 1, normalize=True)
    assert out.device == torch.device("cuda:1")
    torch.testing.assert_close(out.cpu(), batch_dot(x, y, 1, normalize=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64], ids=str)
@pytest.mark.parametrize(("queries", "items"), [(1, 3000), (50, 3000), (3, 200_000)])
def test_top_k(queries, items, dtype):
    """With ties, as on the CPU."""
    q, i = (torch.randint(-9, 9, (n, 16)).to(dtype) for n in (queries, items))
    ours, right = top_k(q.cuda(), i.cuda(), 20), top_k(q, i, 20)
    assert torch.equal(ours.indices.cpu(), right.indices)
    assert torch.equal(ours.scores.cpu(), right.scores)
