"""Selection of a kernel; integer matrix products and double-double arithmetic in ATen."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from tests.support import oracle
from tests.support.cases import values

from batchdot.kernels import KERNELS, select_kernel
from batchdot.kernels.aten import double_double, kernel
from batchdot.ops.functional import plan
from batchdot.planning.plan import Executable


def test_aten_is_last_and_supports_every_plan():
    assert KERNELS[-1].name == "aten"
    assert KERNELS[-1].unavailable_reasons() == []
    assert KERNELS[-1].not_supported_reasons(plan(torch.ones(2, 3), torch.ones(2, 3), 1)) == []


def test_select_kernel_takes_the_first_without_a_reason(monkeypatch):
    class Unsupporting:
        name = "unsupporting"

        def not_supported_reasons(self, plan):
            return ["it is a test"]

    class Supporting(Unsupporting):
        name = "supporting"

        def not_supported_reasons(self, plan):
            return []

        def build(self, plan):
            return Executable(replace(plan, kernel=self.name), lambda x, y: "ran")

    p = plan(torch.ones(2, 3), torch.ones(2, 3), 1)
    monkeypatch.setattr("batchdot.kernels.AVAILABLE", (Unsupporting(), Supporting(), *KERNELS))
    chosen = select_kernel(p)
    assert (chosen.plan.kernel, chosen.run(None, None)) == ("supporting", "ran")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("shape", [(4, 5, 6), (0, 5, 6), (4, 0, 6), (4, 5, 0), (60, 9, 70)], ids=str)
def test_integer_matmul_equals_torch(shape, dtype, monkeypatch):
    monkeypatch.setattr(kernel, "block_bytes", lambda device: 1 << 16)
    i, k, j = shape
    left, right = values((3, i, k), dtype), values((3, k, j), dtype)
    narrow = [kernel._narrow_integer_matmul] if dtype.itemsize <= 2 else []
    for multiply in [kernel._integer_matmul, *narrow]:
        out = multiply(left, right)
        assert out.dtype == dtype
        assert torch.equal(out, torch.bmm(left, right))
        assert torch.equal(multiply(left[0], right[0]), torch.mm(left[0], right[0]))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.uint16], ids=str)
def test_sums_of_narrow_integers_wrap(dtype):
    """The largest sums that float64 is trusted with, of the largest products."""
    info, k = torch.iinfo(dtype), (1 << 21) - 1
    left, right = torch.full((1, k), info.max), torch.full((k, 1), info.min or info.max)
    exact = k * info.max * (info.min or info.max)
    out = kernel._narrow_integer_matmul(left.to(dtype), right.to(dtype))
    assert out.item() == oracle.wrap(exact, dtype)


@pytest.mark.parametrize("k", [1, 2, 33, 5000])
def test_double_double_dot_error(k):
    """Sums that cancel, of terms of all magnitudes: exact to K² u² of the sum of absolute values."""
    x = torch.randn(20, k, dtype=torch.float64) * 10.0 ** torch.randint(-20, 20, (20, k))
    y = torch.randn(20, k, dtype=torch.float64)
    x[:, k // 2 :], y[:, k // 2 :] = x[:, : k - k // 2], -y[:, : k - k // 2]  # all but a few terms cancel
    x[:, 0] += 1e-9
    high, low = double_double._dot(x, y, (1,))
    for i in range(20):
        terms = [Fraction(a) * Fraction(b) for a, b in zip(x[i].tolist(), y[i].tolist(), strict=True)]
        error = abs(Fraction(high[i].item()) + Fraction(low[i].item()) - sum(terms))
        assert error <= sum(map(abs, terms)) * k * k / 2**106
        assert abs(low[i]) <= torch.finfo(torch.float64).eps * abs(high[i])


def test_double_double_division_by_a_root():
    """Of numbers of twice float64's digits, to nearly as many."""
    a, square = ((torch.rand(100, dtype=torch.float64) + 0.5) * 4.0 ** torch.arange(-50, 50) for _ in "xy")
    low, square_low = ((torch.rand(100, dtype=torch.float64) - 0.5) * 2**-53 * t for t in (a, square))
    quotient, rest = double_double._divide_by_root((a, low), (square, square_low))
    for parts in zip(*(t.tolist() for t in (quotient, rest, a, low, square, square_low)), strict=True):
        value, numerator, denominator = (sum(map(Fraction, parts[i : i + 2])) for i in (0, 2, 4))
        assert abs(value / oracle.root_of(numerator**2 / denominator) - 1) < Fraction(1, 2**100)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 1)], ids=str)
def test_double_double_of_few_terms(shape):
    x = torch.ones(shape, dtype=torch.float64)
    assert double_double.cosine(x, x, (1,), 1e-12, 1e-12).tolist() == [[1.0 * shape[1]]] * shape[0]
