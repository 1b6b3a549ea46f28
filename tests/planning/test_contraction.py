"""Contraction: shapes, einsum and cost, with sizes unknown."""

import subprocess
import sys

import pytest
import torch
from tests.support.cases import RANKS, enumerate_cases

from batchdot.planning.contraction import Contraction, product

# x shape, y shape, axes, shared axes, output shape, multiply-adds
SHAPES = [
    ((32, 20, 1), (32, 30, 20), (1, 2), 1, (32, 1, 30), 19200),
    ((100, 20), (100, 30, 20), (1, 2), 1, (100, 30), 60000),
    ((5, 3), (5, 3), 1, 1, (5, 1), 15),
    ((None, 3), (None, 3), 1, 1, (None, 1), None),
    ((None, 3), (5, 3), 1, 1, (5, 1), 15),
    ((5, 3), (None, None), 1, 1, (5, 1), 15),
    ((None, None, 4, 3), (None, 5, None, 3), 3, 1, (None, None, 4, 5, None), None),
    ((None, 0), (None, 0), 1, 1, (None, 1), 0),
    ((2, 3, 4), (2, 3, 4), -1, 2, (2, 3), 24),
    ((2, 3, 4, 5), (None, 3, 5, None), None, 2, (2, 3, 4, None), None),
    ((2, 3, 4), (2, 4, 3), ((1, 2), (2, 1)), 1, (2, 1), 24),
]


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "shared", "output", "cost"), SHAPES, ids=str)
def test_shapes(x_shape, y_shape, axes, shared, output, cost):
    c = Contraction.batch_dot(x_shape, y_shape, axes, shared)
    assert (c.output_shape, c.multiply_adds) == (output, cost)


def test_contraction_of_unknown_sizes_checks_known_ones():
    Contraction.batch_dot((None, None), (2, 3), 1)
    with pytest.raises(ValueError, match=r"x.shape\[1\] != y.shape\[1\] \(3 != 4\)"):
        Contraction.batch_dot((None, 3), (2, 4), 1)


def test_einsum_runs_and_gives_the_shape():
    """torch.einsum runs every equation of the enumeration, and gives the shape."""
    for x_rank in RANKS:
        for y_rank in RANKS:
            for case in enumerate_cases(x_rank, y_rank, sample=0):
                c = Contraction.batch_dot(case.x_shape, case.y_shape, case.axes)
                out = torch.einsum(c.einsum, torch.empty(case.x_shape), torch.empty(case.y_shape))
                assert (*out.shape, 1)[: len(c.output_shape)] == c.output_shape


EINSUMS = [
    (Contraction.batch_dot((2, 3), (2, 3), 1), "bk,bk->b"),
    (Contraction.batch_dot((2, 4, 3), (2, 5, 3), 2), "bik,bjk->bij"),
    (Contraction.batch_dot((2, 4, 6, 3), (2, 5, 3), -1), "bimk,bjk->bimj"),
    (Contraction.batch_dot((2, 7, 3), (2, 7, 3), 2, 2), "bak,bak->ba"),
    (Contraction.numpy_dot((2, 3), (4, 3, 5)), "ik,jkr->ijr"),
    (Contraction.numpy_dot((), (4,)), ",j->j"),
    # groups with more axes than letters of their own: capitals, then letters that no group has used
    (Contraction.batch_dot((2,) * 8, (2,) * 8, (tuple(range(1, 8)),) * 2), "bklwxyzA,bklwxyzA->b"),
    (Contraction.batch_dot((2,) * 10, (2,) * 10, 9, 9), "bacdefghAk,bacdefghAk->bacdefghA"),
    (Contraction.batch_dot((2,) * 9, (2, 2), -1), "bimnopqAk,bk->bimnopqA"),
    (Contraction.batch_dot((2, 2), (2,) * 9, -1), "bk,bjrstuvAk->bjrstuvA"),
    (Contraction.batch_dot((2,) * 9, (2,) * 9, -1), "bimnopqAk,bjrstuvBk->bimnopqAjrstuvB"),
    (
        Contraction.batch_dot((2,) * 36, (2, 2), -1),
        "bimnopqABCDEFGHIJKLMNOPQRSTUVWXYZack,bk->bimnopqABCDEFGHIJKLMNOPQRSTUVWXYZac",
    ),
]


@pytest.mark.parametrize(("c", "einsum"), EINSUMS, ids=str)
def test_letters(c, einsum):
    assert c.einsum == einsum


def test_letters_of_more_than_52_axes_raise():
    with_25 = Contraction.batch_dot((1,) * 27, (1,) * 27, 1)
    assert len(set(with_25.einsum) - set(",->")) == 52
    with pytest.raises(ValueError, match="more than 52 axes"):
        _ = Contraction.batch_dot((1,) * 28, (1,) * 27, 1).einsum


def test_product():
    assert product((2, 3)) == 6
    assert product(()) == 1
    assert product((2, None)) is None
    assert product((0, None)) == 0


@pytest.mark.parametrize("module", ["types", "planning.axes", "planning.contraction"])
def test_modules_of_shapes_import_no_torch(module):
    code = f"import sys, batchdot.{module}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_contraction_is_a_hashable_value():
    a, b = (Contraction.batch_dot((2, 3), (2, 3), 1) for _ in "ab")
    assert a == b
    assert hash(a) == hash(b)
    with pytest.raises(AttributeError):
        a.x_shape = (1, 2)
