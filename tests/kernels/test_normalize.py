"""Cosines: accuracy, range, bound of 1, zero vectors, NaN, dtypes, reproducible bits; by each kernel."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from tests.support import oracle

from batchdot import batch_dot
from batchdot.kernels.aten.normalize import row_cosine

pytestmark = pytest.mark.usefixtures("each_kernel")

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = tuple(oracle.INTEGERS)
COMPLEX = (torch.complex32, torch.complex64, torch.complex128)


def cosine(x, y, axes=-1, **kwargs):
    return batch_dot(x, y, axes, normalize=True, **kwargs)


def worst_ulps(out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, epsilon: float = 1e-12) -> float:
    rows = zip(out.flatten().tolist(), x.double().tolist(), y.double().tolist(), strict=True)
    return max(oracle.ulps(value, oracle.exact_cosine(a, b, epsilon), out.dtype) for value, a, b in rows)


# --- accuracy -----------------------------------------------------------------------------------------


def close_to_orthogonal(n, k):
    x = torch.randn(n, k, dtype=torch.float64)
    y = torch.randn(n, k, dtype=torch.float64)
    return x, y - x * ((x * y).sum(1, True) / (x * x).sum(1, True)) * (1 - 1e-6)


ROWS = {
    "normal": lambda n, k: (torch.randn(n, k, dtype=torch.float64), torch.randn(n, k, dtype=torch.float64)),
    "positive": lambda n, k: (torch.rand(n, k, dtype=torch.float64), torch.rand(n, k, dtype=torch.float64)),
    "close to orthogonal": close_to_orthogonal,
    "close to parallel": lambda n, k: (t := torch.rand(n, k, dtype=torch.float64), t * (1 + 1e-9 * t)),
    "of many scales": lambda n, k: tuple(
        torch.randn(n, k, dtype=torch.float64) * torch.exp2(torch.randint(-9, 5, (n, k))) for _ in "xy"
    ),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_row_cosine_error(dtype, rows):
    for k in (1, 2, 3, 17, 128):
        x, y = (t.to(dtype) for t in ROWS[rows](60, k))
        assert worst_ulps(cosine(x, y), x, y) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_row_cosine_of_long_rows_error(dtype):
    x, y = (torch.rand(2, 16384, dtype=torch.float64).to(dtype) for _ in "xy")
    assert worst_ulps(cosine(x, y), x, y) <= 0.51


def cancelling(n, k, dtype):
    """Rows whose terms cancel up to one, of about 2^-60 of them (of float16, 2^-20)."""
    tiny = 2.0**-10 if dtype == torch.float16 else 2.0**-30
    x, y = torch.randn(n, k // 2, dtype=torch.float64), torch.randn(n, k // 2, dtype=torch.float64)
    last = torch.full((n, 1), tiny, dtype=torch.float64)
    order = torch.randperm(2 * (k // 2) + 1)
    return (
        torch.cat([x, x, last], 1)[:, order].to(dtype),
        torch.cat([y, -y, last], 1)[:, order].to(dtype),
    )


class Traced(torch.Tensor):
    """A subclass, whose strides no plan reads: it runs as in a trace."""


# The errors that kernels/README.md states beside 0.51 ulp, for K terms, of float64 rows and of narrower ones.
CANCELLATION = {
    "native": lambda k, double: 0,
    "aten": lambda k, double: Fraction(k**2, 2**106) if double else Fraction(k, 2**53),
    "traced": lambda k, double: Fraction(k, 2**52),
}


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_row_cosine_of_cancelling_terms_error(dtype, traced, each_kernel):
    for k in (8, 64, 1000):
        x, y = cancelling(20, k, dtype)
        out = cosine(x.as_subclass(Traced), y) if traced else cosine(x, y)
        allowed = CANCELLATION["traced" if traced else each_kernel](k + 1, dtype == torch.float64)
        for value, a, b in zip(out.flatten().tolist(), x.tolist(), y.tolist(), strict=True):
            exact = oracle.exact_cosine(a, b)
            assert oracle.ulps(value, exact, dtype) <= 0.51 or abs(Fraction(value) - exact) <= allowed


@pytest.mark.parametrize(("x_scale", "y_scale"), [(1e-150, 1e-158), (1e-155, 1e-158), (1.0, 1e-306)])
def test_row_cosine_of_products_that_underflow_error(x_scale, y_scale, each_kernel):
    """As docs/numerics.md states it: by ATen 2^-1074 a product, over norms of the root of epsilon or more."""
    x, y = (torch.rand(20, 50, dtype=torch.float64) * scale for scale in (x_scale, y_scale))
    floors = [Fraction(max(float(rows.norm(dim=1).min()), 1e-6)) for rows in (x, y)]
    lost = 50 * Fraction(1, 2**1074) / math.prod(floors) if each_kernel == "aten" else 0
    for value, a, b in zip(cosine(x, y).flatten().tolist(), x.tolist(), y.tolist(), strict=True):
        exact = oracle.exact_cosine(a, b)
        ulp = Fraction(math.ulp(float(exact)))
        assert abs(Fraction(value) - exact) <= ulp * 51 / 100 + lost


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("exact", [False, True])
def test_row_cosine_with_float32_norms_keeps_dtype_and_range(dtype, exact):
    """As on MPS: norms in float32, which is no wider than the range of either dtype."""
    x, y = (torch.randn(40, 9) * 1e25).to(dtype), (torch.randn(40, 9) * 1e-10).to(dtype)
    x[0] = y[0]
    out = row_cosine(x, y, (-1,), 1e-30, dtype, torch.float32, exact)
    assert out.dtype == dtype
    assert out.abs().max() <= 1
    assert worst_ulps(out, x, y, 1e-30) <= (0.51 if exact or dtype == torch.bfloat16 else 50)


@pytest.mark.parametrize("shape", [(50, 1, 24), (50, 1, 1, 24)], ids=str)
def test_one_free_row_is_a_row_cosine(shape):
    x, y = torch.randn(shape), torch.randn(shape[0], 24)
    assert worst_ulps(cosine(x, y), x.reshape(shape[0], 24), y) <= 0.51


def test_several_axes_are_one_slice():
    x, y = torch.randn(40, 3, 5, dtype=torch.float64), torch.randn(40, 5, 3, dtype=torch.float64)
    out = cosine(x, y, ((1, 2), (2, 1)))
    assert worst_ulps(out, x.reshape(40, 15), y.mT.reshape(40, 15)) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_cosine_matrix_error_is_that_of_the_product(dtype):
    x, y = (torch.randn(3, 20, 64, dtype=torch.float64).to(dtype) for _ in "xy")
    right = oracle.cosine(oracle.to_numpy(x), oracle.to_numpy(y), -1)
    error = np.abs(oracle.to_numpy(cosine(x, y)) - right).max()
    assert error <= 2 * torch.finfo(dtype).eps


# --- the floor ----------------------------------------------------------------------------------------

# what Keras gives for x = [s, 0], y = [1, 0]: TensorFlow's floor, Keras 3's floor
FLOOR = [
    (1.0, 1.0, 1.0),
    (1e-6, 1.0, 1.0),
    (3e-7, 0.3, 1.0),
    (1e-7, 0.1, 1.0),
    (1e-8, 0.01, 0.1),
    (1e-12, 1e-6, 1e-5),
    (1e-20, 1e-14, 1e-13),
]


@pytest.mark.parametrize(("scale", "tensorflow", "keras_3"), FLOOR, ids=str)
def test_epsilon_is_a_floor_on_the_squared_norm(scale, tensorflow, keras_3):
    y = torch.tensor([[1.0, 0.0]])
    for dtype, rtol in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        x = torch.tensor([[scale, 0.0]], dtype=dtype)
        assert cosine(x, y.to(dtype)).item() == pytest.approx(tensorflow, rel=rtol)
        assert cosine(x, y.to(dtype), epsilon=1e-14).item() == pytest.approx(keras_3, rel=rtol)
        matrix = cosine(x.expand(1, 3, 2), y.to(dtype).expand(1, 2, 2))
        assert matrix.flatten().tolist() == pytest.approx([tensorflow] * 6, rel=rtol)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 100.0, 1e-30, 1e-300, 5e-324], ids=str)
def test_row_cosine_at_any_epsilon_error(dtype, epsilon):
    x, y = torch.randn(30, 8, dtype=torch.float64).to(dtype), torch.rand(30, 8, dtype=torch.float64).to(dtype)
    assert worst_ulps(cosine(x, y, epsilon=epsilon), x, y, epsilon) <= 0.51


# --- range --------------------------------------------------------------------------------------------

# dtype, scale of x, scale of y, epsilon
SCALES = [
    (torch.float32, 1e20, 1.0, 1e-12),
    (torch.float32, 1e38, 1e38, 1e-12),
    (torch.float32, 1e-20, 1.0, 1e-60),
    (torch.float32, 1e-30, 1e30, 1e-70),
    (torch.float32, 1e-38, 1e-38, 5e-324),
    (torch.float16, 100.0, 300.0, 1e-12),
    (torch.float16, 1e4, 1e4, 1e-12),
    (torch.float16, 1e-5, 1.0, 1e-12),
    (torch.float16, 1e-6, 1e-6, 1e-14),
    (torch.bfloat16, 1e38, 1e-38, 1e-80),
    (torch.float64, 1e200, 1.0, 1e-12),
    (torch.float64, 1e308, 1e308, 1e-12),
    (torch.float64, 1e152, 1e155, 1e-12),
    (torch.float64, 1e308, 1e-5, 1e-12),
    (torch.float64, 1e-150, 1e150, 1e-305),
    (torch.float64, 1e-155, 1e-155, 5e-324),
    (torch.float64, 1e-161, 1.0, 5e-324),
]


@pytest.mark.parametrize(("dtype", "x_scale", "y_scale", "epsilon"), SCALES, ids=str)
def test_scale_does_not_change_a_cosine(dtype, x_scale, y_scale, epsilon):
    x = (torch.rand(20, 6, dtype=torch.float64) * x_scale).to(dtype)
    y = ((torch.rand(20, 6, dtype=torch.float64) - 0.3) * y_scale).to(dtype)
    out = cosine(x, y, epsilon=epsilon)
    assert worst_ulps(out, x, y, epsilon) <= 0.51
    matrix = cosine(x.reshape(2, 10, 6), y.reshape(2, 10, 6), epsilon=epsilon)
    torch.testing.assert_close(
        matrix.diagonal(dim1=1, dim2=2).reshape(20, 1), out, rtol=0, atol=3 * torch.finfo(dtype).eps
    )


def test_scales_in_one_batch_do_not_disturb_each_other():
    scales = torch.tensor([1e-300, 1e-150, 1e-7, 1.0, 1e60, 1e150, 1e300], dtype=torch.float64)
    x = torch.rand(7, 5, dtype=torch.float64)
    y = torch.rand(7, 5, dtype=torch.float64)
    out = cosine(x * scales[:, None], y)
    assert worst_ulps(out, x * scales[:, None], y) <= 0.51
    assert torch.equal(
        out[3:], torch.cat([cosine(x[i : i + 1] * scales[i], y[i : i + 1]) for i in range(3, 7)])
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("scale", [1e20, 1e-5, 1.0], ids=str)
def test_complex_range(dtype, scale):
    scale = scale**10 if dtype == torch.complex128 and scale > 1 else scale
    x, y = torch.randn(9, 4, dtype=dtype), torch.randn(9, 4, dtype=dtype)
    torch.testing.assert_close(cosine(x * scale, y), cosine(x, y))


# --- bound --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3, 8, 100])
def test_a_real_cosine_is_at_most_1(dtype, k):
    x = torch.randn(240_000 // max(8, k), k).to(dtype)
    for y in (x, -x, x * 3, x + x.abs() * 1e-3):
        out = cosine(x, y)
        assert out.abs().max() <= 1
    whole = x.double().norm(dim=1) > 1e-3
    assert (cosine(x, x)[whole] == 1).all()
    assert (cosine(x, -x)[whole] == -1).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("x_shape", [(40, 50, 9), (40, 50, 1), (40, 7, 50, 9)], ids=str)
def test_a_matrix_cosine_is_at_most_1(dtype, x_shape):
    x = torch.randn(x_shape).to(dtype)
    assert cosine(x, x).abs().max() <= 1
    assert cosine(x, -x).abs().max() <= 1
    assert cosine(x, x[:, ..., 0, :]).abs().max() <= 1  # a vector, for rank 3


# --- zero, NaN, infinity ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX + INTEGERS, ids=str)
def test_cosine_of_a_zero_vector_is_0(dtype):
    zero, one = torch.zeros(2, 3, dtype=dtype), torch.ones(2, 3, dtype=dtype)
    for x, y in ((zero, one), (one, zero), (zero, zero)):
        matrix = cosine(x.reshape(1, 2, 3), y.reshape(1, 2, 3))
        assert not any(cosine(x, y).flatten().tolist())
        assert not any(matrix.flatten().tolist())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
def test_nan_and_infinity_give_nan_in_their_slice_alone(dtype, bad):
    x, y = torch.rand(4, 5).to(dtype), torch.rand(4, 5).to(dtype)
    good = cosine(x, y)
    x[2, 1] = bad
    out = cosine(x, y)
    assert out.isnan().flatten().tolist() == [False, False, True, False]
    assert torch.equal(out[[0, 1, 3]], good[[0, 1, 3]])
    y[2] = 0  # what the other side holds does not matter
    assert cosine(x, y)[2].isnan().all()
    matrix = cosine(x.reshape(2, 2, 5), y.reshape(2, 2, 5))
    assert matrix.isnan().tolist() == [[[False] * 2] * 2, [[True] * 2, [False] * 2]]


# --- dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("default", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_are_computed_in_the_default_float_dtype(dtype, default):
    x, y = torch.tensor([[3, 4]], dtype=dtype), torch.tensor([[4, 3]], dtype=dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        assert torch.equal(cosine(x, y), torch.tensor([[0.96]], dtype=default))
        matrix = cosine(x.expand(1, 2, 2), y.expand(1, 3, 2))
        torch.testing.assert_close(matrix, torch.full((1, 2, 3), 0.96, dtype=default))
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
def test_complex_norms_use_the_absolute_value_and_products_do_not_conjugate(dtype):
    x, y = torch.tensor([[3 + 4j, 0]], dtype=dtype), torch.tensor([[1j, 1]], dtype=dtype)
    right = torch.tensor(((3 + 4j) * 1j) / (5 * math.sqrt(2)), dtype=dtype)
    torch.testing.assert_close(cosine(x, y).squeeze(), right, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        cosine(x[:, None], y[:, None].expand(1, 2, 2))[0, 0, 1], right, rtol=1e-3, atol=1e-3
    )
    if dtype != torch.complex32:
        x, y = torch.randn(5, 4, 3, dtype=dtype), torch.randn(5, 6, 3, dtype=dtype)
        right = oracle.cosine(oracle.to_numpy(x), oracle.to_numpy(y), 2)
        np.testing.assert_allclose(oracle.to_numpy(cosine(x, y, 2)), right, atol=1e-6)


def test_cosine_of_mixed_dtypes_promotes_first():
    x, y = torch.rand(3, 4, dtype=torch.float16), torch.rand(3, 4, dtype=torch.float64)
    assert worst_ulps(cosine(x, y), x, y) <= 0.51
    assert cosine(x, y).dtype == torch.float64
    assert cosine(x, torch.ones(3, 4, dtype=torch.int32)).dtype == torch.float16


# --- same bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_layout_and_batch_do_not_change_a_bit(dtype):
    x, y = torch.randn(64, 100).to(dtype), torch.randn(64, 100).to(dtype)
    out = cosine(x, y)
    strided = torch.zeros(128, 300, dtype=dtype)[::2, ::3].copy_(x)
    assert torch.equal(cosine(strided, y), out)
    assert torch.equal(cosine(x.t().contiguous().t(), y), out)
    assert torch.equal(cosine(x.reshape(64, 1, 100), y).reshape(64, 1), out)
    for size in (1, 3, 16, 63):
        assert torch.equal(
            torch.cat([cosine(*pair) for pair in zip(x.split(size), y.split(size), strict=True)]), out
        )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_blocks_and_threads_do_not_change_a_bit(dtype):
    x, y = torch.randn(3000, 200).to(dtype), torch.randn(3000, 200).to(dtype)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(cosine(x, y))
    finally:
        torch.set_num_threads(threads)
    results.append(torch.cat([cosine(*pair) for pair in zip(x.split(100), y.split(100), strict=True)]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert torch.equal(cosine(x, y), results[0])


def test_the_oracle_knows_its_digits():
    """The tester is tested: 3-4-5 triangles, and an ulp."""
    assert oracle.exact_cosine([3.0, 4.0], [4.0, 3.0]) == Fraction(24, 25)
    assert oracle.exact_cosine([1e-7, 0.0], [1.0, 0.0]) == pytest.approx(0.1, rel=1e-15)
    assert oracle.ulps(1 + 2.0**-52, Fraction(1), torch.float64) == 1
    assert oracle.ulps(1.0, Fraction(1) - Fraction(1, 2**54), torch.float64) == 0.5
    assert oracle.ulps(0.25 + 2.0**-13, Fraction(1, 4), torch.float16) == 0.5
