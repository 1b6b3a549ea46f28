"""Values of the Triton kernels, under Triton's interpreter on the CPU, against exact arithmetic."""

import itertools
from fractions import Fraction

import pytest
import torch
from tests.support import oracle, triton_interpreter

from batchdot import batch_dot
from batchdot.ops.functional import plan

pytestmark = triton_interpreter.interpreted

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INF, NAN = float("inf"), float("nan")


def exact_product(x, y):
    return sum((Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)), Fraction(0))


def worst_ulps(out, x, y, exact):
    rows = zip(out.flatten().tolist(), x.double().tolist(), y.double().tolist(), strict=True)
    return max(oracle.ulps(value, exact(a, b), out.dtype) for value, a, b in rows)


def assert_accurate(x, y, epsilon=1e-12):
    """Both results of pairs of rows are within 0.51 ulp."""
    assert plan(x, y, 1).kernel == "triton"
    cosine = lambda a, b: oracle.exact_cosine(a, b, epsilon)  # noqa: E731
    assert worst_ulps(batch_dot(x, y, 1), x, y, exact_product) <= 0.51
    assert worst_ulps(batch_dot(x, y, 1, normalize=True, epsilon=epsilon), x, y, cosine) <= 0.51


def normal(n, k):
    return tuple(torch.randn(n, k, dtype=torch.float64) for _ in "xy")


def positive(n, k):
    return tuple(torch.rand(n, k, dtype=torch.float64) for _ in "xy")


def cancelling(n, k):
    """Rows of which halves cancel up to their last digits."""
    x, y = normal(n, k)
    half = k // 2
    x[:, half : 2 * half] = x[:, :half]
    y[:, half : 2 * half] = -y[:, :half] * (1 + 2.0**-7 * torch.randint(-2, 3, (n, half)))
    return x, y


def of_all_scales(n, k):
    return tuple(torch.randn(n, k, dtype=torch.float64).ldexp(torch.randint(-20, 1, (n, k))) for _ in "xy")


def mostly_zero(n, k):
    """Rows of zeros, of one number, and equal rows, between others."""
    x, y = normal(n, k)
    x[0], y[1], y[2], y[3] = 0, 0, x[2], -3 * x[3]
    x[4, 1:] = y[4, 1:] = 0
    return x, y


ROWS = {f.__name__: f for f in (normal, positive, cancelling, of_all_scales, mostly_zero)}


# 1 and 2 are narrower than a tile, 128 fills its columns, 600 has the wider tile, 4099 two chunks of it.
@pytest.mark.parametrize("k", [1, 3, 50, 128, 600, 4099])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rows_within_051_ulp(dtype, rows, k):
    assert_accurate(*(t.to(dtype) for t in ROWS[rows](5 if k > 200 else 9, k)))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_exact_where_all_but_the_last_bit_cancels(dtype):
    """One in the last place of what large products leave behind, as no sum in two doubles has it."""
    large, tiny = torch.finfo(dtype).max / 4, torch.finfo(dtype).tiny
    smalls = (1.0, tiny, tiny / 2)
    if dtype == torch.float64:  # products below 2^-900 of the largest lose digits
        large, smalls = 2.0**400, (1.0, 2.0**-90)
    x = torch.tensor([[large, small, -large, 0.5, -0.5] for small in smalls], dtype=dtype)
    y = torch.tensor([[large, 1.0, large, large, large]] * len(smalls), dtype=dtype)
    for a, b in ((x, y), (x.flip(1), y.flip(1)), (-x, -y)):
        assert batch_dot(a, b, 1).flatten().tolist() == x[:, 1].tolist()
        assert worst_ulps(batch_dot(a, b, 1, normalize=True), a, b, oracle.exact_cosine) <= 0.51
    if dtype == torch.float64:
        return  # several seconds for long rows
    long = tuple(torch.nn.functional.pad(t, (0, 5000)) for t in (x, y))
    assert batch_dot(*long, 1).flatten().tolist() == x[:, 1].tolist()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_scale(dtype, normalize):
    """From the smallest normal number to the largest finite one in both inputs, with subnormal results."""
    info = torch.finfo(dtype)
    scales = (info.tiny, info.tiny**0.5, info.tiny**0.5 * info.eps, 1.0, info.max**0.5, info.max)
    pairs = list(itertools.product(scales, repeat=2))
    factors = torch.tensor(pairs, dtype=torch.float64)
    x = ((torch.rand(36, 20, dtype=torch.float64) * 0.9 + 0.1) * factors[:, :1]).to(dtype)
    y = ((torch.rand(36, 20, dtype=torch.float64) - 0.4) * factors[:, 1:]).to(dtype)
    out = batch_dot(x, y, 1, normalize=normalize, epsilon=5e-324)
    for value, a, b in zip(out.flatten().tolist(), x.double().tolist(), y.double().tolist(), strict=True):
        right = oracle.exact_cosine(a, b, 5e-324) if normalize else exact_product(a, b)
        if abs(right) >= Fraction(info.max):
            assert abs(value) in (INF, info.max)
        else:
            assert oracle.ulps(value, right, dtype) <= 0.51


# Float64 results in units of the smallest subnormal number, as sums of terms.
@pytest.mark.parametrize(
    "terms",
    [
        (2.0**51, 0.7),
        (-(2.0**51), -0.7),
        (2.0**51, 0.5, 2.0**-40),
        (2.0**51 + 1, 0.5, -(2.0**-40)),
        (2.0**51, 0.5),
        (2.0**52, -0.5, 2.0**-40),
        (2.0**30, 0.75, 2.0**-30),
        (2.0**60, -(2.0**60), 2.0**51, 0.7),
    ],
    ids=str,
)
def test_subnormal_float64_results(terms):
    x, y = torch.zeros(2, 1, 8, dtype=torch.float64)
    for k, term in enumerate(terms):
        x[0, k], y[0, k] = term * 2.0**-537, 2.0**-537
    right = exact_product(x[0].tolist(), y[0].tolist())
    assert oracle.ulps(batch_dot(x, y, 1).item(), right, torch.float64) <= 0.51


@pytest.mark.parametrize("k", [3, 5000])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_infinity_and_nan_as_ieee_has_them(dtype, k):
    x, y = torch.ones(5, k, dtype=dtype), torch.ones(5, k, dtype=dtype)
    x[0, 1], x[1, 1], x[2, :2], x[3, 1], y[3, 1] = INF, NAN, torch.tensor([INF, -INF]), INF, 0
    assert batch_dot(x, y, 1).flatten().tolist()[:1] == [INF]
    assert batch_dot(x, y, 1).flatten().isnan().tolist() == [False, True, True, True, False]
    assert batch_dot(x, y, 1, normalize=True).flatten().isnan().tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cosines_stay_in_range(dtype):
    x = torch.randn(64, 50, dtype=torch.float64).to(dtype)
    assert (batch_dot(x, x, 1, normalize=True) == 1).all()
    assert (batch_dot(x, -x, 1, normalize=True) == -1).all()


# --- layouts ------------------------------------------------------------------------------------------

LAYOUTS = {
    "every second row": lambda: (torch.randn(18, 20)[::2], torch.randn(9, 20), -1),
    "every second element": lambda: (torch.randn(9, 40)[:, ::2], torch.randn(9, 20), -1),
    "transposed": lambda: (torch.randn(20, 9).T, torch.randn(20, 9).T, -1),
    "at an odd address": lambda: (torch.randn(200)[3:183].view(9, 20), torch.randn(9, 20), -1),
    "the same row": lambda: (torch.randn(1, 20).expand(9, -1), torch.randn(9, 20), -1),
    "gaps between rows": lambda: (torch.randn(9, 32)[:, :20], torch.randn(9, 24)[:, :20], -1),
    "two axes of rows": lambda: (torch.randn(4, 3, 20).transpose(0, 1), torch.randn(3, 4, 20), (2, 2)),
    "three axes of rows": lambda: (
        torch.randn(4, 2, 3, 20).permute(2, 1, 0, 3), torch.randn(3, 2, 4, 20), (3, 3),
    ),
    "matrices times vectors": lambda: (torch.randn(3, 5, 20), torch.randn(3, 20), -1),
    "vectors times matrices": lambda: (torch.randn(3, 20), torch.randn(3, 5, 20), -1),
    "strided matrices times vectors": lambda: (torch.randn(3, 10, 20)[:, ::2], torch.randn(6, 20)[::2], -1),
    "one matrix times one vector": lambda: (torch.randn(1, 5, 20), torch.randn(1, 20), -1),
}  # fmt: skip


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, normalize):
    x, y, axes = LAYOUTS[layout]()
    batch_dims = x.ndim - 1 if "axes of rows" in layout else 1
    assert plan(x, y, axes, batch_dims=batch_dims, normalize=normalize).kernel == "triton"
    out = batch_dot(x, y, axes, batch_dims=batch_dims, normalize=normalize)
    compute = oracle.cosine if normalize else oracle.batch_dot
    right = torch.from_numpy(compute(x.double().numpy(), y.double().numpy(), axes, batch_dims))
    torch.testing.assert_close(out.double(), right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("k", [20, 5000])
def test_rows_that_share_one(dtype, k):
    x, y = torch.randn(2, 3, k).to(dtype), torch.randn(2, k).to(dtype)
    for normalize, exact in ((False, exact_product), (True, oracle.exact_cosine)):
        out = batch_dot(x, y, -1, normalize=normalize)
        assert out.shape == (2, 3)
        pairs = x.flatten(0, 1), y.repeat_interleave(3, 0)
        assert worst_ulps(out, *pairs, exact) <= 0.51
        assert torch.equal(batch_dot(y, x, -1, normalize=normalize), out)


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "out_shape"),
    [
        ((0, 5), (0, 5), (0, 1)),
        ((4, 0), (4, 0), (4, 1)),
        ((3, 0, 5), (3, 5), (3, 0)),
        ((3, 4, 0), (3, 0), (3, 4)),
        ((0, 3, 5), (0, 4, 5), (0, 3, 4)),
        ((2, 3, 0), (2, 4, 0), (2, 3, 4)),
    ],
    ids=str,
)
def test_nothing_is_launched_for_nothing(x_shape, y_shape, out_shape, monkeypatch):
    from batchdot.kernels.triton.launch import Launch

    x, y = torch.randn(x_shape, requires_grad=True), torch.randn(y_shape, requires_grad=True)
    for shape in ((2, 3), (2, 2, 3)):  # the checks at first use
        for normalize in (False, True):
            batch_dot(*torch.ones(2, *shape, requires_grad=True), -1, normalize=normalize).sum().backward()
    monkeypatch.setattr(Launch, "__call__", None)
    for normalize in (False, True):
        out = batch_dot(x, y, -1, normalize=normalize)
        assert out.shape == out_shape
        assert not out.any()
        if len(out_shape) == 2:
            dx, dy = torch.autograd.grad(out.sum(), (x, y))
            assert (dx.shape, dy.shape) == (x.shape, y.shape)
            assert not dx.any()
            assert not dy.any()


# --- matrices -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 20, 64, 300])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cosine_matrices(dtype, k):
    x, y = torch.randn(2, 20, k).to(dtype), torch.randn(2, 70, k).to(dtype)
    x[0, 0], y[0, 0], y[1, :20] = 0, 0, x[1]
    out = batch_dot(x, y, 2, normalize=True)
    assert plan(x, y, 2, normalize=True).kernel == "triton"
    assert out.dtype == dtype
    assert out.abs().max() <= 1
    right = torch.from_numpy(oracle.cosine(x.double().numpy(), y.double().numpy(), (2, 2)))
    most = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), right, rtol=most, atol=most)
    transposed = batch_dot(x.mT.contiguous().mT, y.mT.contiguous(), (2, 1), normalize=True)
    torch.testing.assert_close(transposed.double(), right, rtol=most, atol=most)
    torch.testing.assert_close(batch_dot(x, y, 2, normalize=True), out, rtol=0, atol=0)


@pytest.mark.parametrize(("x_scale", "y_scale"), [(1e20, 1e20), (1e-20, 1e-20), (1e36, 1e-36), (1e-38, 1e36)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_cosine_matrices_of_every_scale(dtype, x_scale, y_scale):
    x, y = (torch.randn(1, 20, 30) * x_scale).to(dtype), (torch.randn(1, 20, 30) * y_scale).to(dtype)
    out = batch_dot(x, y, 2, normalize=True, epsilon=1e-90)
    right = torch.from_numpy(oracle.cosine(x.double().numpy(), y.double().numpy(), (2, 2), epsilon=1e-90))
    most = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), right, rtol=most, atol=most)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_products_of_integers_wrap_around(dtype):
    info = torch.iinfo(dtype)
    x = torch.randint(info.min, info.max, (2, 20, 7), dtype=dtype)
    y = torch.randint(info.min, info.max, (2, 7, 70), dtype=dtype)
    assert plan(x, y).kernel == "triton"
    assert torch.equal(batch_dot(x, y), torch.bmm(x, y))
    assert torch.equal(batch_dot(x, y[..., 0], (2, 1)), torch.bmm(x, y[..., :1])[..., 0])
    assert batch_dot(x[:, :, :0], y[:, :0]).eq(0).all()
