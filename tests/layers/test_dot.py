"""dot: numpy.dot's rule for every two ranks, and the sparse left operand."""

import itertools

import numpy as np
import pytest
import torch
from tests.support import oracle
from tests.support.cases import LAYOUTS, lay_out, values

from batchdot import dot

SHAPES = [(), (3,), (2, 3), (4, 2, 3), (2, 1, 4, 3)]
RIGHT = {0: (), 1: (3,), 2: (3, 5), 3: (2, 3, 5), 4: (2, 4, 3, 2)}


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int64, torch.complex64, torch.bfloat16], ids=str
)
def test_as_numpy_dot(dtype):
    for x_shape, y_rank in itertools.product(SHAPES, RIGHT):
        for layout in LAYOUTS:
            x, y = values(x_shape, dtype), values(RIGHT[y_rank], dtype)
            if x.ndim and y.ndim:
                x, y = lay_out(x, layout, 1), lay_out(y, layout, 2)
            out = dot(x, y)
            right = np.dot(oracle.to_numpy(x), oracle.to_numpy(y))
            assert out.dtype == dtype
            assert tuple(out.shape) == np.shape(right)
            if dtype == torch.int64:
                right = np.vectorize(lambda v: oracle.wrap(v, dtype), otypes=[object])(right)
                assert (oracle.to_numpy(out) == right).all()
            else:
                tolerance = 4 * torch.finfo(dtype).eps
                np.testing.assert_allclose(oracle.to_numpy(out), right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((2, 3), (3, 0)),
        ((0,), (0,)),
        ((2, 6, 0), (0, 4)),
        ((), (0, 3)),
        ((2, 0), (5, 0, 3)),
    ],
    ids=str,
)
def test_empty(x_shape, y_shape):
    out = dot(torch.ones(x_shape), torch.ones(y_shape))
    right = np.dot(np.ones(x_shape), np.ones(y_shape))
    assert tuple(out.shape) == right.shape
    assert (out.numpy() == right).all()


def test_lists_and_numbers():
    assert dot([1, 2], [3, 4]).item() == 11
    assert dot(2, [[3, 4]]).tolist() == [[6, 8]]
    assert dot(2.5, 2).item() == 5.0
    assert dot(np.eye(2), [[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


# --- sparse -------------------------------------------------------------------------------------------

DENSE = torch.tensor([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 1, 0]])
Y = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 9]])
LAYOUT = {
    "coo": torch.Tensor.to_sparse,
    "csr": torch.Tensor.to_sparse_csr,
    "hybrid coo": lambda t: t.to_sparse(1),
}
SPARSE_DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128,
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8,
]  # fmt: skip


@pytest.mark.parametrize("dtype", SPARSE_DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUT)
def test_sparse(layout, dtype):
    out = dot(LAYOUT[layout](DENSE.to(dtype)), Y.to(dtype))
    assert (out.layout, out.dtype) == (torch.strided, dtype)
    assert torch.equal(out, (DENSE @ Y).to(dtype))


def test_sparse_of_dtypes_that_torch_does_not_multiply():
    indices = DENSE.nonzero().T
    for dtype in (torch.uint16, torch.uint32, torch.uint64, torch.complex32):
        x = torch.sparse_coo_tensor(indices, DENSE[tuple(indices)].to(dtype), DENSE.shape)
        out = dot(x, Y.to(dtype))
        assert out.dtype == dtype
        assert torch.equal(out.to(torch.complex128), (DENSE @ Y).to(torch.complex128))


def test_sparse_integers_wrap():
    x = torch.tensor([[100, 100]], dtype=torch.int8)
    assert dot(x.to_sparse(), torch.tensor([[2], [1]], dtype=torch.int8)).item() == 300 - 256
    x = torch.tensor([[2**53 + 1, 0]])
    assert dot(x.to_sparse_csr(), torch.tensor([[1], [1]])).item() == 2**53 + 1


def test_sparse_promotes_and_converts():
    out = dot(DENSE.to_sparse(), Y.double())
    assert out.dtype == torch.float64
    assert dot(DENSE.float().to_sparse(), Y.tolist()).tolist() == (DENSE @ Y).tolist()
    assert dot(DENSE.double().to_sparse_csr(), Y.numpy()).tolist() == (DENSE @ Y).tolist()


def test_sparse_that_is_not_coalesced():
    x = torch.sparse_coo_tensor([[0, 0], [1, 1]], [2.0, 3.0], (2, 2))
    assert dot(x, torch.eye(2)).tolist() == [[0, 5], [0, 0]]


def test_sparse_16_bit_floats_accumulate_in_float32():
    x = torch.ones(1, 4096, dtype=torch.float16)
    assert dot(x.to_sparse(), x.mT).item() == 4096


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_gradients_of_a_sparse_dot(layout):
    x = LAYOUT[layout](DENSE.double()).requires_grad_()
    y = Y.double().requires_grad_()
    weight = torch.tensor([[1.0, 2], [3, 4], [5, 6]], dtype=torch.float64)
    (dot(x, y) * weight).sum().backward()
    torch.testing.assert_close(y.grad, DENSE.double().mT @ weight)
    mask = DENSE != 0
    torch.testing.assert_close(x.grad.to_dense() * mask, (weight @ y.detach().mT) * mask)


def test_sparse_leaves_no_plan_behind():
    for _ in range(2):
        assert dot(DENSE.to_sparse(), Y).tolist() == (DENSE @ Y).tolist()
        assert dot(DENSE, Y).tolist() == (DENSE @ Y).tolist()
