"""Gradients by the Triton kernels, and the rules of their operators, under Triton's interpreter."""

import pytest
import torch
from tests.support import triton_interpreter
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

from batchdot import batch_dot
from batchdot.kernels.operators import REFERENCE

pytestmark = triton_interpreter.interpreted

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# x shape, y shape: pairs of short, of wide and of long rows; rows that share one; matrices, short and long.
SHAPES = [
    ((9, 1), (9, 1)),
    ((9, 50), (9, 50)),
    ((5, 600), (5, 600)),
    ((2, 4100), (2, 4100)),
    ((2, 3, 20), (2, 20)),
    ((2, 40, 600), (2, 600)),
    ((2, 3, 4100), (2, 4100)),
    ((2, 20), (2, 3, 20)),
    ((2, 5, 20), (2, 7, 20)),
    ((1, 5, 300), (1, 7, 300)),
]


def formula(x, y, normalize):
    """The same by ATen in float64, on views that broadcast."""
    if x.ndim == y.ndim == 3:
        if normalize:
            x, y = (t * (t * t).sum(-1, True).clamp_min(1e-12).rsqrt() for t in (x, y))
        return x @ y.mT
    x, y = (t if t.ndim == 3 else t[:, None] for t in (x, y))
    reference = REFERENCE["row_cosine" if normalize else "row_product"]
    options = (1e-12, False) if normalize else (False,)
    return reference(*torch.broadcast_tensors(x, y), *options)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients(dtype, x_shape, y_shape, normalize):
    if not normalize and len(x_shape) == len(y_shape) == 3:
        pytest.skip("a product of matrices of floats is ATen's")
    if dtype == torch.float64 and max(x_shape) > 1000:
        pytest.skip("takes the interpreter a minute; 600 columns are two tiles of float64 too")
    x, y = (torch.randn(shape).to(dtype) for shape in (x_shape, y_shape))
    x[0] = 0  # of which a cosine's norm is the floor
    wide = [t.double().requires_grad_() for t in (x, y)]
    x, y = x.requires_grad_(), y.requires_grad_()
    out = batch_dot(x, y, -1, normalize=normalize)
    gradient = torch.randn(out.shape).to(dtype)
    if normalize and dtype == torch.float16:
        gradient[0] = 0  # 1e6 times which float16 does not hold
    found = torch.autograd.grad(out, (x, y), gradient)
    right = torch.autograd.grad(formula(*wide, normalize).reshape(out.shape), wide, gradient.double())
    # Products of matrices round in the dtype; rows once, relative to the terms.
    most = (20 if len(x_shape) == len(y_shape) == 3 else 1.5) * torch.finfo(dtype).eps
    if dtype == torch.float64:
        most *= 50  # of the reference, which sums in float64 too
    for a, b, t in zip(found, right, (x, y), strict=True):
        assert a.dtype == dtype
        assert a.shape == t.shape
        torch.testing.assert_close(a.double(), b, rtol=most, atol=most * (b.abs().max().item() + 1) / 2)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_gradient_of_one_input(normalize):
    x, y = torch.randn(3, 5, 20), torch.randn(3, 20)
    both = [t.clone().requires_grad_() for t in (x, y)]
    full = torch.autograd.grad(batch_dot(*both, -1, normalize=normalize).sum(), both)
    for side in (0, 1):
        one = [t.clone().requires_grad_(side == n) for n, t in enumerate((x, y))]
        batch_dot(*one, -1, normalize=normalize).sum().backward()
        assert torch.equal(one[side].grad, full[side])
        assert one[1 - side].grad is None


@pytest.mark.parametrize("normalize", [False, True])
def test_rows_along_three_axes_are_copied(normalize):
    """More than a kernel steps through: x is a transpose, whose axes are not joined with those of y."""
    x, y = torch.randn(4, 2, 3, 20).permute(2, 1, 0, 3), torch.randn(3, 2, 4, 20)
    found, right = [], []
    for a, b, results in ((x, y, found), (x.contiguous(), y, right)):
        a, b = (t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (a, b))
        out = batch_dot(a, b, 3, batch_dims=3, normalize=normalize)
        results += [out, *torch.autograd.grad(out, (a, b), torch.ones_like(out))]
    assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))


def test_gradients_saturate_as_those_of_the_other_kernels():
    x = torch.zeros(2, 8, dtype=torch.float16, requires_grad=True)
    y = torch.ones(2, 8, dtype=torch.float16)
    batch_dot(x, y, 1, normalize=True).sum().backward()
    assert (x.grad == torch.finfo(torch.float16).max).all()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("x_shape", "y_shape"), [((3, 5), (3, 5)), ((2, 3, 5), (2, 5)), ((2, 3, 5), (2, 2, 5))], ids=str
)
def test_gradcheck(x_shape, y_shape, normalize):
    x, y = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in (x_shape, y_shape))
    run = lambda x, y: batch_dot(x, y, -1, normalize=normalize)  # noqa: E731
    torch.autograd.gradcheck(run, (x, y), fast_mode=True)
    torch.autograd.gradgradcheck(run, (x, y), fast_mode=True)


# --- the operators as torch's -------------------------------------------------------------------------

OPERATORS = {
    "row_product": ((3, 5), (3, 5), (True,)),
    "row_product_backward": ((3, 4, 5), (3, 1, 5), (True, True)),
    "row_cosine": ((3, 4, 5), (3, 1, 5), (1e-12, False)),
    "row_cosine_backward": ((3, 5), (3, 5), (1e-12, True, False)),
    "cosine_matrix": ((2, 3, 5), (2, 4, 5), (1e-12,)),
    "cosine_matrix_backward": ((2, 3, 5), (2, 4, 5), (1e-12, True, True)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name):
    x_shape, y_shape, options = OPERATORS[name]
    x, y = torch.randn(x_shape), torch.randn(y_shape)
    if name.endswith("_backward"):
        gradient = torch.randn(2, 3, 4) if "matrix" in name else torch.randn(x_shape[:-1])
        opcheck(getattr(torch.ops.batchdot, name).default, (gradient, x, y, *options), test_utils=TESTS[:1])
        return
    packet = getattr(torch.ops.batchdot, name)
    opcheck(packet.default, (x.requires_grad_(), y.requires_grad_(), *options), test_utils=TESTS)
    opcheck(packet.values, (x.detach(), y.detach(), *options), test_utils=TESTS[:1])


# Not with symbolic sizes: those trace the interpreter's reading of values.
TESTS = ("test_schema", "test_autograd_registration")


def test_vmap_and_forward_mode():
    x, y = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    mapped = torch.func.vmap(lambda x, y: batch_dot(x, y, 1, normalize=True))(x, y)
    one_by_one = torch.stack([batch_dot(a, b, 1, normalize=True) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(mapped, one_by_one)
    operator = torch.ops.batchdot.row_cosine
    assert torch.equal(torch.func.vmap(lambda x, y: operator(x, y, 1e-12, True))(x, y), one_by_one)
    _, tangent = torch.func.jvp(lambda x: batch_dot(x, y[0], 1, normalize=True), (x[0],), (y[0],))
    assert tangent.shape == (3, 1)


def test_flops_and_autocast():
    x, y = torch.randn(4, 9), torch.randn(4, 9)
    with FlopCounterMode(display=False) as counter:
        batch_dot(x.requires_grad_(), y, 1, normalize=True)
    assert counter.get_total_flops() == 6 * 36
    with torch.autocast("cpu", torch.bfloat16):
        assert batch_dot(x.detach(), y, 1, normalize=True).dtype == torch.float32
