"""The same calls on a CUDA device: int64 too, for which torch has no matrix product there."""

import itertools

import pytest
import torch
from tests.support.cases import RANKS, enumerate_cases

from batchdot import batch_dot, dot

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.complex64], ids=str)
def test_as_on_the_cpu(dtype):
    found = []
    for ranks in itertools.product(RANKS, RANKS):
        for case in enumerate_cases(*ranks, sample=0):
            x, y = case.tensors(dtype)
            out, right = batch_dot(x.cuda(), y.cuda(), case.axes), batch_dot(x, y, case.axes)
            close = torch.equal if dtype == torch.int64 else torch.allclose
            options = {} if dtype == torch.int64 else {"rtol": 1e-4, "atol": 1e-4}
            if out.shape != right.shape or out.dtype != dtype or not close(out.cpu(), right, **options):
                found.append(str(case))
    assert not found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_cosines(dtype):
    for x_shape, y_shape in (((30, 8), (30, 8)), ((3, 4, 8), (3, 5, 8)), ((3, 4, 8), (3, 8))):
        x, y = torch.randn(x_shape).to(dtype), torch.randn(y_shape).to(dtype)
        out = batch_dot(x.cuda(), y.cuda(), -1, normalize=True)
        assert out.dtype == dtype
        assert out.abs().max() <= 1
        torch.testing.assert_close(out.cpu(), batch_dot(x, y, -1, normalize=True))


def test_large_integer_products_are_formed_in_blocks():
    x, y = torch.randint(-99, 99, (3, 70, 300)), torch.randint(-99, 99, (3, 300, 80))
    assert torch.equal(batch_dot(x.cuda(), y.cuda()).cpu(), batch_dot(x, y))
    assert torch.equal(dot(x.cuda(), y[0].cuda()).cpu(), dot(x, y[0]))


def test_devices_differ():
    with pytest.raises(ValueError, match="x is on cuda:0, y on cpu"):
        batch_dot(torch.ones(2, 3).cuda(), torch.ones(2, 3), 1)


def test_lists_go_to_the_device():
    assert batch_dot(torch.ones(1, 2).cuda(), [[1.0, 2.0]], 1).device.type == "cuda"
