"""Gradients: against finite differences to second order, forward and backward; finite everywhere."""

import math

import pytest
import torch
from tests.support.tiers import one_of
from torch.autograd import gradcheck, gradgradcheck

from batchdot import batch_dot, dot
from batchdot._torch import USES_PRIVATE

pytestmark = pytest.mark.usefixtures("each_kernel")

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# x shape, y shape, axes, batch_dims: every label of a plan
CASES = {
    "row": ((3, 4), (3, 4), 1, 1),
    "row, free axes of 1": ((2, 1, 3), (2, 3), (2, 1), 1),
    "matrix-vector": ((2, 3, 2), (2, 2), (2, 1), 1),
    "vector-matrix": ((2, 2), (2, 2, 3), (1, 1), 1),
    "matrix": ((2, 3, 2), (2, 4, 2), 2, 1),
    "matrix, mixed axes": ((2, 2, 3), (2, 3, 2), (1, 2), 1),
    "rank 4": ((2, 2, 2, 3), (2, 2, 2), (2, 1), 1),
    "batch_dims 2": ((2, 3, 2), (2, 3, 2), 2, 2),
    "batch_dims 2, matrix": ((2, 2, 3, 2), (2, 2, 2), (3, 2), 2),
    "several axes, row": ((2, 3, 2), (2, 2, 3), ((1, 2), (2, 1)), 1),
    "several axes, matrix": ((2, 3, 2, 2), (2, 2, 3), ((1, 3), (2, 1)), 1),
}


def check(function, inputs, second=True):
    assert gradcheck(
        function,
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
        check_undefined_grad=True,
    )
    if second:
        assert gradgradcheck(function, inputs, check_fwd_over_rev=True, check_rev_over_rev=True)


def points(x_shape, y_shape, dtype=torch.float64):
    return tuple(torch.randn(shape, dtype=dtype, requires_grad=True) for shape in (x_shape, y_shape))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("case", one_of(2, CASES))
def test_gradients(case, normalize):
    x_shape, y_shape, axes, batch_dims = CASES[case]

    def function(x, y):
        return batch_dot(x, y, axes, batch_dims=batch_dims, normalize=normalize)

    check(function, points(x_shape, y_shape))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("case", one_of(2, ["row", "batch_dims 2", "matrix", "several axes, matrix"]))
def test_gradients_of_complex_numbers(case, normalize):
    x_shape, y_shape, axes, batch_dims = CASES[case]

    def function(x, y):
        return batch_dot(x, y, axes, batch_dims=batch_dims, normalize=normalize)

    check(function, points(x_shape, y_shape, torch.complex128), second=case in ("row", "matrix"))


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [((), (2, 3)), ((3,), (3,)), ((3,), (2, 3, 2)), ((2, 3), (3,)), ((2, 3), (3, 2))],
    ids=str,
)
def test_gradients_of_dot(x_shape, y_shape):
    check(dot, points(x_shape, y_shape))


# The floor is taken to be 1 here, so that finite differences can tell both of its sides apart: squared
# norms of 0, a little below it and a little above it. Steps of 1e-6 stay on their side.
@pytest.mark.parametrize("case", ["row", "matrix-vector", "vector-matrix", "matrix", "several axes, matrix"])
@pytest.mark.parametrize("norm", one_of(3, [0.999, 0.5, 0.0, 1.001, 2.0]))
def test_gradients_around_the_floor(case, norm):
    x_shape, y_shape, axes, batch_dims = CASES[case]
    x, y = points(x_shape, y_shape)
    dims = [axes[0] if isinstance(axes, tuple) else axes]
    dims = list(dims[0]) if isinstance(dims[0], tuple) else dims
    with torch.no_grad():
        x *= norm / (x * x).sum(dims, True).sqrt()

    def function(x, y):
        return batch_dot(x, y, axes, batch_dims=batch_dims, normalize=True, epsilon=1.0)

    check(function, (x, y), second=norm > 0 or case != "row")


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("epsilon", [1e-12, 1e-14, 1e-2, 1e-70, 1e-300], ids=str)
def test_the_gradient_at_a_zero_vector(shape, epsilon):
    """It is y_hat / sqrt(epsilon)."""
    dtype = torch.float64 if epsilon < 1e-70 else torch.float32
    x = torch.zeros(shape, dtype=dtype, requires_grad=True)
    y = torch.randn(shape, dtype=dtype, requires_grad=True)
    batch_dot(x, y, -1, normalize=True, epsilon=epsilon).sum().backward()
    y_hat = y.detach() / y.detach().norm(dim=-1, keepdim=True)
    if len(shape) == 3:
        y_hat = y_hat.sum(1, keepdim=True).expand(shape)
    torch.testing.assert_close(x.grad, y_hat / math.sqrt(epsilon))
    assert not y.grad.any()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("x_scale", [0.0, "tiny", 1e-7, 1e-6, 1e-3, 1.0, 300.0, "max"], ids=str)
@pytest.mark.parametrize("y_scale", [0.0, "tiny", 1.0, "max"], ids=str)
@pytest.mark.parametrize("epsilon", [1e-12, 1e-14, 5e-324, 1e300], ids=str)
def test_finite_inputs_have_no_nan_gradient(dtype, x_scale, y_scale, epsilon):
    info = torch.finfo(dtype)
    sizes = {"tiny": info.smallest_normal / 16, "max": info.max}
    x, y = (
        (torch.rand(3, 4, dtype=torch.float64) * sizes.get(scale, scale)).to(dtype).requires_grad_()
        for scale in (x_scale, y_scale)
    )
    for a, b in ((x, y), (x[None], y[None]), (x[None], y[:1])):
        out = batch_dot(a, b, -1, normalize=True, epsilon=epsilon)
        gradients = torch.autograd.grad(out.sum(), (x, y), create_graph=True)
        assert not out.isnan().any()
        assert not any(g.isnan().any() for g in gradients)


@pytest.mark.parametrize("scale", [1e-160, 1e-150, 1e-60, 1e60, 1e120, 1e160, 1e200, 1e307], ids=str)
@pytest.mark.parametrize("shape", [(1, 3), (1, 2, 3)], ids=str)
def test_gradients_scale_with_the_input(scale, shape):
    """A cosine does not change when x is multiplied by s, so its gradient is divided by s."""
    x, y = torch.rand(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)

    def gradient(x):
        x = x.clone().requires_grad_()
        batch_dot(x, y, -1, normalize=True, epsilon=5e-324).sum().backward()
        return x.grad

    factor = 2.0 ** round(math.log2(scale))
    torch.testing.assert_close(gradient(x * factor) * factor, gradient(x), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("normalize", [False, True])
def test_gradients_keep_their_dtype(dtype, normalize):
    """Computed in a wider one, rounded once."""
    x, y = torch.rand(2, 5).to(dtype).requires_grad_(), torch.rand(2, 5).to(dtype).requires_grad_()
    got = torch.autograd.grad(batch_dot(x, y, 1, normalize=normalize).sum(), (x, y))
    wide = [t.detach().double().requires_grad_() for t in (x, y)]
    right = torch.autograd.grad(batch_dot(*wide, 1, normalize=normalize).sum(), wide)
    for g, r in zip(got, right, strict=True):
        assert g.dtype == dtype
        torch.testing.assert_close(
            g.double(), r, rtol=2 * torch.finfo(dtype).eps, atol=2 * torch.finfo(dtype).eps
        )


@pytest.mark.parametrize("shape", [(500, 3), (250, 2, 3)], ids=str)
def test_derivatives_at_cosines_of_1_are_those_of_the_formula(shape):
    """A value that was pulled back to 1 keeps its derivatives, which clamp would cut.

    The first is 0 there; the second, along t across x, is -|t|^2 / |x|^2.
    """
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    t = torch.randn(shape, dtype=torch.float64)
    t = t - x.detach() * (x.detach() * t).sum(-1, True) / (x.detach() ** 2).sum(-1, True)
    out = batch_dot(x, x.detach().clone(), -1, normalize=True)
    itself = out if len(shape) == 2 else out.diagonal(dim1=1, dim2=2)
    assert (itself - 1).abs().max() < 1e-15
    (gradient,) = torch.autograd.grad(itself.sum(), x, create_graph=True)
    (along,) = torch.autograd.grad((gradient * t).sum(), x)
    right = -(t**2).sum(-1) / (x.detach() ** 2).sum(-1)
    torch.testing.assert_close((along * t).sum(-1), right, rtol=1e-6, atol=1e-9)


def test_gradients_of_mixed_dtypes_return_to_their_own():
    x, y = torch.rand(2, 3, dtype=torch.float32, requires_grad=True), torch.rand(2, 3, dtype=torch.float64)
    batch_dot(x, y.requires_grad_(), 1).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(x.grad.double(), y.detach(), rtol=1e-6, atol=0)


ROWS = {
    "row": ((2, 4), (2, 4), 1),
    "matrix": ((2, 3, 4), (2, 5, 4), 2),
    "matrix times vector": ((2, 3, 4), (2, 4), (2, 1)),
    "vector times matrix": ((2, 4), (2, 3, 4), (1, 2)),
    "middle axis": ((2, 4, 3), (2, 4, 3), 1),
    "several axes": ((2, 4, 3), (2, 4, 3), ((1, 2), (1, 2))),
    "one element": ((2, 1), (2, 1), 1),
}
NARROW = {
    "float16": (torch.float16, torch.float16, 1.0),
    "float16, a large gradient": (torch.float16, torch.float16, 100.0),
    "float16 with float32": (torch.float16, torch.float32, 1.0),
    "float16 with bfloat16": (torch.float16, torch.bfloat16, 1.0),
    "bfloat16": (torch.bfloat16, torch.bfloat16, 1e35),
    "float32": (torch.float32, torch.float32, 1e35),
}


def zero_rows(x_shape, y_shape, dtypes):
    """x of zeros, whose norm is the floor, and y of both signs, none of them 0."""
    y = torch.arange(1.0, math.prod(y_shape) + 1).reshape(y_shape) / 8
    y = torch.where(torch.arange(math.prod(y_shape)).reshape(y_shape) % 3 == 0, -y, y)
    return torch.zeros(x_shape, dtype=dtypes[0]), y.to(dtypes[1])


def saturated(derivative, dtype):
    most = torch.finfo(dtype).max
    return derivative.clamp(-most, most).to(dtype)


@pytest.mark.parametrize(("x_dtype", "y_dtype", "scale"), NARROW.values(), ids=NARROW)
@pytest.mark.parametrize(("x_shape", "y_shape", "axes"), ROWS.values(), ids=ROWS)
def test_derivatives_of_cosines_of_zero_rows_saturate(x_shape, y_shape, axes, x_dtype, y_dtype, scale):
    def cosine(x, y):
        return batch_dot(x, y, axes, normalize=True)

    x, y = zero_rows(x_shape, y_shape, (x_dtype, y_dtype))
    exact = x.double().requires_grad_()
    out = cosine(exact, y.double())
    gradient = torch.full_like(out, scale)
    (wanted,) = torch.autograd.grad(out, exact, gradient)
    wanted = saturated(wanted, x_dtype)
    assert wanted.abs().max() > 1e5 or wanted.abs().max() == torch.finfo(x_dtype).max
    close = {"rtol": 0.05, "atol": 0.0} if x_dtype != torch.float32 else {}

    for create_graph in (False, True):
        leaf = x.clone().requires_grad_()
        out = cosine(leaf, y)
        (found,) = torch.autograd.grad(out, leaf, gradient.to(out.dtype), create_graph=create_graph)
        assert found.isfinite().all()
        torch.testing.assert_close(found.detach(), wanted, **close)
    swapped = axes[::-1] if isinstance(axes, tuple) else axes
    leaf = x.clone().requires_grad_()
    out = batch_dot(y, leaf, swapped, normalize=True)
    (found,) = torch.autograd.grad(out, leaf, torch.full_like(out, scale))
    assert found.isfinite().all()
    torch.testing.assert_close(found, wanted, **close)

    _, found = torch.func.vjp(lambda x: cosine(x, y), x)
    (found,) = found(gradient.to(out.dtype))
    torch.testing.assert_close(found, wanted, **close)
    if scale > 100:  # the tangent of a unit vector is itself beyond the range of a matrix product
        return
    tangent = torch.full_like(x, scale)
    _, found = torch.func.jvp(lambda x: cosine(x, y), (x,), (tangent,))
    _, wide = torch.func.jvp(lambda x: cosine(x, y.double()), (x.double(),), (tangent.double(),))
    assert found.isfinite().all()
    torch.testing.assert_close(found, saturated(wide, found.dtype), rtol=0.05, atol=scale)


@pytest.mark.skipif(not USES_PRIVATE, reason="Dynamo traces the call, and the cast is a plain one")
@pytest.mark.parametrize("shapes", [((2, 4), (2, 4), 1), ((2, 3, 4), (2, 5, 4), 2)], ids=["row", "matrix"])
def test_compiled_derivatives_of_cosines_of_zero_rows_saturate(shapes):
    x_shape, y_shape, axes = shapes
    x, y = zero_rows(x_shape, y_shape, (torch.float16, torch.float16))
    compiled = torch.compile(lambda x: batch_dot(x, y, axes, normalize=True), backend="aot_eager")
    eager, traced = x.clone().requires_grad_(), x.clone().requires_grad_()
    batch_dot(eager, y, axes, normalize=True).sum().backward()
    compiled(traced).sum().backward()
    assert traced.grad.isfinite().all()
    torch.testing.assert_close(traced.grad, eager.grad, rtol=0.01, atol=0)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")], ids=str)
@pytest.mark.parametrize("shapes", [((2, 4), (2, 4), 1), ((2, 3, 4), (2, 5, 4), 2)], ids=["row", "matrix"])
def test_derivatives_that_are_not_finite_stay_so(value, shapes):
    x_shape, y_shape, axes = shapes
    x, y = zero_rows(x_shape, y_shape, (torch.float16, torch.float16))
    leaf = x.requires_grad_()
    out = batch_dot(leaf, y, axes, normalize=True)
    (found,) = torch.autograd.grad(out, leaf, torch.full_like(out, value))
    assert not found.isfinite().any()


def test_a_layer_below_a_zero_row_keeps_its_weights_finite():
    dense, y = torch.nn.Linear(3, 4, bias=False).half(), torch.ones(2, 4).half()
    out = batch_dot(dense(torch.zeros(2, 3).half()), y, 1, normalize=True)
    out.sum().backward()
    assert (dense.weight.grad == 0).all()


def test_gradients_of_a_shared_row_saturate_once_summed():
    """The row of y that 3 rows of x share: its gradient is their sum, beyond float16 or back in its range."""
    x = torch.tensor([[[1.0, 0], [-1, 0], [0, 1]]]).half()
    y = torch.zeros(1, 2).half().requires_grad_()
    batch_dot(x, y, (2, 1), normalize=True).sum().backward()
    assert y.grad.tolist() == [[0.0, 65504.0]]
