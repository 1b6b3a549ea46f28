"""explain: fields, the steps of Keras's documentation, a line of PyTorch that is run, and the print."""

import itertools

import numpy as np
import pytest
import torch
from expecttest import assert_expected_inline
from tests.support.cases import RANKS, enumerate_cases

from batchdot import AxisError, batch_dot, explain
from batchdot.explanation.explain import Step

NUMBERS = {"torch": torch}


def test_fields():
    e = explain((32, 64, 10, 128), (32, 128, 32, 15), (3, 1))
    assert e.axes == ((3, 1),)
    assert e.output_shape == (32, 64, 10, 32, 15)
    assert e.einsum == "bimk,bkjr->bimjr"
    assert e.multiply_adds == 32 * 64 * 10 * 32 * 15 * 128
    assert e.bytes == 4 * (32 * 64 * 10 * 128 + 32 * 128 * 32 * 15 + 32 * 64 * 10 * 32 * 15)
    assert (e.batch_dims, e.normalize, e.dtype) == (1, False, torch.float32)
    assert (e.x_shape, e.y_shape) == ((32, 64, 10, 128), (32, 128, 32, 15))


def test_the_walk_of_the_documentation():
    e = explain((100, 20), (100, 30, 20), (1, 2))
    assert e.steps == (
        Step("x", 0, 100, True, "shared by the samples"),
        Step("x", 1, 20, False, "summed with y.shape[2]"),
        Step("y", 0, 100, False, "shared and already there"),
        Step("y", 1, 30, True, "free in y"),
        Step("y", 2, 20, False, "summed with x.shape[1]"),
    )
    assert e.output_shape == (100, 30)
    assert tuple(step.size for step in e.steps if step.appended) == e.output_shape


@pytest.mark.parametrize("normalize", [False, True])
def test_the_plain_line_is_run(normalize):
    """Every fourth case of the enumeration: what a person pastes gives what batch_dot gives."""
    ran, found = 0, []
    for ranks in itertools.product(RANKS, RANKS):
        for case in enumerate_cases(*ranks, sample=3):
            x, y = case.tensors(torch.float64)
            e = explain(x, y, case.axes, normalize=normalize)
            out = eval(e.plain_torch, NUMBERS | {"x": x, "y": y})
            right = batch_dot(x, y, case.axes, normalize=normalize)
            ran += 1
            if out.shape != right.shape or out.shape != e.output_shape or not torch.allclose(out, right):
                found.append(f"{case}: {e.plain_torch}")
    assert ran >= 1000
    assert not found


WIDER = [
    ((2, 3, 4), (2, 4, 3), ((1, 2), (2, 1)), 1),
    ((2, 3, 4, 5), (2, 5, 3, 6), ((3, 1), (1, 2)), 1),
    ((2, 3, 4), (2, 3, 4), 2, 2),
    ((2, 3, 4, 5), (2, 3, 5), -1, 2),
    ((2, 3, 4, 5), (2, 3, 5, 6), None, 2),
    ((2, 3), (2, 4), ((), ()), 1),
]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "batch_dims"), WIDER, ids=str)
def test_the_plain_line_of_wider_calls(x_shape, y_shape, axes, batch_dims, normalize):
    x, y = torch.randn(x_shape), torch.randn(y_shape)
    e = explain(x_shape, y_shape, axes, batch_dims=batch_dims, normalize=normalize)
    out = eval(e.plain_torch, NUMBERS | {"x": x, "y": y})
    torch.testing.assert_close(out, batch_dot(x, y, axes, batch_dims=batch_dims, normalize=normalize))
    assert e.batch_dims == batch_dims


def test_the_gradients_are_run():
    for ranks in itertools.product(RANKS[:3], RANKS[:3]):
        for case in enumerate_cases(*ranks, sample=1):
            if case.sizes == "zeros":
                continue
            x, y = (t.clone().requires_grad_() for t in case.tensors(torch.float64))
            e = explain(x, y, case.axes)
            out = batch_dot(x, y, case.axes)
            g = torch.randn_like(out)
            right = torch.autograd.grad(out, (x, y), g)
            g = g.squeeze(1) if e.einsum.endswith("->b") else g
            torch.testing.assert_close(torch.einsum(e.gradients[0], g, y), right[0])
            torch.testing.assert_close(torch.einsum(e.gradients[1], g, x), right[1])


def test_unknown_sizes():
    e = explain((None, 3), (None, 4, 3), -1, normalize=True)
    assert (e.output_shape, e.multiply_adds, e.bytes) == ((None, 4), None, None)
    assert "x.shape[0] = None" in str(e)
    assert "depends on the unknown sizes" in str(e)
    assert explain((None, 3), (7, 3), 1).output_shape == (7, 1)
    assert explain((None, 0), (None, 0), 1).multiply_adds == 0


def test_norms_cost_a_multiply_add_a_number():
    plain, cosine = (explain((4, 8), (4, 8), 1, normalize=n) for n in (False, True))
    assert (plain.multiply_adds, cosine.multiply_adds) == (32, 96)


WAYS = (
    (2, 3),
    [2, 3],
    torch.Size([2, 3]),
    torch.ones(2, 3),
    np.ones((2, 3)),
    (np.int64(2), torch.tensor(3)),
)


@pytest.mark.parametrize("shape", WAYS, ids=lambda value: type(value).__name__)
def test_shapes_may_be_written_in_many_ways(shape):
    assert explain(shape, (2, 3), 1).x_shape == (2, 3)


def test_dtype_counts_bytes():
    assert explain((2, 3), (2, 3), 1, dtype=torch.float64).bytes == 8 * (6 + 6 + 2)


ERRORS = [
    (((2, 3), (2, 3), 5), AxisError, "Axis 5 is out of range for x"),
    (((2, 3), (2, 3), 0), ValueError, "Cannot perform batch_dot over axis 0"),
    (((2, 3), (2, 4), 1), ValueError, "Cannot sum over axes of different sizes"),
    (((2, 3), (3, 3), 1), ValueError, "different batch sizes"),
    (((3,), (3, 3), 1), ValueError, "rank < 2"),
    (((2, 3), (2, 3), True), TypeError, "a bool is not an axis"),
    (((2, -3), (2, -3), 1), ValueError, "x_shape holds a negative size"),
    (("23", (2, 3), 1), TypeError, "x_shape should be a sequence of sizes or None"),
    (((2, 3), 6, 1), TypeError, "y_shape should be a sequence of sizes or None"),
    (((2, 3.0), (2, 3), 1), TypeError, "x_shape should be a sequence of sizes or None"),
    ((None, (2, 3), 1), TypeError, "x_shape should be a sequence of sizes or None"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=str)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        explain(*call)


def test_printed():
    assert_expected_inline(
        str(explain((32, 10, 64), (32, 64), (2, 1), normalize=True)),
        """\
cosine of x (32, 10, 64) and y (32, 64), summed over axes (x with y): 2 with 1

  x.shape[0] = 32: append to the output, shared by the samples
  x.shape[1] = 10: append to the output, free in x
  x.shape[2] = 64: do not append, summed with y.shape[1]
  y.shape[0] = 32: do not append, shared and already there
  y.shape[1] = 64: do not append, summed with x.shape[2]

  output shape     (32, 10)
  einsum           bik,bk->bi
  PyTorch          torch.einsum('bik,bk->bi', torch.nn.functional.normalize(x, dim=2, eps=1e-6), torch.nn.functional.normalize(y, dim=1, eps=1e-6))
  gradients        of the normalized inputs, x: bi,bk->bik of (gradient, y)   y: bi,bik->bk of (gradient, x)
  multiply-adds    43,008
  bytes (float32)  91,392""",  # noqa: E501
    )
    assert_expected_inline(
        str(explain((None, 5), (None, 5), 1)),
        """\
dot product of x (None, 5) and y (None, 5), summed over axes (x with y): 1 with 1

  x.shape[0] = None: append to the output, shared by the samples
  x.shape[1] = 5: do not append, summed with y.shape[1]
  y.shape[0] = None: do not append, shared and already there
  y.shape[1] = 5: do not append, summed with x.shape[1]
  the result would have rank 1: a last axis of size 1 is appended

  output shape     (None, 1)
  einsum           bk,bk->b
  PyTorch          (x * y).sum(1, keepdim=True)
  gradients        x: b,bk->bk of (gradient, y)   y: b,bk->bk of (gradient, x)
  multiply-adds    depends on the unknown sizes
  bytes (float32)  depends on the unknown sizes""",
    )
