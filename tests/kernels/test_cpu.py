"""The native kernel: which plans it takes and why not others; the last bit; the same bits; its rules."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from tests.support import oracle
from tests.support.processes import run_python
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

from batchdot import batch_dot
from batchdot.kernels import KERNELS, operators, select_kernel
from batchdot.kernels.cpu import library
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.functional import plan

pytestmark = pytest.mark.usefixtures("native_kernel")

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

MATRICES = "products of matrices: PyTorch calls an optimized BLAS"
STRIDED = "matrices of wide numbers times vectors along an axis that is not contiguous: bmm is faster"
SINGLE = "more than 512 rows of one element: elementwise multiplication is faster"
AXES = "rows whose contracted axes are not one last axis"
DEVICE = "tensors that are not on the CPU"
INTEGERS = "inputs that are not floating-point"
DTYPE = "results that are not float32, float64, float16 or bfloat16"

# x shape, y shape, axes, what differs from contiguous float32 on the CPU: reasons, without normalizing
# and with
CHOICES = [
    ((32, 128), (32, 128), 1, {}, [], []),
    ((0, 128), (0, 128), 1, {}, [], []),
    ((32, 0), (32, 0), 1, {}, [], []),
    ((32, 1, 128), (32, 1, 128), 2, {}, [], []),
    ((512, 1), (512, 1), 1, {}, [], []),
    ((513, 1), (513, 1), 1, {}, [SINGLE], []),
    ((513, 2), (513, 2), 1, {}, [], []),
    ((32, 128), (32, 1, 128), -1, {}, [], []),
    ((32, 128, 1), (32, 128, 1), 1, {}, [AXES], [AXES]),
    ((32, 7, 128), (32, 7, 128), 2, {"batch_dims": 2}, [], []),
    ((32, 5, 7), (32, 5, 7), ((1, 2), (1, 2)), {}, [], []),
    ((32, 5, 7), (32, 7, 5), ((1, 2), (2, 1)), {}, [AXES], [AXES]),
    ((32, 100, 64), (32, 64), -1, {}, [], []),
    ((32, 64, 100), (32, 64), 1, {}, [STRIDED], []),
    ((32, 64), (32, 100, 64), -1, {}, [], []),
    ((32, 64), (32, 64, 100), 1, {}, [STRIDED], []),
    ((32, 64), (32, 64, 100), 1, {"dtype": torch.float64}, [STRIDED], []),
    ((32, 64), (32, 64, 100), 1, {"dtype": torch.bfloat16}, [], []),
    ((32, 64, 100), (32, 64), 1, {"dtype": torch.float16}, [], []),
    ((32, 9, 64), (32, 8, 64), 2, {}, [MATRICES], []),
    ((32, 9, 64), (32, 64, 8), (2, 1), {}, [MATRICES], []),
    ((32, 7, 10, 64), (32, 64, 8, 5), (3, 1), {}, [MATRICES], []),
    *(((32, 128), (32, 128), 1, {"dtype": dtype}, [], []) for dtype in FLOATS),
    ((32, 128), (32, 128), 1, {"dtype": torch.complex64}, [DTYPE], [DTYPE]),
    ((32, 128), (32, 128), 1, {"dtype": torch.int32}, [DTYPE], [INTEGERS]),
    ((32, 128), (32, 128), 1, {"device": "meta"}, [DEVICE], [DEVICE]),
]  # fmt: skip


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "options", "product", "cosine"), CHOICES, ids=str)
def test_which_plans_it_takes(x_shape, y_shape, axes, options, product, cosine):
    options = dict(options)
    batch_dims = options.pop("batch_dims", 1)
    x, y = (torch.empty(shape, **options) for shape in (x_shape, y_shape))
    for normalize, reasons in ((False, product), (True, cosine)):
        p = plan(x, y, axes, batch_dims=batch_dims, normalize=normalize)
        assert KERNELS[0].not_supported_reasons(p) == reasons
        assert set(reasons) <= set(KERNELS[0].limitations())
        assert p.kernel == ("aten" if reasons else "native")


class Subclass(torch.Tensor):
    pass


def test_subclasses_and_mixed_dtypes():
    x, y = torch.randn(4, 8), torch.randn(4, 8)
    mine = x.as_subclass(Subclass)
    assert "subclass" in KERNELS[0].not_supported_reasons(plan(mine, y, 1))[0]
    out = batch_dot(mine, y, 1)
    assert isinstance(out, Subclass)
    batch_dot(x, y, 1)  # leaves a plan for tensors of this kind, which is not for the subclass
    assert isinstance(batch_dot(mine, y, 1), Subclass)
    assert torch.equal(batch_dot(torch.nn.Parameter(x, requires_grad=False), y, 1), batch_dot(x, y, 1))
    assert plan(x.half(), y, 1).kernel == "native"
    assert torch.equal(batch_dot(x.half(), y, 1), batch_dot(x.half().float(), y, 1))
    assert KERNELS[0].not_supported_reasons(plan(x.int(), y, 1)) == [INTEGERS]


# --- the last bit -------------------------------------------------------------------------------------


def exact_product(x: list[float], y: list[float]) -> Fraction:
    return sum((Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)), Fraction(0))


def worst_ulps(out, x, y, exact) -> float:
    rows = zip(out.flatten().tolist(), x.double().tolist(), y.double().tolist(), strict=True)
    return max(oracle.ulps(value, exact(a, b), out.dtype) for value, a, b in rows)


def cancelling(n, k):
    """Rows of which halves cancel up to their last digits."""
    x, y = torch.randn(n, k, dtype=torch.float64), torch.randn(n, k, dtype=torch.float64)
    half = k // 2
    x[:, half : 2 * half] = x[:, :half]
    y[:, half : 2 * half] = -y[:, :half] * (1 + 2.0**-7 * torch.randint(-2, 3, (n, half)))
    return x, y


def of_all_scales(n, k):
    return tuple(torch.randn(n, k, dtype=torch.float64).ldexp(torch.randint(-20, 1, (n, k))) for _ in "xy")


ROWS = {
    "normal": lambda n, k: (torch.randn(n, k, dtype=torch.float64), torch.randn(n, k, dtype=torch.float64)),
    "positive": lambda n, k: (torch.rand(n, k, dtype=torch.float64), torch.rand(n, k, dtype=torch.float64)),
    "signs": lambda n, k: tuple(torch.randint(0, 2, (n, k)).double() * 2 - 1 for _ in "xy"),
    "one-hot": lambda n, k: tuple(torch.eye(k, dtype=torch.float64)[torch.randint(k, (n,))] for _ in "xy"),
    "cancelling": cancelling,
    "of all scales": of_all_scales,
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rows_within_051_ulp(dtype, rows):
    for k in (*range(1, 10), 15, 16, 17, 33, 128, 1000):
        x, y = (t.to(dtype) for t in ROWS[rows](20, k))
        assert worst_ulps(batch_dot(x, y, 1), x, y, exact_product) <= 0.51
        assert worst_ulps(batch_dot(x, y, 1, normalize=True), x, y, oracle.exact_cosine) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_exact_where_all_but_the_last_bit_cancels(dtype):
    """One in the last place of what two large products leave behind, as no sum in two doubles has it."""
    large = torch.finfo(dtype).max / 4
    tiny = torch.finfo(dtype).tiny
    for small in (1.0, tiny, tiny / 2):
        x = torch.tensor([[large, small, -large, 0.5, -0.5]], dtype=dtype)
        y = torch.tensor([[large, 1.0, large, large, large]], dtype=dtype)
        assert batch_dot(x, y, 1).item() == x[0, 1].item()
        assert batch_dot(x.flip(1), y.flip(1), 1).item() == x[0, 1].item()
        assert batch_dot(-x, y, 1).item() == -x[0, 1].item()
        x_long, y_long = (torch.nn.functional.pad(t, (0, 15)) for t in (x, y))
        assert (batch_dot(x_long.expand(1, 5, 20), y_long, -1) == x[0, 1]).all()
        many = x_long.expand(9, -1), y_long.expand(9, -1)  # which are computed several at a time
        assert (batch_dot(*many, 1) == x[0, 1]).all()
        for pair in ((x, y), many):
            assert worst_ulps(batch_dot(*pair, 1, normalize=True), *pair, oracle.exact_cosine) <= 0.51


@pytest.mark.parametrize("shape", [(1, 48), (9, 48), (9, 1, 48), (2, 9, 48)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_cosine_of_what_a_sum_in_double_loses(dtype, shape):
    x, y = torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
    for k, value in ((0, 1.0), (16, 2.0**-30), (32, -1.0)):  # one after the other in the same lane
        x[..., k], y[..., k] = value, abs(value)
    out = batch_dot(x, y[:, 0] if len(shape) == 3 else y, -1, normalize=True)
    torch.testing.assert_close(out, torch.full_like(out, 2.0**-61), rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_scale(dtype, normalize):
    """From the smallest normal number to the largest finite one in both inputs, with subnormal results."""
    info = torch.finfo(dtype)
    scales = (info.tiny, info.tiny**0.5, info.tiny**0.5 * info.eps, 1.0, info.max**0.5, info.max)
    for x_scale, y_scale in itertools.product(scales, repeat=2):
        x = ((torch.rand(8, 20, dtype=torch.float64) * 0.9 + 0.1) * x_scale).to(dtype)
        y = ((torch.rand(8, 20, dtype=torch.float64) - 0.4) * y_scale).to(dtype)
        out = batch_dot(x, y, 1, normalize=normalize, epsilon=5e-324)
        if normalize:
            exact = lambda a, b: oracle.exact_cosine(a, b, 5e-324)  # noqa: E731
            assert worst_ulps(out, x, y, exact) <= 0.51
            continue
        for value, a, b in zip(out.flatten().tolist(), x.double().tolist(), y.double().tolist(), strict=True):
            right = exact_product(a, b)
            if abs(right) >= Fraction(info.max):
                assert abs(value) in (float("inf"), info.max)
            else:
                assert oracle.ulps(value, right, dtype) <= 0.51


# Float64 results in units of the smallest subnormal number, as sums of terms.
SUBNORMAL = {
    "rounded twice": (
        2.0**51,
        0.7,
    ),  # to 53 bits it is 2**51 + 0.5, a midpoint: 0.7 ulp where that is rounded
    "rounded twice, negative": (-(2.0**51), -0.7),
    "above a midpoint": (2.0**51, 0.5, 2.0**-40),
    "below a midpoint": (2.0**51 + 1, 0.5, -(2.0**-40)),
    "a midpoint": (2.0**51, 0.5),
    "a midpoint above an odd number": (2.0**51 + 1, 0.5),
    "below the smallest normal number": (2.0**52, -0.5, -(2.0**-40)),
    "above the midpoint below it": (2.0**52, -0.5, 2.0**-40),
    "in the middle of the range": (2.0**30, 0.75, 2.0**-30),
    "half of the smallest": (0.5,),
    "above half of the smallest": (0.5, 2.0**-50),
    "nothing": (2.0**-900,),
    "what is left": (2.0**60, -(2.0**60), 2.0**51, 0.7),
}


@pytest.mark.parametrize("length", [4, 20])
@pytest.mark.parametrize("terms", SUBNORMAL.values(), ids=SUBNORMAL)
def test_subnormal_float64_results_within_051_ulp(terms, length):
    x, y = torch.zeros(2, 1, length, dtype=torch.float64)
    for k, term in enumerate(terms):
        x[0, k], y[0, k] = 2.0**-537, term * 2.0**-537
    out = batch_dot(x, y, 1)
    assert worst_ulps(out, x, y, exact_product) <= 0.51
    assert torch.equal(batch_dot(x[:, None].expand(1, 3, length), y, -1), out.expand(1, 3))
    # A floor of 2**1000 on both squared norms makes a cosine as small.
    x *= 2.0**1000
    cosine = batch_dot(x, y, 1, normalize=True, epsilon=2.0**1000)
    assert worst_ulps(cosine, x, y, lambda a, b: exact_product(a, b) / Fraction(2) ** 1000) <= 0.51


@pytest.mark.parametrize("axes", [1, 2], ids=["rows", "matrices"])
@pytest.mark.parametrize("exponent", [-530, -536, -537.4, -537.6, -540, -600], ids=str)
def test_cosine_of_squares_below_the_smallest_float64(exponent, axes):
    """A squared norm that rounds to 0, or up to the floor, is compared with the floor as it is."""
    x = torch.tensor([2.0**exponent, 0.0, 0.0], dtype=torch.float64).expand(1, 2, 3)
    y = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64).expand(1, 2, 3)
    if axes == 1:
        x, y = x[:, 0], y[:, 0]
    out = batch_dot(x, y, axes, normalize=True, epsilon=5e-324)
    exact = lambda a, b: oracle.exact_cosine(a, b, 5e-324)  # noqa: E731
    pairs = (t.reshape(-1, 3)[:1].expand(out.numel(), 3) for t in (x, y))
    assert worst_ulps(out, *pairs, exact) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_what_is_not_finite(dtype):
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[inf, 1], [inf, 1], [nan, 1], [inf, inf], [1, 1], [-inf, 0]], dtype=dtype)
    y = torch.tensor([[1, 1], [0, 1], [1, 1], [1, -1], [1, nan], [1, 1]], dtype=dtype)
    right = torch.tensor([[inf], [nan], [nan], [nan], [nan], [-inf]], dtype=dtype)
    torch.testing.assert_close(batch_dot(x, y, 1), right, equal_nan=True)
    assert batch_dot(x, y, 1, normalize=True).isnan().all()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rows_that_share_one_within_051_ulp(dtype, rows):
    for k in (1, 2, 5, 8, 12, 16, 33, 65):
        x, y = (t.to(dtype) for t in ROWS[rows](36, k))
        x, y = x.reshape(4, 9, k), y[:4]
        pairs = x.reshape(36, k), y.repeat_interleave(9, 0)
        out = batch_dot(x, y, -1)
        assert worst_ulps(out, *pairs, exact_product) <= 0.51
        assert torch.equal(out, batch_dot(y, x, -1))
        assert worst_ulps(batch_dot(x, y, -1, normalize=True), *pairs, oracle.exact_cosine) <= 0.51


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_what_is_not_finite_stays_in_its_row(dtype, value):
    for k in (5, 16, 33):
        x, y = torch.rand(2, 7, k).to(dtype), torch.rand(2, k).to(dtype)
        right = batch_dot(x, y, -1)
        for element in (0, k - 1):
            spoilt = x.clone()
            spoilt[1, 2, element] = value
            right[1, 2] = value
            torch.testing.assert_close(batch_dot(spoilt, y, -1), right, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("apart", [False, True], ids=["packed", "apart"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cosine_matrices_of_every_scale(dtype, apart):
    """Rows of zeros and of every scale beside each other, beyond what products of matrices can hold."""
    info = torch.finfo(dtype)
    scales = [0.0, info.tiny, info.tiny**0.5, 1.0, 20.0, 200.0, info.max**0.5, info.max]
    for samples, k in ((1, 3), (3, 20), (2, 40)):
        x, y = torch.rand(2, samples, 8, k, dtype=torch.float64) * 0.9 + 0.1
        x, y = (
            (t * torch.tensor(scales, dtype=torch.float64)[:, None]).to(dtype)
            for t in (x, y - 2 * y * (y < 0.5))
        )
        if apart:
            x, y = x.repeat_interleave(2, -1)[..., ::2], y.mT.contiguous().mT
        out = batch_dot(x, y, 2, normalize=True, epsilon=5e-324)
        assert out.abs().max() <= 1
        pairs = (t.expand(samples, 8, 8, k).reshape(-1, k) for t in (x[:, :, None], y[:, None]))
        rows = zip(out.double().flatten().tolist(), *(t.double().tolist() for t in pairs), strict=True)
        for value, a, b in rows:
            assert abs(value - oracle.exact_cosine(a, b, 5e-324)) <= 4 * info.eps


def test_cosine_matrices_of_what_is_not_finite():
    x, y = torch.rand(2, 3, 8), torch.rand(2, 5, 8)
    right = batch_dot(x, y, 2, normalize=True)
    x[1, 2, 7], y[0, 4, 0] = float("inf"), float("nan")
    right[1, 2], right[0, :, 4] = float("nan"), float("nan")
    torch.testing.assert_close(batch_dot(x, y, 2, normalize=True), right, rtol=0, atol=0, equal_nan=True)


# --- the same bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_threads_batches_and_strides_change_no_bit(dtype, normalize):
    for k in (2, 3, 8, 9, 15, 64, 20_000):
        x, y = (torch.randn(700 if k < 1000 else 9, k).to(dtype) for _ in "xy")
        out = batch_dot(x, y, 1, normalize=normalize)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            assert torch.equal(batch_dot(x, y, 1, normalize=normalize), out)
        finally:
            torch.set_num_threads(threads)
        parts = [batch_dot(a, b, 1, normalize=normalize) for a, b in zip(x.split(5), y.split(5), strict=True)]
        assert torch.equal(torch.cat(parts), out)
        apart = torch.zeros(len(x), 3, k, dtype=dtype)
        apart[:, 1] = x
        assert torch.equal(batch_dot(apart[:, 1], y, 1, normalize=normalize), out)
        assert torch.equal(batch_dot(x.T.contiguous().T, y, 1, normalize=normalize), out)
        assert torch.equal(batch_dot(x, y.repeat_interleave(2, 1)[:, ::2], 1, normalize=normalize), out)


def with_gaps(rows):
    """The same rows packed, and with gaps between them."""
    return rows, torch.nn.functional.pad(rows, (0, 3))[..., :-3]


def in_places(rows):
    """The same, and with gaps between their elements."""
    return *with_gaps(rows), rows.repeat_interleave(2, -1)[..., ::2]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rows_that_share_one_have_the_bits_of_pairs(dtype, normalize):
    """Threads part 3,003 rows where no group ends."""
    for k in (2, 8, 15, 16, 33, 64, 200):
        x, y = torch.randn(429, 7, k).to(dtype), torch.randn(429, k).to(dtype)
        right = batch_dot(x.flatten(0, 1), y.repeat_interleave(7, 0), 1, normalize=normalize).view(429, 7)
        for rows, shared in itertools.product(with_gaps(x), in_places(y)):
            assert torch.equal(batch_dot(rows, shared, -1, normalize=normalize), right)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_columns_of_a_matrix_have_the_bits_of_rows(dtype):
    """(B, K, J), (B, K) is contracted where it lies; its transpose has packed rows."""
    for k, j in itertools.product((1, 5, 15, 16, 33, 200), (2, 7, 8, 9, 20)):
        x, y = torch.randn(6, k, j).to(dtype).requires_grad_(), torch.randn(6, k).to(dtype).requires_grad_()
        rows = x.detach().mT.contiguous().requires_grad_()
        out, right = batch_dot(x, y, 1), batch_dot(rows, y, -1)
        assert torch.equal(out, right)
        assert torch.equal(batch_dot(y, x, 1), right)
        weights = torch.randn(6, j).to(dtype)
        of_x, of_y = torch.autograd.grad(out, (x, y), weights)
        of_rows, of_shared = torch.autograd.grad(right, (rows, y), weights)
        assert torch.equal(of_x, of_rows.mT)
        exact = torch.einsum("bkj,bj->bk", x.double(), weights.double())
        for got in (of_y, of_shared):
            torch.testing.assert_close(got.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7)


BIT = 1.5 * 2.0**-25  # lost where it is added to 1 in float32; two of them together are not
LOST = {  # four products that one lane of float32 adds, and their sum in bfloat16
    "above a midpoint": ((1, 2.0**-8, BIT, BIT), 1 + 2.0**-7),
    "below a midpoint": ((1 + 2.0**-7, 2.0**-8, -BIT, -BIT), 1 + 2.0**-7),
    "a midpoint": ((1 + 2.0**-7, 2.0**-8, 0, 0), 1 + 2.0**-6),
    "a part that cancels": ((2.0**40, 1, -(2.0**40), 0), 1.0),
    "all of it cancels": ((2.0**40, 1, -(2.0**40), -1), 0.0),
    "beyond float32 on the way": ((2.0**127, 2.0**127, -(2.0**127), 0), 2.0**127),
    "beyond float32": ((2.0**127, 2.0**127, 0, 0), float("inf")),
    "the smallest number": ((2.0**-133, 0, 0, 0), 2.0**-133),
    "nothing": ((0, 0, 0, 0), 0.0),
}


def in_layout(x, y, layout):
    """Products of (B, J, K) with (B, K), computed as pairs of rows, or as rows or columns that share one."""
    if layout == "pairs":
        return batch_dot(x.flatten(0, 1), y.repeat_interleave(x.shape[1], 0), 1).view(x.shape[:2])
    return batch_dot(x.mT.contiguous(), y, 1) if layout == "columns" else batch_dot(x, y, -1)


LAYOUTS = ("pairs", "rows", "columns")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("terms", "right"), LOST.values(), ids=LOST)
def test_what_a_sum_in_float32_loses(terms, right, sign, layout):
    """Two rows of many, the second beside rows that are multiplied with tiny ones."""
    places, lost = [0, 1, 2, 3] if layout == "columns" else [0, 16, 32, 48], [3, 36]
    for k in (64, 200):
        x, y = torch.randn(2, 37, k).bfloat16(), torch.randn(2, k).bfloat16()
        y[0, places] = sign
        y[1] *= 2.0**-60
        for row in lost:
            x[0, row] = 0
            x[0, row, places] = torch.tensor(terms).bfloat16()
        out = in_layout(x, y, layout)
        assert out[0, lost].tolist() == [sign * right] * 2
        others = [row for row in range(2 * 37) if row not in lost]
        pairs = x.flatten(0, 1)[others], y.repeat_interleave(37, 0)[others]
        assert worst_ulps(out.flatten()[others], *pairs, exact_product) <= 0.51


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_many_scales_beside_each_other(layout):
    """The largest decides what float32 may be trusted with."""
    for k in (32, 65, 1000):
        scales = torch.exp2(torch.randint(-60, 60, (3, 37, 1)))
        x, y = (torch.randn(3, 37, k) * scales).bfloat16(), torch.randn(3, k).bfloat16()
        out = in_layout(x, y, layout)
        assert worst_ulps(out, x.flatten(0, 1), y.repeat_interleave(37, 0), exact_product) <= 0.51


def distances_to_midpoints(values):
    """Of float64, to the nearest number halfway between two of bfloat16, in ulps of those."""
    in_ulps = values / torch.exp2(torch.floor(torch.log2(values)) - 7)
    return (in_ulps - torch.floor(in_ulps) - 0.5).abs()


def test_cosines_next_to_midpoints():
    """Sums in float32 of two numbers, and of squares 2**-16 of theirs, are off by enough to cross them."""
    a, b, c, d = (1 + torch.randint(128, (4, 2_000_000)).double() / 128).unbind()
    x, y = torch.stack((torch.ones_like(a), a / 256, 0 * a), 1), torch.stack((b, c / 256, d), 1)
    near = distances_to_midpoints((x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))).argsort()[:200]
    for k in (64, 200):
        places = torch.tensor([0, 16, 32])
        rows = [torch.zeros(200, k).index_copy(1, places, t[near].float()).bfloat16() for t in (x, y)]
        out = batch_dot(*rows, 1, normalize=True)
        assert worst_ulps(out, *rows, oracle.exact_cosine) <= 0.5 + 2.0**-17 + 1e-9
        apart = rows[0].T.contiguous().T
        assert torch.equal(batch_dot(apart, rows[1], 1, normalize=True), out)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-40, 5e-324])
def test_cosines_of_squares_that_float32_cannot_hold(epsilon):
    """Rows of 2**-80 and 2**80, of zeros, and what is not finite, beside ordinary ones."""
    for k in (32, 128, 333):
        scales = torch.tensor([1, 2.0**-80, 2.0**-70, 2.0**-52, 2.0**-48, 2.0**62, 2.0**80, 2.0**120, 0])
        pairs = torch.cartesian_prod(scales, scales)
        x, y = ((torch.randn(81, k) * pairs[:, i : i + 1]).bfloat16() for i in range(2))
        out = batch_dot(x, y, 1, normalize=True, epsilon=epsilon)
        assert worst_ulps(out, x, y, lambda *rows: oracle.exact_cosine(*rows, epsilon)) <= 0.51
        right = out.clone()
        for row, value in ((0, torch.inf), (40, torch.nan), (80, -torch.inf)):
            x[row, k - 1], right[row] = value, torch.nan
        out = batch_dot(x, y, 1, normalize=True, epsilon=epsilon)
        torch.testing.assert_close(out, right, rtol=0, atol=0, equal_nan=True)


def test_products_beyond_float32_of_a_sum_that_is_not():
    """bfloat16 has float32's exponents, so products that are summed in float64 may overflow in float32."""
    for k in (3, 8, 12, 16, 40):
        x, y = torch.zeros(20, k), torch.zeros(20, k)
        x[:, 0], y[:, 0], x[:, 1], y[:, 1] = 2.0**64, 2.0**64, -(2.0**64), 2.0**64 - 2.0**57
        x, y = x.bfloat16(), y.bfloat16()
        assert torch.equal(batch_dot(x, y, 1), torch.full((20, 1), 2.0**121, dtype=torch.bfloat16))


def test_products_below_float32():
    """Of 2**-140, which bfloat16 rounds to 0: enough of them make its smallest number."""
    for k in (8, 100, 128, 129, 1000):
        x = torch.full((20, k), 2.0**-70, dtype=torch.bfloat16)
        exact = torch.full((20, 1), k * 2.0**-140, dtype=torch.float64).bfloat16()
        assert torch.equal(batch_dot(x, x, 1), exact)
        assert torch.equal(batch_dot(x[None], x[:1], -1), exact.T)
        assert torch.equal(batch_dot(x.T.contiguous()[None], x[:1], 1), exact.T)
        assert not batch_dot(x * 2.0**-10, x * 2.0**-10, 1).any()
        assert not batch_dot(x * 0, x, 1).any()


BITS = """
import hashlib, torch
from batchdot import batch_dot
from batchdot.kernels.cpu import library
torch.manual_seed(0)
digest = hashlib.sha256()
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    for k in (1, 2, 4, 7, 8, 13, 16, 100, 9000):
        x = (torch.randn(40, k, dtype=torch.float64) * torch.exp2(torch.randint(-9, 9, (40, k)))).to(dtype)
        y = (torch.randn(40, k, dtype=torch.float64)).to(dtype)
        x.requires_grad_(), y.requires_grad_()
        for normalize in (False, True):
            out = batch_dot(x, y, 1, normalize=normalize)
            shared = batch_dot(x.reshape(4, 10, k), y[:4], -1, normalize=normalize)
            matrix = batch_dot(x[None], y[None], 2, normalize=True) if k < 200 else out
            gradients = torch.autograd.grad(out.sum() + shared.sum() + matrix.sum(), (x, y))
            columns = batch_dot(x.detach().reshape(4, 10, k).mT.contiguous(), y[:4].detach(), 1)
            for tensor in (out, shared, columns, *gradients):
                digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
# The rounding error of a product of doubles is one instruction, or several that overflow from 2**996 on and
# underflow below 2**-960. What is left of the first sum is a midpoint but for 2**-70.
terms = torch.tensor([2.0**40, 2.0**-13, -(2.0**40), 1 - 2.0**-13, 2.0**-53, 2.0**-70], dtype=torch.float64)
small = torch.randn(40, 50, dtype=torch.float64) * 2.0 ** torch.randint(-1000, -400, (40, 50))
for x, y in (
    (torch.full((1, 6), 2.0**1000, dtype=torch.float64), terms[None] * 2.0**-1000),
    (small, torch.randn(40, 50, dtype=torch.float64) * 2.0 ** torch.randint(-500, -400, (40, 50))),
):
    digest.update(batch_dot(x, y, 1).numpy().tobytes())
print(library.instructions(), digest.hexdigest())
"""


def start_thread(x, y, axes, **options):
    return select_kernel(batch_dot_operation(axes, **options).lower(x, y)).single_threaded


def woken_by_a_product(start):
    """Count the threads that are there after a large product and were not before."""
    x = torch.ones(65536, 16)
    with ThreadPoolExecutor(1, initializer=start) as pool:
        before = pool.submit(os.listdir, "/proc/self/task").result()
        pool.submit(batch_dot, x, x, 1).result()
        return len(set(pool.submit(os.listdir, "/proc/self/task").result()) - set(before))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
def test_a_thread_computes_alone_that_says_so_and_no_other():
    alone, threads = start_thread(torch.ones(8, 16), torch.ones(8, 16), 1), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert woken_by_a_product(alone) == 0
        assert woken_by_a_product(None) == 1
    finally:
        torch.set_num_threads(threads)


# Not what operators of torch copy, multiply or sum: those wake threads.
ALONE = {
    "rows": ((8, 16), (8, 16), 1, {}, True),
    "cosines of rows": ((8, 16), (8, 16), 1, {"normalize": True}, True),
    "matrix and vector": ((8, 5, 16), (8, 16), -1, {}, True),
    "matrices": ((8, 5, 16), (8, 4, 16), -1, {}, False),
    "cosines of matrices": ((8, 5, 16), (8, 4, 16), -1, {"normalize": True}, False),
    "several axes": ((8, 5, 16), (8, 16, 5), ((1, 2), (2, 1)), {"normalize": True}, False),
}


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "options", "alone"), ALONE.values(), ids=ALONE)
def test_what_threads_run_alone(x_shape, y_shape, axes, options, alone):
    x, y = torch.ones(x_shape), torch.ones(y_shape)
    assert (start_thread(x, y, axes, **options) is not None) == alone
    assert start_thread(x, y.double(), axes, **options) is None


def test_instruction_sets_change_no_bit():
    """Each that this machine has, in a process of its own, for the choice is made once."""
    found = {}
    for name in ("baseline", "avx2", "avx512"):
        used, digest = run_python(BITS, BATCHDOT_INSTRUCTIONS=name).split()
        found[used] = digest
    assert "baseline" in found
    assert len(set(found.values())) == 1, found


# --- derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes", [((6, 40), (6, 40)), ((3, 5, 40), (3, 40)), ((3, 5, 40), (3, 7, 40))], ids=str
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_within_4_eps(dtype, shapes):
    """Against ATen's in float64, in eps of the largest gradient of the row."""
    x, y = (torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes)
    out = batch_dot(x, y, -1, normalize=True)
    weights = torch.randn_like(out)
    wide = [t.detach().double().requires_grad_() for t in (x, y)]
    units = [t / t.norm(dim=-1, keepdim=True) for t in wide]
    right = torch.einsum(
        *{2: ("bk,bk->b",), 3: ("bik,bk->bi" if y.ndim == 2 else "bik,bjk->bij",)}[x.ndim], *units
    )
    expected = torch.autograd.grad(right, wide, weights.double().reshape(right.shape))
    # A matrix product rounds the unit vectors and the gradients that come to them.
    most = 4 if out.ndim < 3 else 16
    for got, exact in zip(torch.autograd.grad(out, (x, y), weights), expected, strict=True):
        scale = exact.abs().amax(-1, keepdim=True)
        assert ((got - exact).abs() <= most * torch.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("shared", [False, True], ids=["pairs", "shared"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_gradients_of_cosines_of_every_scale(dtype, shared):
    """Of rows and weights, zeros among them: within half an ulp, and 1/64 eps of the terms."""
    info = torch.finfo(dtype)
    scales = torch.tensor(
        [0.0, info.tiny / 8, info.tiny, 0.1, 20.0, 2.0**9, info.max**0.5, info.max / 2]
    ).double()
    of_x, of_y, of_weights = torch.cartesian_prod(scales, scales, scales).T[..., None]
    for k in (3, 20, 32, 77):
        x, y = torch.rand(2, 512, 1 + 2 * shared, k).double() - 0.4
        x, y = (x * of_x[..., None]).to(dtype), (y[:, :1] * of_y[..., None]).to(dtype)
        weights = ((torch.rand(512, 1 + 2 * shared).double() - 0.5) * of_weights).to(dtype)
        x, y = x.requires_grad_(), (y[:, 0] if shared else y).requires_grad_()
        out = batch_dot(x, y, -1, **{"batch_dims": 2} if not shared else {}, normalize=True, epsilon=5e-324)
        found = torch.autograd.grad(out, (x, y), weights.reshape(out.shape))
        y, of_shared = y.reshape(512, 1, k), found[1].double()
        (a, b), g = (t.detach().double() for t in (x, y)), weights.double()[..., None]
        x_norm, y_norm = (t.square().sum(-1, True).clamp(5e-324).sqrt() for t in (a, b))
        units = a / x_norm, b / y_norm
        cosine = (units[0] * units[1]).sum(-1, True)
        for gradient, (u, v), norm in zip(
            (found[0].double(), of_shared), (units, units[::-1]), (x_norm, y_norm), strict=True
        ):
            exact, terms = (v - cosine * u) * (g / norm), (v.abs() + u.abs()) * (g / norm).abs()
            if shared and gradient is of_shared:
                exact, terms = exact.sum(1), terms.sum(1)
            error = (gradient - exact.clamp(-info.max, info.max)).abs()
            most = (
                info.eps * (0.5 * exact.abs() + terms / 64).clamp(max=info.max)
                + info.smallest_normal * info.eps
            )
            assert (error.reshape(most.shape) <= most).all()


@pytest.mark.parametrize("apart", [False, True], ids=["packed", "apart"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_of_cosine_matrices_of_every_scale(dtype, apart):
    """Rows of zeros and of every scale beside each other: against the formula in float64."""
    info = torch.finfo(dtype)
    ends = (2.0**-400, 2.0**400) if dtype == torch.float64 else (info.tiny / 8, info.max / 2)
    scales = [0.0, ends[0], ends[0] ** 0.5, 0.1, 1.0, 20.0, ends[1] ** 0.5, ends[1]]
    factors = torch.tensor(scales, dtype=torch.float64)[:, None]
    for k in (3, 20, 40):
        x, y = (((torch.rand(1, 8, k).double() - 0.4) * factors).to(dtype) for _ in "xy")
        if apart:
            x, y = x.repeat_interleave(2, -1)[..., ::2], y.mT.contiguous().mT
        weights = torch.randn(1, 8, 8, dtype=torch.float64).to(dtype)
        out = batch_dot(x.requires_grad_(), y.requires_grad_(), 2, normalize=True, epsilon=5e-324)
        found = torch.autograd.grad(out, (x, y), weights)
        norms = [t.detach().double().square().sum(-1, True).clamp(5e-324).sqrt() for t in (x, y)]
        units = [t.detach().double() / norm for t, norm in zip((x, y), norms, strict=True)]
        sides = zip(found, (weights.double(), weights.mT.double()), units, units[::-1], norms, strict=True)
        for gradient, weight, unit, other, norm in sides:
            arrived = weight @ other
            exact = (arrived - (arrived * unit).sum(-1, True) * unit) / norm
            terms = (weight.abs().sum(-1, True) / norm).clamp(max=info.max)
            error = (gradient.double() - exact.clamp(-info.max, info.max)).abs()
            assert (error <= 16 * info.eps * terms + info.tiny * info.eps).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_of_products_are_rounded_to_nearest(dtype):
    """One product each, which float32 holds exactly for 16-bit types, ties among them."""
    for k in (5, 16, 40):
        x, y = (torch.randn(200, k, dtype=torch.float64).to(dtype).requires_grad_() for _ in "xy")
        weights = torch.randn(200, 1, dtype=torch.float64).to(dtype)
        for got, other in zip(torch.autograd.grad(batch_dot(x, y, 1), (x, y), weights), (y, x), strict=True):
            assert torch.equal(got, weights * other.detach())


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    "shapes",
    [((6, 40), (6, 40), 1), ((5, 7, 40), (5, 40), -1), ((5, 40, 7), (5, 40), 1), ((4, 9, 8), (4, 6, 8), 2)],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_that_are_expanded_or_apart(dtype, shapes, normalize):
    """The gradient of a sum is one number with strides of 0; others may have gaps."""
    x, y = (torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes[:2])
    out = batch_dot(x, y, shapes[2], normalize=normalize)
    apart = torch.randn(*out.shape, 3, dtype=torch.float64).to(dtype)[..., 1]
    for gradient in (torch.ones((), dtype=dtype).expand(out.shape), apart, apart[:1].expand(out.shape)):
        got = torch.autograd.grad(out, (x, y), gradient, retain_graph=True)
        right = torch.autograd.grad(out, (x, y), gradient.contiguous(), retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(got, right, strict=True))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_batches_and_strides_change_no_bit_of_a_gradient(dtype, normalize):
    """Rows of many scales, which gradients of cosines are formed for in two ways."""

    def gradients(x, y, weights):
        x, y = (t.detach().requires_grad_() for t in (x, y))
        return torch.autograd.grad(batch_dot(x, y, -1, normalize=normalize), (x, y), weights)

    for k in (2, 15, 16, 33, 77):
        x, y, weights = (
            (torch.randn(60, *shape) * torch.exp2(torch.randint(-12, 12, (60, *shape[:-1], 1)))).to(dtype)
            for shape in ((7, k), (k,), (7,))
        )
        of_x, of_y = gradients(x, y, weights)
        for rows, shared in itertools.product(with_gaps(x), in_places(y)):
            assert all(map(torch.equal, gradients(rows, shared, weights), (of_x, of_y)))
        parts = [gradients(x[i : i + 7], y[i : i + 7], weights[i : i + 7]) for i in range(0, 60, 7)]
        assert all(map(torch.equal, map(torch.cat, zip(*parts, strict=True)), (of_x, of_y)))
        pairs = x.flatten(0, 1), y.repeat_interleave(7, 0)
        assert torch.equal(gradients(*pairs, weights.view(-1, 1))[0], of_x.flatten(0, 1))


@pytest.mark.parametrize("normalize", [False, True])
def test_a_gradient_changes_no_bit_of_the_value(normalize):
    x, y = torch.randn(50, 20), torch.randn(50, 20)
    value = batch_dot(x, y, 1, normalize=normalize)
    assert torch.equal(batch_dot(x.requires_grad_(), y, 1, normalize=normalize), value)


def test_no_gradient_that_nobody_asked_for():
    x, y = torch.randn(4, 8), torch.randn(4, 8, requires_grad=True)
    of_x, of_y = torch.ops.batchdot.row_cosine_backward(torch.ones(4, 1), x, y, 1e-12, False, True)
    assert (of_x.numel(), of_y.shape) == (0, (4, 8))
    (gradient,) = torch.autograd.grad(batch_dot(x, y, 1, normalize=True).sum(), y)
    assert torch.equal(gradient, of_y)


@pytest.mark.parametrize(
    "shapes", [((4, 1, 8), (4, 0, 8)), ((4, 0, 8), (4, 8)), ((0, 3, 8), (0, 8)), ((4, 3, 0), (4, 0))]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_of_nothing_are_zero(shapes, normalize):
    x, y = (torch.randn(shape, requires_grad=True) for shape in shapes)
    for order in ((x, y), (y, x)):
        out = batch_dot(*order, -1, normalize=normalize).sum()
        assert not any(gradient.any() for gradient in torch.autograd.grad(out, (x, y)))


def test_the_same_tensor_twice():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    for normalize in (False, True):
        for order in (False, True):
            (first,) = torch.autograd.grad(
                batch_dot(x, x, 1, normalize=normalize).sum(), x, create_graph=order
            )
            right = torch.zeros_like(x) if normalize else 2 * x
            torch.testing.assert_close(first, right, rtol=0, atol=1e-15)


def test_memory_is_the_output_and_no_more():
    x, y = torch.randn(5000, 128), torch.randn(5000, 128)
    matrix, vector = torch.randn(50, 100, 128), torch.randn(50, 128)
    calls = [
        (lambda normalize=normalize, a=a, b=b: batch_dot(a, b, -1, normalize=normalize))
        for normalize in (False, True)
        for a, b in ((x, y), (matrix, vector))
    ]
    for call in calls:
        call()
        with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
            out = call()
        allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
        assert allocated == out.nbytes


# --- the operators as torch's ---------------------------------------------------------------------------


def samples(name):
    """Arguments of an operator: usual, empty, of size 1, strided, shared, with and without gradients."""
    shapes = [((4, 9), (4, 9)), ((0, 9), (0, 9)), ((4, 0), (4, 0)), ((1, 1), (1, 1)), ((5,), (5,))]
    shapes += [((2, 3, 8), (2, 1, 8)), ((2, 3, 8), (2, 3, 8)), ((2, 4, 3, 8), (2, 4, 1, 8)), ((3, 8), (1, 8))]
    for (x_shape, y_shape), dtype, strided in itertools.product(
        shapes, (torch.float32, torch.float64), (False, True)
    ):
        x, y = torch.randn(x_shape, dtype=dtype), torch.randn(y_shape, dtype=dtype)
        if strided:
            x, y = x.repeat_interleave(2, -1)[..., ::2], y.mT.contiguous().mT if y.ndim > 1 else y
        for x_grad, y_grad in ((False, False), (True, False), (True, True)):
            tensors = (x.detach().requires_grad_(x_grad), y.detach().requires_grad_(y_grad))
            if name == "row_product":
                yield (*tensors, x_grad)
            elif name == "row_cosine":
                yield (*tensors, 1e-12, y_grad)
            elif name == "row_product_backward":
                yield (torch.randn(x_shape[:-1], dtype=dtype), x, y, x_grad, y_grad)
            elif name == "row_cosine_backward":
                yield (torch.randn(x_shape[:-1], dtype=dtype), x, y, 1e-12, x_grad, y_grad)
            elif x.ndim in (2, 3):
                if name == "cosine_matrix":
                    yield (*tensors, 1e-12)
                else:
                    gradient = torch.randn((*x_shape[:-1], y_shape[-2]), dtype=dtype)
                    yield (gradient, x, y, 1e-12, x_grad, y_grad)


@pytest.mark.parametrize("name", operators.MULTIPLY_ADDS)
def test_opcheck(name):
    count = 0
    backward = name.endswith("backward")
    tests = (
        ("test_schema", "test_faketensor")
        if backward
        else ("test_schema", "test_autograd_registration", "test_faketensor")
    )
    for number, arguments in enumerate(samples(name)):
        # Tracing with symbolic sizes takes a second each.
        every = tests if backward or number % 9 else (*tests, "test_aot_dispatch_dynamic")
        opcheck(getattr(torch.ops.batchdot, name).default, arguments, test_utils=every)
        count += 1
    assert count >= 30


def test_vmap_of_the_operators():
    x, y = torch.randn(5, 4, 9), torch.randn(4, 5, 9)
    product, cosine, matrix = (
        getattr(torch.ops.batchdot, n) for n in ("row_product", "row_cosine", "cosine_matrix")
    )
    for in_dims in ((0, 1), (0, None), (None, 1)):
        a = x if in_dims[0] is not None else x[0]
        b = y if in_dims[1] is not None else y[:, 0]
        loop = [(a[i] if a.ndim == 3 else a, b[:, i] if b.ndim == 3 else b) for i in range(5)]
        got = torch.vmap(lambda a, b: product(a, b, True), in_dims)(a, b)
        assert torch.equal(got, torch.stack([product(p, q, True) for p, q in loop]))
        got = torch.vmap(lambda a, b: cosine(a, b, 1e-12, False), in_dims)(a, b)
        assert torch.equal(got, torch.stack([cosine(p, q, 1e-12, False) for p, q in loop]))
        got = torch.vmap(lambda a, b: matrix(a, b, 1e-12), in_dims)(a, b)
        torch.testing.assert_close(got, torch.stack([matrix(p, q, 1e-12) for p, q in loop]))
    both = torch.randn(2, 3, 4, 9), torch.randn(2, 3, 5, 9)
    got = torch.vmap(lambda a, b: matrix(a, b, 1e-12))(*both)
    torch.testing.assert_close(got, torch.stack([matrix(p, q, 1e-12) for p, q in zip(*both, strict=True)]))


def test_flops_are_counted():
    x, y = torch.randn(4, 9), torch.randn(4, 9)
    with FlopCounterMode(display=False) as counter:
        batch_dot(x, y, 1)
    assert counter.get_total_flops() == 2 * 36
    with FlopCounterMode(display=False) as counter:
        batch_dot(x.requires_grad_(), y, 1, normalize=True)
    assert counter.get_total_flops() == 6 * 36


# --- as it is installed -------------------------------------------------------------------------------


def test_turned_off(monkeypatch):
    code = (
        "from batchdot.kernels import AVAILABLE, KERNELS; "
        "print(KERNELS[0].unavailable_reasons(), [kernel.name for kernel in AVAILABLE])"
    )
    out = run_python(code, BATCHDOT_KERNELS="aten").strip()
    assert out == "['turned off by BATCHDOT_KERNELS=aten'] ['aten']"
    for names in ("native,aten", ""):
        monkeypatch.setenv("BATCHDOT_KERNELS", names)
        assert library.unavailable_reasons.__wrapped__() == []


def test_missing_broken_or_of_another_version(tmp_path, monkeypatch):
    def reasons(path):
        monkeypatch.setattr(library, "LIBRARY", path)
        return library.unavailable_reasons.__wrapped__()

    built = library.LIBRARY
    assert "not built" in reasons(tmp_path / "missing.so")[0]
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    assert "not loaded" in reasons(broken)[0]
    monkeypatch.setattr(library, "CDLL", lambda path: object())  # without the functions of this version
    assert "another version" in reasons(built)[0]
