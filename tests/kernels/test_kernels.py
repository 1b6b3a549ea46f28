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
    monkeypatch.setattr(kernel, "BLOCK_BYTES", 1 << 16)
    i, k, j = shape
    left, right = values((3, i, k), dtype), values((3, k, j), dtype)
    out = kernel._integer_matmul(left, right)
    assert out.dtype == dtype
    assert torch.equal(out, torch.bmm(left, right))
    assert torch.equal(kernel._integer_matmul(left[0], right[0]), torch.mm(left[0], right[0]))


def test_double_double_dot_error():
    """Sums that cancel to the last place: exact to 2^-100 of the sum of absolute values."""
    x = torch.randn(50, 33, dtype=torch.float64)
    y = torch.randn(50, 33, dtype=torch.float64)
    high, low = double_double._dot(x.T, y.T)
    for i in range(50):
        terms = [Fraction(a) * Fraction(b) for a, b in zip(x[i].tolist(), y[i].tolist(), strict=True)]
        error = abs(Fraction(high[i].item()) + Fraction(low[i].item()) - sum(terms))
        assert error <= sum(map(abs, terms)) / 2**98
        assert abs(low[i]) <= torch.finfo(torch.float64).eps * abs(high[i])


def test_double_double_sqrt_and_divide_error():
    a = torch.rand(100, dtype=torch.float64) + 0.5
    high, low = double_double._sqrt((a, torch.zeros_like(a)))
    for value, h, l_ in zip(a.tolist(), high.tolist(), low.tolist(), strict=True):
        assert abs((Fraction(h) + Fraction(l_)) ** 2 / Fraction(value) - 1) < Fraction(1, 2**100)
    b = torch.rand(100, dtype=torch.float64) + 0.5
    quotient = double_double._divide((a, torch.zeros_like(a)), (b, torch.zeros_like(b)))
    exact = [Fraction(p) / Fraction(q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    assert max(map(lambda v, e: oracle.ulps(v, e, torch.float64), quotient.tolist(), exact)) <= 0.5
