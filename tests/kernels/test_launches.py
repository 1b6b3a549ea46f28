"""What ATen costs on a GPU, counted without one: launches, synchronizations and memory of "cuda" plans."""

import pytest
import torch
from tests.support.launches import count_aten, counted, cuda_plan

from batchdot.kernels import KERNELS
from batchdot.ops.arguments import batch_dot_operation

MIB = 1 << 20


def meta(shape, dtype):
    return torch.empty(shape, dtype=dtype, device="meta")


# dtype, normalize: the most launches of a call, and with the gradients of both inputs
ROWS = [
    ("float32", False, 2, 4),
    ("float64", False, 2, 4),
    ("bfloat16", False, 5, 10),
    ("float16", False, 5, 10),
    ("int64", False, 2, None),
    ("complex64", False, 2, 6),
    ("float32", True, 15, 57),
    ("bfloat16", True, 15, 57),
    ("float16", True, 15, 57),
    ("float64", True, 164, 195),
    ("int64", True, 15, None),
]


@pytest.mark.parametrize("shape", [(32, 128), (65536, 128), (32, 16, 128), (16, 1_000_000)], ids=str)
@pytest.mark.parametrize(("dtype", "normalize", "forward", "with_gradients"), ROWS, ids=str)
def test_rows(shape, dtype, normalize, forward, with_gradients):
    """As many for large inputs as for small ones, and for long rows as for short ones."""
    x = meta(shape[-2:], getattr(torch, dtype))
    operation = batch_dot_operation(1, normalize=normalize)
    counts = count_aten(operation, x, x.clone())
    assert len(counts.launches) <= forward, counts.launches
    assert not counts.synchronizations
    if with_gradients is not None:
        counts = count_aten(operation, x, x.clone(), backward=True)
        assert len(counts.launches) <= with_gradients, counts.launches
        assert not counts.synchronizations


# shapes, axes, dtype, normalize: the most launches of a call, and with the gradients of both inputs
MATRICES = [
    ((32, 128, 64), (32, 128, 64), 2, "float32", False, 1, 3),
    ((32, 128, 64), (32, 128, 64), 2, "float32", True, 16, 62),
    ((32, 128, 64), (32, 128, 64), 2, "bfloat16", True, 16, 62),
    ((32, 128, 64), (32, 128, 64), 2, "float64", True, 38, 71),
    ((1024, 100, 64), (1024, 64), (2, 1), "float32", False, 1, 3),
    ((1024, 100, 64), (1024, 64), (2, 1), "float32", True, 16, 62),
    ((1024, 64), (1024, 100, 64), (1, 2), "bfloat16", True, 16, 62),
    ((32, 128, 64), (32, 128, 64), 2, "int64", False, 4, None),
    ((32, 128, 64), (32, 128, 64), 2, "int32", False, 4, None),
    ((512, 512, 512), (512, 512, 512), 2, "int8", False, 5, None),
    ((512, 512, 512), (512, 512, 512), 2, "uint8", False, 5, None),
]


@pytest.mark.parametrize(("x", "y", "axes", "dtype", "normalize", "forward", "with_gradients"), MATRICES)
def test_matrices(x, y, axes, dtype, normalize, forward, with_gradients):
    x, y = (meta(shape, getattr(torch, dtype)) for shape in (x, y))
    operation = batch_dot_operation(axes, normalize=normalize)
    counts = count_aten(operation, x, y)
    assert len(counts.launches) <= forward, counts.launches
    assert not counts.synchronizations
    if with_gradients is not None:
        counts = count_aten(operation, x, y, backward=True)
        assert len(counts.launches) <= with_gradients, counts.launches
        assert not counts.synchronizations


# dtype, normalize: MiB held at once besides the inputs, and with the gradients of both inputs
MEMORY = [
    ("float32", False, 260, 2060),
    ("float32", True, 780, 3130),
    ("bfloat16", True, 780, 3130),
    ("float64", True, 1870, 4100),
]


@pytest.mark.parametrize(("dtype", "normalize", "forward", "with_gradients"), MEMORY, ids=str)
def test_memory_of_large_rows_is_that_of_a_block(dtype, normalize, forward, with_gradients):
    """Of (1 << 20, 128), 512 MiB in float32. What autograd saves is of all blocks."""
    x = meta((1 << 20, 128), getattr(torch, dtype))
    operation = batch_dot_operation(1, normalize=normalize)
    assert count_aten(operation, x, x.clone()).peak_bytes <= forward * MIB
    assert count_aten(operation, x, x.clone(), backward=True).peak_bytes <= with_gradients * MIB


def test_blocks_for_cuda_give_the_same_numbers():
    """Values of a plan for "cuda", run on the CPU: as those of a plan for the CPU."""
    x, y = (torch.randn(2**16, 20, dtype=torch.float64) for _ in "xy")
    for normalize in (False, True):
        operation = batch_dot_operation(1, normalize=normalize)
        out = KERNELS[-1].build(cuda_plan(operation, x, y)).run(x, y)
        torch.testing.assert_close(out, KERNELS[-1].build(operation.lower(x, y)).run(x, y))


def test_counting_sees_what_it_should():
    """A launch, a view, a synchronization, bytes that are freed again."""
    x = torch.ones(4, 4)
    with counted() as counts:
        y = (x + 1).T.reshape(2, 8)
        del y
        bool((x * 2).sum() > 0)
    assert counts.launches == ["add", "clone", "mul", "sum", "gt", "_local_scalar_dense"]
    assert counts.synchronizations == ["_local_scalar_dense"]
    assert counts.peak_bytes == 128
