"""Plans: label, views, copies, dtypes and blocks, as tables; the plan cache; how plans are printed."""

import itertools

import pytest
import torch
from expecttest import assert_expected_inline
from tests.support.cases import LAYOUTS, RANKS, enumerate_cases, lay_out

from batchdot.ops.functional import plan
from batchdot.planning.plan import MATMUL, MATVEC, VECDOT, VECMAT

NONE = ()

# x shape, y shape, axes, batch_dims, label, inputs copied
CONTIGUOUS = [
    ((32, 128), (32, 128), 1, 1, VECDOT, NONE),
    ((32, 1, 128), (32, 1, 128), 2, 1, VECDOT, NONE),
    ((32, 1, 128), (32, 128), -1, 1, VECDOT, NONE),
    ((32, 1, 1, 128), (32, 128, 1), (3, 1), 1, VECDOT, NONE),
    ((32, 7, 128), (32, 7, 128), 2, 2, VECDOT, NONE),
    ((32, 5, 7), (32, 7, 5), ((1, 2), (2, 1)), 1, VECDOT, NONE),
    ((32, 100, 64), (32, 64), -1, 1, MATVEC, NONE),
    ((32, 64, 100), (32, 64), 1, 1, MATVEC, NONE),
    ((32, 100, 64), (32, 1, 64), 2, 1, MATVEC, NONE),
    ((32, 64), (32, 100, 64), -1, 1, VECMAT, NONE),
    ((32, 64), (32, 64, 100), 1, 1, VECMAT, NONE),
    ((32, 9, 64), (32, 8, 64), 2, 1, MATMUL, NONE),
    ((32, 9, 64), (32, 64, 8), (2, 1), 1, MATMUL, NONE),
    ((32, 64, 9), (32, 64, 8), 1, 1, MATMUL, NONE),
    ((32, 64, 9), (32, 8, 64), (1, 2), 1, MATMUL, NONE),
    ((32, 7, 10, 64), (32, 64, 8, 5), (3, 1), 1, MATMUL, NONE),
    ((32, 7, 10, 64), (32, 8, 5, 64), -1, 1, MATMUL, NONE),
    ((32, 4, 9, 64), (32, 4, 8, 64), 3, 2, MATMUL, NONE),
    ((32, 4, 64), (32, 4, 64, 5), (2, 2), 2, VECMAT, NONE),
    ((32, 9, 5, 7), (32, 5, 7, 8), ((2, 3), (1, 2)), 1, MATMUL, NONE),
    ((32, 9, 5, 7), (32, 5, 7, 8), ((3, 2), (2, 1)), 1, MATMUL, NONE),
    ((32, 6), (32, 7), ((), ()), 1, MATMUL, NONE),
    # Free axes on both sides of the contracted one do not merge; nor do contracted ones in another order.
    ((32, 7, 64, 10), (32, 64, 8), (2, 1), 1, MATMUL, ("x",)),
    ((32, 9, 64), (32, 8, 64, 5), (2, 2), 1, MATMUL, ("y",)),
    ((32, 7, 64, 10), (32, 8, 64, 5), 2, 1, MATMUL, ("x", "y")),
    ((32, 7, 64, 1), (32, 64, 8), (2, 1), 1, MATMUL, NONE),
    ((32, 9, 5, 7), (32, 7, 5, 3), ((2, 3), (2, 1)), 1, MATMUL, ("y",)),
    ((32, 2, 5, 7), (32, 7, 5, 99), ((2, 3), (2, 1)), 1, MATMUL, ("x",)),
    ((0, 7, 64, 10), (0, 64, 8), (2, 1), 1, MATMUL, NONE),
]


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "batch_dims", "label", "copies"), CONTIGUOUS, ids=str)
def test_plan_of_contiguous_inputs(x_shape, y_shape, axes, batch_dims, label, copies):
    p = plan(torch.empty(x_shape), torch.empty(y_shape), axes, batch_dims=batch_dims)
    assert (p.label, p.copies) == (label, copies)


# x layout, y layout, copies, for (2,7,4,64)(2,64,8,5) axes=(3, 1)
def test_plan_of_strided_inputs():
    x, y = torch.empty(2, 7, 4, 64), torch.empty(2, 64, 8, 5)

    def copies(x, y):
        return plan(x, y, (3, 1)).copies

    assert copies(x, y) == ()
    assert copies(torch.empty(2, 64, 7, 4).permute(0, 2, 3, 1), y) == ()
    assert copies(torch.empty(64, 7, 4, 2).permute(3, 1, 2, 0), y) == ()
    assert copies(torch.empty(2, 4, 7, 64).permute(0, 2, 1, 3), y) == ("x",)
    assert copies(x, torch.empty(8, 5, 2, 64).permute(2, 3, 0, 1)) == ()
    assert copies(x, torch.empty(2, 64, 16, 5)[:, :, ::2]) == ("y",)
    assert copies(x, torch.empty(2, 128, 8, 5)[:, ::2]) == ()
    assert copies(x[:1].expand(2, -1, -1, -1), y) == ()
    assert copies(x[:, :, :1].expand(-1, -1, 4, -1), y) == ("x",)
    assert copies(x[..., :1].expand(-1, -1, -1, 64), y) == ()


def test_plan_copies_exactly_the_named_inputs():
    """By the memory that the views of every case of the enumeration look at."""
    found = []
    for ranks in itertools.product(RANKS, RANKS):
        for case in enumerate_cases(*ranks, sample=2):
            x, y = case.tensors(torch.float32)
            p = plan(x, y, case.axes)
            for name, view, tensor in (("x", p.x, x), ("y", p.y, y)):
                if tensor.numel() == 0:
                    continue
                viewed = view.compile()(tensor)
                shares = viewed.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
                if shares is (name in p.copies):
                    found.append(f"{case}: {name}, {p}")
    assert not found


def test_vecdot_views_never_copy():
    shapes = [((3, 8), (3, 8), 1), ((3, 1, 8), (3, 8), -1), ((3, 4, 5), (3, 5, 4), ((1, 2), (2, 1)))]
    for x_shape, y_shape, axes in shapes:
        for x_layout, y_layout in itertools.product(LAYOUTS, LAYOUTS):
            x, y = lay_out(torch.randn(x_shape), x_layout, 1), lay_out(torch.randn(y_shape), y_layout, 2)
            p = plan(x, y, axes)
            assert (p.label, p.copies) == (VECDOT, ())
            assert p.x.compile()(x).data_ptr() == x.data_ptr()
            assert p.y.compile()(y).data_ptr() == y.data_ptr()


# dtypes of x and y, normalize: dtype of the result, of products in a row, in a matrix, of norms
DTYPES = [
    ("float32", "float32", False, "float32", "float32", "float32", "float64"),
    ("float32", "float64", False, "float64", "float64", "float64", "float64"),
    ("float16", "float16", False, "float16", "float32", "float16", "float64"),
    ("bfloat16", "float16", False, "float32", "float32", "float32", "float64"),
    ("int8", "uint8", False, "int16", "int16", "int16", "float64"),
    ("uint64", "uint64", False, "uint64", "int64", "int64", "float64"),
    ("complex32", "complex32", True, "complex32", "complex64", "complex64", "complex128"),
    ("int64", "int64", True, "float32", "float32", "float32", "float64"),
    ("complex64", "float64", True, "complex128", "complex128", "complex128", "complex128"),
]


@pytest.mark.usefixtures("aten_kernel")
@pytest.mark.parametrize(("x", "y", "normalize", "dtype", "row", "matrix", "wide"), DTYPES, ids=str)
def test_plan_dtypes(x, y, normalize, dtype, row, matrix, wide):
    for shape, compute in (((2, 3), row), ((2, 3, 4), matrix)):
        a, b = (torch.empty(shape, dtype=getattr(torch, name)) for name in (x, y))
        p = plan(a, b, 1, normalize=normalize)
        assert p.dtype == getattr(torch, dtype)
        assert p.compute_dtype == getattr(torch, compute)
        assert p.norm_dtype == getattr(torch, wide)


def test_vecdot_block_size(each_kernel):
    def rows(*shape, **options):
        return plan(torch.empty(shape), torch.empty(shape), 1, **options).block_size

    aten = each_kernel == "aten"
    assert rows(65536, 128) == (1024 if aten else None)
    assert rows(65536, 128, normalize=True) == (512 if aten else None)
    assert rows(2, 10**6) == (1 if aten else None)
    assert rows(1, 10**6) is None
    assert rows(32, 128) is None


def test_a_plan_is_a_value():
    x, y = torch.empty(2, 3), torch.empty(2, 3)
    assert plan(x, y, 1) == plan(x, y, -1)
    assert plan(x, y, 1) != plan(x, y, 1, normalize=True)
    with pytest.raises(AttributeError):
        plan(x, y, 1).label = MATMUL


@pytest.mark.usefixtures("aten_kernel")
def test_plan_by_aten_printed():
    x = torch.empty(32, 7, 64, 10, dtype=torch.float16)
    assert_expected_inline(
        "\n\n".join(
            str(p)
            for p in (
                plan(torch.empty(65536, 128), torch.empty(65536, 128), 1),
                plan(torch.empty(4, 100, 64), torch.empty(4, 64), -1),
                plan(x, torch.empty(32, 64, 8), (2, 1), normalize=True),
                plan(torch.empty(4, 1, 8).int(), torch.empty(4, 8).long(), -1),
            )
        ),
        """\
row product by aten on cpu: bk,bk->b
  x as it is
  y as it is
  result (65536, 1) float32, products in float32
  in blocks of 1024 samples

matrix-vector product by aten on cpu: bik,bk->bi
  x.mT
  y.reshape(4, 1, 64)
  result (4, 100) float32, products in float32

matrix cosine by aten on cpu: bikm,bkj->bimj
  x.permute(0, 1, 3, 2).reshape(32, 70, 64) (a copy)
  y as it is
  result (32, 7, 10, 8) float32, products in float32
  norms in float64, squared norm at least 1e-12

row product by aten on cpu: bik,bk->bi
  x.permute(0, 2, 1).reshape(4, 8).to(int64)
  y as it is
  result (4, 1) int64, products in int64""",
    )


@pytest.mark.usefixtures("native_kernel")
def test_plan_by_native_printed():
    assert_expected_inline(
        "\n\n".join(
            str(p)
            for p in (
                plan(torch.empty(65536, 128), torch.empty(65536, 128), 1),
                plan(torch.empty(4, 100, 64), torch.empty(4, 64).half(), -1, normalize=True),
                plan(torch.empty(4, 9, 8), torch.empty(4, 8, 7), (2, 1), normalize=True),
            )
        ),
        """\
row product by native on cpu: bk,bk->b
  x as it is
  y as it is
  result (65536, 1) float32, products in float64

matrix-vector cosine by native on cpu: bik,bk->bi
  x as it is
  y.reshape(4, 1, 64).to(float32)
  result (4, 100) float32, products in float64
  norms in float64, squared norm at least 1e-12

matrix cosine by native on cpu: bik,bkj->bij
  x as it is
  y.mT
  result (4, 9, 7) float32, products in float32
  norms in float64, squared norm at least 1e-12""",
    )
