"""The `axes` argument: accepted forms, and the pairs that they resolve to."""

import enum
from collections import deque

import numpy as np
import pytest
import torch

from batchdot.errors import AxisError
from batchdot.planning.axes import check_axes, refuse_shared_axes, resolve_axes


class Axis(enum.IntEnum):
    TIME = 1


class Index:
    def __index__(self):
        return 2

    def __repr__(self):
        return "Index()"


# as written, as read
READ = [
    (None, None),
    (1, 1),
    (-1, -1),
    (2**70, 2**70),
    (np.int64(1), 1),
    (np.uint8(3), 3),
    (np.array(-2), -2),
    (torch.tensor(1), 1),
    (Axis.TIME, 1),
    (Index(), 2),
    ((1, 2), (1, 2)),
    ([1, -2], (1, -2)),
    (range(1, 3), (1, 2)),
    (deque([1, 2]), (1, 2)),
    (np.array([1, 2]), (1, 2)),
    (torch.tensor([1, 2]), (1, 2)),
    (torch.Size([1, 2]), (1, 2)),
    ((np.int32(1), torch.tensor(2)), (1, 2)),
    ((Axis.TIME, Index()), (1, 2)),
    (([1, 2], (2, 1)), ((1, 2), (2, 1))),
    (((), ()), ((), ())),
    (np.array([[1, 2], [2, 1]]), ((1, 2), (2, 1))),
    (torch.tensor([[1], [2]]), ((1,), (2,))),
]


@pytest.mark.parametrize(("written", "read"), READ, ids=repr)
def test_check_axes(written, read):
    got = check_axes(written)
    assert got == read
    flat = [
        a for g in (got if isinstance(got, tuple) else [got]) for a in (g if isinstance(g, tuple) else [g])
    ]
    assert all(a is None or type(a) is int for a in flat)


# axes, rank of x, rank of y, shared axes, pairs
RESOLVED = [
    (None, 2, 2, 1, ((1, 1),)),
    (None, 2, 3, 1, ((1, 1),)),
    (None, 3, 2, 1, ((2, 1),)),
    (None, 3, 3, 1, ((2, 1),)),
    (None, 4, 5, 1, ((3, 3),)),
    (None, 3, 3, 2, ((2, 2),)),
    (None, 4, 4, 2, ((3, 2),)),
    (None, 1, 1, 0, ((0, 0),)),
    (None, 2, 3, 0, ((1, 1),)),
    (1, 2, 3, 1, ((1, 1),)),
    (-1, 2, 4, 1, ((1, 3),)),
    (-2, 3, 5, 1, ((1, 3),)),
    ((1, -1), 2, 4, 1, ((1, 3),)),
    ((-2, 2), 4, 3, 1, ((2, 2),)),
    (((1, -1), (-1, 1)), 3, 4, 1, ((1, 3), (2, 1))),
    (((), ()), 3, 4, 1, ()),
]


@pytest.mark.parametrize(("axes", "x_rank", "y_rank", "shared", "pairs"), RESOLVED, ids=str)
def test_resolve_axes(axes, x_rank, y_rank, shared, pairs):
    assert resolve_axes(axes, x_rank, y_rank, shared) == pairs


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_resolve_axes_out_of_range_raises(rank):
    for axis in (rank, rank + 1, 2 * rank, -rank - 1, -2 * rank, 10**30):
        for axes in ((axis, 1), (1, axis), (((1, axis)), (1, 1))):
            with pytest.raises(AxisError, match=f"Axis {axis} is out of range"):
                resolve_axes(axes, rank, rank, 1)


def test_refuse_shared_axes_without_ranks():
    for axes, shared in ((0, 1), ((1, 0), 1), (1, 2), (((2, 1), (2, 2)), 2)):
        with pytest.raises(ValueError, match="shared between the samples"):
            refuse_shared_axes(axes, shared)
    for axes, shared in ((None, 1), (1, 1), (-3, 2), ((1, -2), 1)):
        refuse_shared_axes(axes, shared)


def test_check_axes_copies_lists():
    axes = [[1, 2], [2, 1]]
    read = check_axes(axes)
    axes[0].append(3)
    assert read == ((1, 2), (2, 1))
