"""Lowering: from a contraction, and what its tensors are, to a plan that a kernel can run.

A pure function of shapes, dtypes, devices and strides, never of values: the same question has the
same answer, so plans are cached, printed and asserted on. It rejects nothing; what a user passed
was checked before.

Sizes may be torch.SymInt while torch traces; strides are None then, and nothing is decided on them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import torch

from batchdot.planning.contraction import Contraction
from batchdot.planning.plan import MATMUL, MATVEC, VECDOT, VECMAT, Plan, TensorMeta, View
from batchdot.types import Pairs

# Sums of 16-bit products are kept in float32; what ATen cannot multiply is multiplied in a type that
# holds it (unsigned integers wrap alike in int64) and cast back.
_COMPUTE_DTYPE = {
    torch.uint16: torch.int64,
    torch.uint32: torch.int64,
    torch.uint64: torch.int64,
    torch.complex32: torch.complex64,
}
ACCUMULATION_DTYPE = _COMPUTE_DTYPE | {torch.float16: torch.float32, torch.bfloat16: torch.float32}

# A row kernel of ATen calls writes temporaries as large as its input. In blocks of 512 KiB they stay in
# cache, and the allocator hands the same pages out again: of (65536, 128) float32, on 2 cores, a row
# product took 2.5 ms and a row cosine, whose temporaries are float64, 17 ms; in blocks of 1 MiB 2.2 and
# 63 ms, most of it page faults, and in one piece the product took 15 ms.
BLOCK_BYTES = 1 << 19


def result_dtype(x: torch.dtype, y: torch.dtype, normalize: bool) -> torch.dtype:
    """Return the dtype of a result: promoted, and for a cosine of integers the default float dtype."""
    dtype = x if x == y else torch.promote_types(x, y)
    if normalize and not (dtype.is_floating_point or dtype.is_complex):
        return torch.get_default_dtype()
    return dtype


def lower(contraction: Contraction, x: TensorMeta, y: TensorMeta, epsilon: float | None = None) -> Plan:
    """Decide how to run a contraction of known sizes.

    Args:
        contraction: what to compute; its sizes are ints.
        x: what x is.
        y: what y is.
        epsilon: floor on the squared norms of the contracted slices, None to normalize nothing.

    Returns:
        A plan without a kernel.
    """
    traced = x.strides is None or y.strides is None
    dtype = result_dtype(x.dtype, y.dtype, epsilon is not None)
    x_free = _sizes(contraction.x_shape, contraction.x_free)
    y_free = _sizes(contraction.y_shape, contraction.y_free)
    label = _label(all(n == 1 for n in x_free), all(n == 1 for n in y_free), bool(contraction.contracted))
    x_view, y_view, dims = _VIEWS[label](contraction, x.strides, y.strides)
    row, norms = label == VECDOT, norm_dtype(dtype, x.device)
    compute_dtype = (ACCUMULATION_DTYPE if row else _COMPUTE_DTYPE).get(dtype, dtype)
    if epsilon is None:  # a cosine casts its inputs to the wide dtype itself
        x_view, y_view = (
            view if operand.dtype == compute_dtype else replace(view, cast=compute_dtype)
            for view, operand in ((x_view, x), (y_view, y))
        )
    return Plan(
        contraction=contraction,
        label=label,
        epsilon=epsilon,
        x=x_view,
        y=y_view,
        swapped=label == MATVEC,
        dims=dims,
        output_shape=contraction.output_shape,  # type: ignore[arg-type]  # its sizes are known here
        dtype=dtype,
        compute_dtype=compute_dtype,
        norm_dtype=norms,
        x_meta=x,
        y_meta=y,
        block_size=_block_size(contraction, (compute_dtype if epsilon is None else norms).itemsize)
        if row and not traced
        else None,
    )


def _label(one_x: bool, one_y: bool, contracts: bool) -> str:
    if not contracts:
        return MATMUL
    if one_x and one_y:
        return VECDOT
    return MATVEC if one_y else VECMAT if one_x else MATMUL


def norm_dtype(dtype: torch.dtype, device: str) -> torch.dtype:
    """Return the dtype that norms of tensors of a dtype are formed in."""
    if device == "mps":  # has no float64
        return torch.complex64 if dtype.is_complex else torch.float32
    return torch.complex128 if dtype.is_complex else torch.float64


def _block_size(contraction: Contraction, itemsize: int) -> int | None:
    size = prod(_sizes(contraction.x_shape, range(len(contraction.x_shape)))) * itemsize
    if contraction.shared[:1] != ((0, 0),) or size < 2 * BLOCK_BYTES:
        return None
    samples = _sizes(contraction.x_shape, [0])[0]
    rows = max(1, BLOCK_BYTES // (size // samples))
    return rows if rows < samples else None


def _view_vecdot(
    c: Contraction, x_strides: Sequence[int] | None, y_strides: Sequence[int] | None
) -> tuple[View, View, tuple[int, ...]]:
    """Look at both inputs as (B..., K) or (B..., K...), dropping free axes of size 1; never a copy."""
    aligned = all(x == y for x, y in c.shared + c.contracted) and len(c.x_shape) == len(c.y_shape)
    collapsed = _collapsed_contraction(c, x_strides, y_strides)
    if aligned and collapsed is None:
        return View(), View(), tuple(x for x, _ in c.contracted)
    views = []
    for operand, shape in ((0, c.x_shape), (1, c.y_shape)):
        axes = [pair[operand] for pair in c.shared + (collapsed or c.contracted)]
        free = [axis for axis in range(len(shape)) if axis not in axes]
        sizes = _sizes(shape, axes)
        if collapsed is not None:
            sizes = [*sizes[: len(c.shared)], _product(sizes[len(c.shared) :])]
        views.append(View(_permutation([*axes, *free]), tuple(sizes) if free or collapsed else None))
    return views[0], views[1], tuple(range(-len(c.contracted), 0)) if collapsed is None else (-1,)


def _collapsed_contraction(
    c: Contraction, x_strides: Sequence[int] | None, y_strides: Sequence[int] | None
) -> Pairs | None:
    """Return the order of several contracted pairs in which both inputs have them as one axis, if any.

    Where strides must not be looked at, those that stand side by side are taken for one, as they mostly are.
    """
    if len(c.contracted) < 2:
        return None
    if x_strides is None or y_strides is None:
        pairs = tuple(sorted(c.contracted))
        side_by_side = all((x + 1, y + 1) == after for (x, y), after in pairwise(pairs))
        return pairs if side_by_side else None
    for pairs in _contraction_orders(c, x_strides, y_strides):
        x_axes, y_axes = zip(*pairs, strict=True)
        if _can_collapse(c.x_shape, x_strides, x_axes) and _can_collapse(c.y_shape, y_strides, y_axes):
            return pairs
    return None


def _view_matmul(
    c: Contraction, x_strides: Sequence[int] | None, y_strides: Sequence[int] | None
) -> tuple[View, View, tuple[int, ...]]:
    """Look at the left factor as (B, I, K) and at the right one as (B, K, J)."""
    best: tuple[int, View, View] | None = None
    for contracted in _contraction_orders(c, x_strides, y_strides):
        x = _view_matrix(c, 0, contracted, c.x_free, x_strides, left=True)
        y = _view_matrix(c, 1, contracted, c.y_free, y_strides, left=False)
        cost = 0
        if x.copies or y.copies:
            cost = prod(c.x_shape) * x.copies + prod(c.y_shape) * y.copies  # type: ignore[arg-type]
        if best is None or cost < best[0]:
            best = (cost, x, y)
    assert best is not None
    return best[1], best[2], ()


def _view_matvec(
    c: Contraction, x_strides: Sequence[int] | None, y_strides: Sequence[int] | None
) -> tuple[View, View, tuple[int, ...]]:
    """Look at y as the left factor, (B, 1, K), and at x as the right one, (B, K, I).

    torch.bmm is faster so: (1024,100,64) times (1024,64) took 3.8 ms with the vector on the right,
    as torch.einsum does it, and 0.8 ms with the vector on the left.
    """
    flipped = Contraction(c.y_shape, c.x_shape, _flip(c.shared), _flip(c.contracted))
    y, x, dims = _view_matmul(flipped, y_strides, x_strides)
    return x, y, dims


_VIEWS: dict[str, Callable[..., tuple[View, View, tuple[int, ...]]]] = {
    VECDOT: _view_vecdot,
    MATVEC: _view_matvec,
    VECMAT: _view_matmul,
    MATMUL: _view_matmul,
}


def _contraction_orders(
    c: Contraction, x_strides: Sequence[int] | None, y_strides: Sequence[int] | None
) -> list[Pairs]:
    """List the orders of the contracted pairs worth trying: several axes merge in memory order only."""
    if len(c.contracted) < 2 or x_strides is None or y_strides is None:
        return [c.contracted]
    by_x = tuple(sorted(c.contracted, key=lambda pair: (-x_strides[pair[0]], pair[0])))
    by_y = tuple(sorted(c.contracted, key=lambda pair: (-y_strides[pair[1]], pair[1])))
    return [by_x, by_y]


def _view_matrix(
    c: Contraction,
    operand: int,
    contracted: Pairs,
    free: tuple[int, ...],
    strides: Sequence[int] | None,
    left: bool,
) -> View:
    shape = c.y_shape if operand else c.x_shape
    shared_axes = tuple(pair[operand] for pair in c.shared)
    contracted_axes = tuple(pair[operand] for pair in contracted)
    # Take the two matrix axes in the order memory has them, so that most often nothing is permuted.
    free_first = not free or not contracted_axes or free[0] < contracted_axes[0]
    if not free or not contracted_axes:
        free_first = left
    matrix = (free, contracted_axes) if free_first else (contracted_axes, free)
    groups = (shared_axes, *matrix) if shared_axes else matrix
    sizes = tuple(_product(_sizes(shape, group)) for group in groups)
    flat = all(len(group) == 1 for group in groups)
    copies = strides is not None and not all(_can_collapse(shape, strides, group) for group in groups)
    return View(
        _permutation([axis for group in groups for axis in group]),
        None if flat else sizes,
        swap=free_first is not left,
        copies=copies,
    )


def _can_collapse(shape: Sequence[Any], strides: Sequence[int], group: Sequence[int]) -> bool:
    """Whether axes can be seen as one: each stride spans the next axis. Axes of size 1 do not count."""
    if 0 in shape:
        return True
    axes = [axis for axis in group if shape[axis] != 1]
    return all(strides[a] == strides[b] * shape[b] for a, b in pairwise(axes))


def _permutation(axes: list[int]) -> tuple[int, ...] | None:
    return None if axes == sorted(axes) else tuple(axes)


def _sizes(shape: Sequence[Any], axes: Sequence[int]) -> list[int]:
    return [shape[axis] for axis in axes]


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:  # math.prod does not take torch.SymInt while Dynamo traces
        result = result * size
    return result


def _flip(pairs: Pairs) -> Pairs:
    return tuple((y, x) for x, y in pairs)
