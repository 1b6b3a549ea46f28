"""What is taken for a tensor: numpy arrays of every kind, nested lists, numbers; dtypes and views."""

import itertools

import numpy as np
import pytest
import torch
from tests.support import oracle
from tests.support.cases import values

from batchdot import batch_dot
from batchdot.convert import ARITHMETIC, as_tensor

ROW = np.arange(12).reshape(3, 4) % 5


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def field(array):
    """Return a view whose strides are no whole number of elements."""
    records = np.zeros(array.shape, dtype=[("value", array.dtype), ("rest", "i1")])
    records["value"] = array
    return records["value"]


ARRAYS = {
    "plain": lambda a: a,
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "negative strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda a: a.T.copy().T,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "a field of records": field,
    "a subclass": lambda a: a.view(np.matrix),
}
DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind, dtype):
    array = ARRAYS[kind](ROW.astype(dtype))
    tensor = as_tensor(array)
    assert tensor.dtype == as_tensor(np.zeros(1, dtype)).dtype
    assert torch.equal(tensor.to(torch.complex128), torch.tensor(np.asarray(array).astype("c16")))
    out = batch_dot(array, array, 1)
    assert out.dtype == tensor.dtype
    right = (np.asarray(array, dtype="c16") ** 2).sum(1, keepdims=True)
    assert out.to(torch.complex128).tolist() == right.tolist()


def test_dtypes_of_arrays_are_kept():
    names = [str(as_tensor(np.zeros(1, dtype)).dtype).removeprefix("torch.") for dtype in DTYPES]
    assert names == [np.dtype(dtype).name for dtype in DTYPES]
    assert as_tensor(np.zeros(1, np.longlong)).dtype == torch.int64


def test_arrays_share_memory_where_torch_can():
    array = np.zeros((2, 3), dtype="f4")
    assert as_tensor(array).data_ptr() == array.ctypes.data
    assert as_tensor(read_only(array)).data_ptr() != array.ctypes.data


# value, dtype, shape
PLAIN = [
    ([[1, 2], [3, 4]], torch.int64, (2, 2)),
    ([[1.0, 2], [3, 4]], torch.float32, (2, 2)),
    ([[1, 2.0]], torch.float32, (1, 2)),
    (((1j, 2),), torch.complex64, (1, 2)),
    (3, torch.int64, ()),
    (3.5, torch.float32, ()),
    ([], torch.float32, (0,)),
    ([[], []], torch.float32, (2, 0)),
    (np.float64(1), torch.float64, ()),
    (np.float32(1), torch.float32, ()),
    (np.int8(1), torch.int8, ()),
    (np.array(2.0), torch.float64, ()),
    ([np.array([1, 2], "f4"), np.array([3, 4], "f4")], torch.float32, (2, 2)),
    (range(3), torch.int64, (3,)),
    ([2**62], torch.int64, (1,)),
]


@pytest.mark.parametrize(("value", "dtype", "shape"), PLAIN, ids=str)
def test_numbers_and_lists(value, dtype, shape):
    tensor = as_tensor(value)
    assert (tensor.dtype, tuple(tensor.shape)) == (dtype, shape)
    assert np.array_equal(tensor.numpy(), np.asarray(value).reshape(shape))


def test_lists_of_floats_have_the_default_dtype():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert as_tensor([1.5]).dtype == torch.float64
        assert as_tensor(np.float32(1.5)).dtype == torch.float32
        assert batch_dot([[1.0, 2.0]], [[3.0, 4.0]], 1).dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


def test_bfloat16_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    array = ROW.astype(ml_dtypes.bfloat16)
    assert torch.equal(as_tensor(array), torch.tensor(ROW).bfloat16())


def test_what_is_no_tensor_goes_where_the_other_is():
    y = torch.ones(2, 3, device="meta")
    assert batch_dot([[1.0, 2, 3]] * 2, y, 1).device.type == "meta"
    assert batch_dot(y, np.ones((2, 3)), 1).device.type == "meta"


def test_tensors_are_taken_as_they_are():
    x = torch.ones(2, 3)
    assert as_tensor(x) is x
    assert batch_dot(torch.nn.Parameter(x), x, 1).requires_grad


# --- dtypes -------------------------------------------------------------------------------------------

SHAPES = [
    ((3, 40), (3, 40), 1),
    ((2, 3, 40), (2, 40), -1),
    ((2, 40), (2, 40, 3), 1),
    ((2, 3, 40), (2, 4, 40), 2),
]


@pytest.mark.parametrize("dtype", oracle.INTEGERS, ids=str)
def test_integers_are_exact_and_wrap(dtype):
    for x_shape, y_shape, axes in SHAPES:
        x, y = values(x_shape, dtype), values(y_shape, dtype)
        right = oracle.batch_dot(oracle.to_numpy(x), oracle.to_numpy(y), axes)
        right = np.vectorize(lambda v: oracle.wrap(v, dtype), otypes=[object])(right)
        out = batch_dot(x, y, axes)
        assert out.dtype == dtype
        assert (oracle.to_numpy(out) == right).all()


def test_int64_is_exact_where_floats_are_not():
    x = torch.tensor([[2**53 + 1, 1]])
    assert batch_dot(x, torch.tensor([[1, 0]]), 1).item() == 2**53 + 1
    assert batch_dot(x[:, None], torch.tensor([[[1], [0]]])).item() == 2**53 + 1


@pytest.mark.parametrize("pair", list(itertools.combinations(sorted(ARITHMETIC, key=str), 2)), ids=str)
def test_mixed_dtypes_promote(pair):
    try:
        expected = torch.promote_types(*pair)
    except RuntimeError:
        expected = None
    for x_shape, y_shape, axes in SHAPES:
        for x_dtype, y_dtype in (pair, pair[::-1]):
            x, y = (torch.ones(shape).to(dtype) for shape, dtype in ((x_shape, x_dtype), (y_shape, y_dtype)))
            if expected is None:
                with pytest.raises(TypeError, match="finds no common dtype"):
                    batch_dot(x, y, axes)
                continue
            out = batch_dot(x, y, axes)
            assert out.dtype == expected
            assert set(out.to(torch.complex128).flatten().tolist()) == {40}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bit_floats_accumulate_in_float32(dtype):
    """Sums of 4,096 ones, and of terms that cancel beyond the range of float16."""
    for x_shape, y_shape, axes in SHAPES:
        x, y = torch.ones(*x_shape[:-1], 4096, dtype=dtype), torch.ones(y_shape, dtype=dtype)
        y = y.new_ones([4096 if n == 40 else n for n in y_shape])
        assert (batch_dot(x, y, axes) == 4096).all()
        x[..., 1::2] = -1
        x[..., 0], x[..., 1] = 300, -300
        y_axis = y_shape.index(40)
        y.select(y_axis, 0).fill_(300)
        y.select(y_axis, 1).fill_(300)
        assert (batch_dot(x, y, axes) == 0).all()


def test_complex32():
    x, y = torch.randn(3, 2, 4, dtype=torch.complex64), torch.randn(3, 5, 4, dtype=torch.complex64)
    x, y = x.to(torch.complex32), y.to(torch.complex32)
    for a, b in ((x, y), (x[:, 0], y[:, 0]), (x, y[:, 0])):
        out = batch_dot(a, b, -1)
        assert out.dtype == torch.complex32
        right = batch_dot(a.to(torch.complex64), b.to(torch.complex64), -1)
        torch.testing.assert_close(out.to(torch.complex64), right, rtol=2e-3, atol=2e-3)


def test_conjugate_and_negative_views():
    z, w = torch.randn(3, 4, dtype=torch.complex128), torch.randn(3, 2, 4, dtype=torch.complex128)
    for x in (z.conj(), torch._neg_view(z.real), z.conj().imag, w.conj(), w.conj().imag):
        for y in (z, w, z.conj(), w.conj()):
            for normalize in (False, True):
                out = batch_dot(x, y, -1, normalize=normalize)
                right = batch_dot(
                    x.resolve_conj().resolve_neg().clone(), y.resolve_conj().clone(), -1, normalize=normalize
                )
                torch.testing.assert_close(out, right)


def test_nothing_is_conjugated():
    assert batch_dot(torch.tensor([[1j]]), torch.tensor([[1j]]), 1).item() == -1
    assert batch_dot(torch.tensor([[[1j]]]), torch.tensor([[[1j], [1]]]), 2).flatten().tolist() == [-1, 1j]


def test_autocast_does_not_decide_the_dtype():
    x, y = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        for normalize in (False, True):
            for a, b in ((x, y), (x[:, 0], y[:, 0]), (x, y[:, 0]), (x.double(), y)):
                assert batch_dot(a, b, -1, normalize=normalize).dtype == torch.promote_types(a.dtype, b.dtype)


def test_inputs_are_left_as_they_were():
    x, y = torch.randn(2, 3, 4), torch.randn(2, 4)
    copies = x.clone(), y.clone()
    for normalize in (False, True):
        batch_dot(x, y, -1, normalize=normalize).zero_()
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])
