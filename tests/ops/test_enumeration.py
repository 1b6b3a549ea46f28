"""The enumeration of tests/cases.py against the oracle: shape, dtype and value of every case."""

import itertools

import numpy as np
import pytest
import torch
from tests.support import oracle
from tests.support.cases import LAYOUTS, RANKS, SIZES, Case, enumerate_cases

from batchdot import batch_dot

pytestmark = pytest.mark.usefixtures("each_kernel")

DTYPES = (torch.float32, torch.float64, torch.int64, torch.complex64, torch.bfloat16)
PAIRS = list(itertools.product(RANKS, RANKS))


def check(out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, axes, batch_dims: int = 1) -> str:
    """Say what is wrong with batch_dot(x, y, axes), or nothing."""
    a, b = oracle.to_numpy(x), oracle.to_numpy(y)
    right = oracle.batch_dot(a, b, axes, batch_dims)
    if tuple(out.shape) != right.shape:
        return f"shape {tuple(out.shape)}, not {right.shape}"
    if out.dtype != torch.promote_types(x.dtype, y.dtype):
        return f"dtype {out.dtype}"
    got = oracle.to_numpy(out)
    if out.dtype in oracle.INTEGERS:
        right = np.vectorize(lambda v: oracle.wrap(v, out.dtype), otypes=[object])(right)
        return "" if (got == right).all() else "values differ"
    # A sum of n products is off by at most n eps sum(|x y|); 16-bit floats sum in float32, round once.
    n = sum(a.shape[axis] for axis in oracle.resolve(axes, a.ndim, b.ndim)[0]) + 2
    half = out.dtype in (torch.float16, torch.bfloat16)
    eps = torch.finfo(torch.float32 if half else out.dtype).eps
    bound = n * eps * oracle.batch_dot(np.abs(a), np.abs(b), axes, batch_dims)
    if half:
        bound = bound + torch.finfo(out.dtype).eps / 2 * np.abs(right)
    worst = (np.abs(got - right) - bound).max(initial=0.0)
    return "" if worst <= 0 else f"error {np.abs(got - right).max()}"


def failures(cases: list[Case], dtype: torch.dtype) -> list[str]:
    found = []
    for case in cases:
        x, y = case.tensors(dtype)
        wrong = check(batch_dot(x, y, case.axes), x, y, case.axes)
        if wrong:
            found.append(f"{case} {dtype}: {wrong}")
    return found


@pytest.mark.parametrize("ranks", PAIRS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sample(dtype, ranks):
    assert not failures(enumerate_cases(*ranks, sample=DTYPES.index(dtype)), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", PAIRS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_whole(dtype, ranks):
    assert not failures(enumerate_cases(*ranks), dtype)


def test_the_enumeration_is_what_it_says():
    whole = [case for ranks in PAIRS for case in enumerate_cases(*ranks)]
    sample = [case for ranks in PAIRS for case in enumerate_cases(*ranks, sample=0)]
    assert (len(whole), len(sample)) == (4800, 1200)

    def classes(cases, *fields):
        return {(len(c.x_shape), len(c.y_shape), *(getattr(c, f) for f in fields)) for c in cases}

    assert len(classes(sample, "sizes", "x_layout")) == 16 * len(SIZES) * len(LAYOUTS)
    assert len(classes(whole, "axes", "sizes", "x_layout")) == 4800
    assert {(c.x_layout, c.y_layout) for c in sample} == set(itertools.product(LAYOUTS, LAYOUTS))
    strides = {layout: {c.tensors(torch.float32)[0].is_contiguous() for c in whole if c.x_layout == layout}
               for layout in LAYOUTS}  # fmt: skip
    assert strides["contiguous"] == {True}
    assert all(False in strides[layout] for layout in LAYOUTS[1:])


@pytest.mark.parametrize("ranks", PAIRS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_cosines(dtype, ranks):
    found = []
    for case in enumerate_cases(*ranks, sample=DTYPES.index(dtype)):
        x, y = case.tensors(dtype)
        out = batch_dot(x, y, case.axes, normalize=True)
        right = oracle.cosine(oracle.to_numpy(x), oracle.to_numpy(y), case.axes)
        error = (
            np.abs(oracle.to_numpy(out) - right).max(initial=0.0) if out.shape == right.shape else out.shape
        )
        if out.dtype != dtype or isinstance(error, tuple) or error > 4 * torch.finfo(dtype).eps:
            found.append(f"{case}: {error}")
    assert not found


# x shape, y shape, axes, batch_dims
WIDER = [
    ((2, 3, 4), (2, 3, 4), ((1, 2), (1, 2)), 1),
    ((2, 3, 4), (2, 4, 3), ((1, 2), (2, 1)), 1),
    ((2, 3, 4, 5), (2, 5, 3, 6), ((1, 3), (2, 1)), 1),
    ((2, 3, 4, 5), (2, 5, 3, 6), ((3, 1), (1, 2)), 1),
    ((2, 3, 4, 5), (2, 4, 3), ((-2, 1), (1, -1)), 1),
    ((2, 3, 4), (2, 5, 3, 6, 4), ((1, -1), (-3, -1)), 1),
    ((2, 3, 4, 5), (2, 3, 4, 5), ((1, 2, 3), (1, 2, 3)), 1),
    ((2, 3, 3, 3), (2, 3, 3, 3), ((1, 2, 3), (3, 1, 2)), 1),
    ((2, 3, 4), (2, 5), ((), ()), 1),
    ((2, 3, 4), (2, 3, 4), 2, 2),
    ((2, 3, 4), (2, 3, 4), None, 2),
    ((2, 3, 4, 5), (2, 3, 5), -1, 2),
    ((2, 3, 4, 5), (2, 3, 6, 5), (3, 3), 2),
    ((2, 3, 4, 5), (2, 3, 5, 6), None, 2),
    ((2, 3, 4, 5), (2, 3, 4, 7, 5), -1, 3),
    ((2, 3, 4, 5), (2, 3, 4, 5), -1, 3),
    ((2, 3, 4, 5), (2, 3, 5, 4), ((2, 3), (3, 2)), 2),
    ((2, 1, 4), (2, 1, 4), 2, 2),
    ((0, 3, 4), (0, 3, 5, 4), -1, 2),
    ((2, 3, 0), (2, 3, 0), -1, 2),
]


def right_shape(x_shape, y_shape, axes, batch_dims):
    """None stands for the axes it would be were the shared ones a single one."""
    if axes is not None:
        return axes
    return (-1, -1) if len(y_shape) == batch_dims + 1 else (-1, -2)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16, torch.int8], ids=str)
def test_several_axes_and_several_shared_axes(dtype):
    found = []
    for number, (x_shape, y_shape, axes, batch_dims) in enumerate(WIDER):
        resolved = right_shape(x_shape, y_shape, axes, batch_dims)
        for x_layout, y_layout in itertools.product(LAYOUTS, LAYOUTS):
            x, y = Case(x_shape, y_shape, axes, "", x_layout, y_layout, number).tensors(dtype)
            wrong = check(batch_dot(x, y, axes, batch_dims=batch_dims), x, y, resolved, batch_dims)
            if wrong:
                found.append(f"{x_layout} {x_shape}, {y_layout} {y_shape}, {axes}, {batch_dims}: {wrong}")
    assert not found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_cosines_of_several_axes(dtype):
    for number, (x_shape, y_shape, axes, batch_dims) in enumerate(WIDER):
        resolved = right_shape(x_shape, y_shape, axes, batch_dims)
        x, y = Case(x_shape, y_shape, axes, "", "permuted", "sliced", number).tensors(dtype)
        out = batch_dot(x, y, axes, batch_dims=batch_dims, normalize=True)
        if resolved == ((), ()):
            continue  # a slice along no axes is a number: covered below
        right = oracle.cosine(oracle.to_numpy(x), oracle.to_numpy(y), resolved, batch_dims)
        np.testing.assert_allclose(oracle.to_numpy(out), right, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_cosine_along_no_axes_normalizes_each_number():
    x, y = torch.tensor([[2.0, -3.0]]), torch.tensor([[0.0, 5.0]])
    out = batch_dot(x, y, ((), ()), normalize=True)
    torch.testing.assert_close(out, torch.tensor([[[0.0, 1.0], [0.0, -1.0]]]), rtol=0, atol=0)


BLOCKS = [((3000, 200), (3000, 200), 1), ((3000, 1, 200), (3000, 200), (2, 1)), ((70000, 8), (70000, 8), -1)]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("x_shape", "y_shape", "axes"), BLOCKS, ids=str)
def test_rows_in_blocks(x_shape, y_shape, axes, normalize):
    x, y = torch.randn(x_shape, dtype=torch.float64), torch.randn(y_shape, dtype=torch.float64)
    out = batch_dot(x, y, axes, normalize=normalize)
    right = torch.einsum("bk,bk->b", x.reshape(len(x), -1), y)
    if normalize:
        right = right / (x.reshape(len(x), -1).norm(dim=1) * y.norm(dim=1))
    assert out.numel() == len(x)
    torch.testing.assert_close(out.flatten(), right, rtol=0, atol=1e-12)
