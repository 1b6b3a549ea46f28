"""The table of refusals, on real, meta, compiled and symbolic tensors; and what a cache must not hide."""

from types import SimpleNamespace

import pytest
import torch
from tests.support import error_cases
from tests.support.tiers import one_of

import batchdot
from batchdot.symbolic.tensor import KerasTensor

TYPES = {"AxisError": batchdot.AxisError}


def ids(table):
    return [row[0] for row in table]


def expect(kind, text, call):
    kind = TYPES.get(kind, kind)
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    assert str(caught.value) == text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def make(device):
    return lambda *shape, dtype=torch.float32: torch.empty(shape, dtype=dtype, device=device)


TENSORS = pytest.mark.parametrize("row", error_cases.TENSORS, ids=ids(error_cases.TENSORS))


@TENSORS
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors(row, device):
    _, call, kind, text = row
    expect(kind, text, lambda: call(batchdot, make(device)))
    expect(kind, text, lambda: call(batchdot, make(device)))  # nothing was kept


@TENSORS
def test_symbolic_tensors(row):
    _, call, kind, text = row
    expect(kind, text, lambda: call(batchdot, lambda *shape, dtype=torch.float32: KerasTensor(shape, dtype)))


@pytest.mark.parametrize("row", one_of(4, error_cases.TENSORS), ids=ids(error_cases.TENSORS))
def test_compiled(row):
    _, call, kind, text = row
    # Tensors are made outside, so that what is compiled is the call alone.
    pool = []

    def keep(*shape, dtype=torch.float32):
        pool.append(torch.empty(shape, dtype=dtype))
        return pool[-1]

    arguments = []
    recorder = SimpleNamespace(
        batch_dot=lambda *args, **kwargs: arguments.append(("batch_dot", args, kwargs)),
        dot=lambda *args: arguments.append(("dot", args, {})),
    )
    call(recorder, keep)
    ((name, (x, y, *axes), kwargs),) = arguments

    @torch.compile(backend="eager")
    def compiled(x, y):
        return getattr(batchdot, name)(x, y, *axes, **kwargs)

    torch._dynamo.reset()
    expect(kind, text, lambda: compiled(x, y))


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("row", error_cases.HOST, ids=ids(error_cases.HOST))
def test_the_rest(row):
    _, call, kind, text = row
    expect(kind, text, lambda: call(batchdot))


def test_the_table_is_long_enough():
    names = ids(error_cases.TENSORS) + ids(error_cases.HOST)
    assert len(names) == len(set(names)) >= 40


def test_axis_error_is_both():
    assert issubclass(batchdot.AxisError, ValueError)
    assert issubclass(batchdot.AxisError, IndexError)


# A good call first, then one whose arguments are equal, or hash alike, and are not good.
X, Y = torch.ones(2, 3), torch.ones(2, 3)
EQUAL = {
    "True for 1": (1, True),
    "1.0 for 1": (1, 1.0),
    "(True, 1) for (1, 1)": ((1, 1), (True, 1)),
    "[1, 1.0] for [1, 1]": ([1, 1], [1, 1.0]),
    "(1.0, 1.0) for (1, 1)": ((1, 1), (1.0, 1.0)),
    "([1], [True]) for ([1], [1])": (([1], [1]), ([1], [True])),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_cache_does_not_take_equal_for_the_same(name):
    good, bad = EQUAL[name]
    for _ in range(2):
        assert torch.equal(batchdot.batch_dot(X, Y, good), torch.full((2, 1), 3.0))
    with pytest.raises((TypeError, ValueError), match="argument `axes`"):
        batchdot.batch_dot(X, Y, bad)


def test_cache_tells_equal_options_of_other_types_apart():
    batchdot.batch_dot(X, Y, 1, batch_dims=1, epsilon=1.0)
    with pytest.raises(TypeError, match="batch_dims should be an integer"):
        batchdot.batch_dot(X, Y, 1, batch_dims=True, epsilon=1.0)
    with pytest.raises(TypeError, match="epsilon should be a number"):
        batchdot.batch_dot(X, Y, 1, epsilon=True)


def test_the_cache_tells_layouts_dtypes_and_devices_apart():
    ones = torch.ones(1).expand(2, 3)  # strides of zero, as a sparse COO tensor shows them
    for _ in range(2):
        assert batchdot.batch_dot(ones, Y, 1).tolist() == [[3.0], [3.0]]
        assert batchdot.dot(ones, Y.mT).tolist() == [[3.0, 3.0]] * 2
        assert batchdot.dot(torch.tensor(2.0), Y).tolist() == [[2.0] * 3] * 2
    with pytest.raises(TypeError, match="x is sparse_coo"):
        batchdot.batch_dot(X.to_sparse(), Y, 1)
    with pytest.raises(TypeError, match="y is sparse_coo"):
        batchdot.batch_dot(X, Y.to_sparse(), 1)
    assert batchdot.dot(X.to_sparse(), Y.mT).tolist() == [[3.0, 3.0]] * 2
    number = torch.sparse_coo_tensor(torch.empty(0, 1, dtype=torch.int64), torch.tensor([2.0]), ())
    with pytest.raises(ValueError, match="both inputs are matrices"):
        batchdot.dot(number, Y)
    for dtype in (torch.float32, torch.float64, torch.int32, torch.complex64, torch.float16):
        assert batchdot.batch_dot(X.to(dtype), Y.to(dtype), 1).dtype == dtype
    with pytest.raises(TypeError, match="x is bool"):
        batchdot.batch_dot(X.bool(), Y, 1)
    assert batchdot.batch_dot(X.to("meta"), Y.to("meta"), 1).device.type == "meta"
    with pytest.raises(ValueError, match="on one device"):
        batchdot.batch_dot(X.to("meta"), Y, 1)


def test_cosines_of_integers_follow_a_changed_default_dtype():
    x = torch.ones(2, 3, dtype=torch.int64)
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            assert batchdot.batch_dot(x, x, 1, normalize=True).dtype == dtype
    finally:
        torch.set_default_dtype(before)
