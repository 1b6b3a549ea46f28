"""Lowering: from a contraction and the metadata of its tensors to a plan that a kernel can run.

`lower` is a pure function of shapes, dtypes, devices and strides, never of values: equal arguments give
equal plans, so plans can be cached, printed and compared. It raises nothing: axes, shapes and dtypes have
been validated before.

Letters for sizes: B shared (batch), I free in x, J free in y, K contracted. "K..." is several axes.

In a trace strides are None and sizes may be torch.SymInt. No decision is made on a size then, except whether
it is 1, which torch.compile specializes on in any case: a decision on a SymInt adds a guard, after which the
compiled code serves no other size.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import torch

from batchdot.planning.contraction import Contraction
from batchdot.planning.plan import MATMUL, MATVEC, VECDOT, VECMAT, Plan, TensorMeta, View
from batchdot.types import Pairs

_Strides: TypeAlias = Sequence[int] | None

# ATen multiplies no matrices of these dtypes. int64 holds every product modulo 2^64, so unsigned integers
# wrap to the same values when they are cast back.
_COMPUTE_DTYPE = {
    torch.uint16: torch.int64,
    torch.uint32: torch.int64,
    torch.uint64: torch.int64,
    torch.complex32: torch.complex64,
}

ACCUMULATION_DTYPE = _COMPUTE_DTYPE | {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""Dtype in which products are summed, where it is not the dtype of the result."""

# A VECDOT by ATen writes temporaries as large as its input. In blocks of 512 KiB they stay in cache, and the
# allocator reuses the same pages. Measured on (65536, 128) float32, 2 cores: row product 2.5 ms and row
# cosine (float64 temporaries) 17 ms; in blocks of 1 MiB 2.2 and 63 ms, most of it page faults; unblocked, the
# row product took 15 ms.
CACHE_BLOCK_BYTES = 1 << 19

# Elsewhere a block costs launches, each about 5 µs of the CPU, and memory alone bounds it. Less than two
# blocks are one. Counted (tests/kernels/test_launches.py): a row cosine holds 3 tensors of a block's bytes at
# once, 6 with gradients; one of float64, in double-double arithmetic, 29, so its blocks are a quarter.
DEVICE_BLOCK_BYTES = 1 << 28


def block_bytes(device: str, double_double: bool = False) -> int:
    """Return the bytes of an input, in the dtype of sums, that ATen works on at a time on a device type."""
    if device == "cpu":
        return CACHE_BLOCK_BYTES
    return DEVICE_BLOCK_BYTES // 4 if double_double else DEVICE_BLOCK_BYTES


def result_dtype(x: torch.dtype, y: torch.dtype, normalize: bool) -> torch.dtype:
    """Return the promoted dtype; for a cosine of integers, the default floating dtype."""
    dtype = x if x == y else torch.promote_types(x, y)
    if normalize and not (dtype.is_floating_point or dtype.is_complex):
        return torch.get_default_dtype()
    return dtype


def norm_dtype(dtype: torch.dtype, device: str) -> torch.dtype:
    """Return the dtype in which the squared norms of tensors of ``dtype`` are summed."""
    if device == "mps":  # has no float64
        return torch.complex64 if dtype.is_complex else torch.float32
    return torch.complex128 if dtype.is_complex else torch.float64


def lower(contraction: Contraction, x: TensorMeta, y: TensorMeta, epsilon: float | None = None) -> Plan:
    """Decide how to compute a contraction.

    Args:
        contraction: what to compute; every size is known.
        x: dtype, device and strides of x.
        y: dtype, device and strides of y.
        epsilon: lower bound on the squared norms of the contracted slices, None to normalize nothing.

    Returns:
        A plan without a kernel: `batchdot.kernels.select_kernel` chooses one.
    """
    traced = x.strides is None or y.strides is None
    dtype = result_dtype(x.dtype, y.dtype, epsilon is not None)
    label = _label(contraction)
    x_view, y_view, dims = _VIEWS[label](contraction, x.strides, y.strides)
    norms = norm_dtype(dtype, x.device)
    compute = (ACCUMULATION_DTYPE if label == VECDOT else _COMPUTE_DTYPE).get(dtype, dtype)
    if epsilon is None:  # a cosine casts to norm_dtype itself
        x_view, y_view = (
            view if meta.dtype == compute else replace(view, cast=compute)
            for view, meta in ((x_view, x), (y_view, y))
        )
    block_size = None
    if label == VECDOT and not traced:
        itemsize = (compute if epsilon is None else norms).itemsize
        most = block_bytes(x.device, double_double=epsilon is not None and dtype == norms)
        block_size = _block_size(contraction, itemsize, most)
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
        compute_dtype=compute,
        norm_dtype=norms,
        x_meta=x,
        y_meta=y,
        block_size=block_size,
    )


def _label(c: Contraction) -> str:
    """Return the form of the product. Free axes of size 1 do not count."""
    if not c.contracted:
        return MATMUL  # an outer product: (B, I, 1), (B, 1, J)
    x_is_vector = all(c.x_shape[axis] == 1 for axis in c.x_free)  # I = 1
    y_is_vector = all(c.y_shape[axis] == 1 for axis in c.y_free)  # J = 1
    if x_is_vector and y_is_vector:
        return VECDOT
    return MATVEC if y_is_vector else VECMAT if x_is_vector else MATMUL


def _block_size(c: Contraction, itemsize: int, most: int) -> int | None:
    """Return the samples along the first shared axis that ``most`` bytes hold, None for all at once."""
    x_shape: Sequence[Any] = c.x_shape  # every size is known
    nbytes = prod(x_shape) * itemsize
    if c.shared[:1] != ((0, 0),) or nbytes < 2 * most:
        return None
    samples: int = x_shape[0]
    block_size = max(1, most // (nbytes // samples))
    return block_size if block_size < samples else None


def _view_vecdot(
    c: Contraction, x_strides: _Strides, y_strides: _Strides
) -> tuple[View, View, tuple[int, ...]]:
    """View both inputs as (B..., K) or (B..., K...), without free axes; never a copy.

    Returns:
        The view of x, the view of y, and the axes of them to sum over.
    """
    collapsed = _collapsed_contraction(c, x_strides, y_strides)
    # Axes that already correspond, as in (B, K), (B, K) or (B, 1, K), (B, 1, K): summed where they are.
    aligned = all(x == y for x, y in c.shared + c.contracted) and len(c.x_shape) == len(c.y_shape)
    if aligned and collapsed is None:
        return View(), View(), tuple(x for x, _ in c.contracted)
    views = []
    for side, shape in ((0, c.x_shape), (1, c.y_shape)):
        axes = [pair[side] for pair in c.shared + (collapsed or c.contracted)]
        free = [axis for axis in range(len(shape)) if axis not in axes]  # of size 1: a reshape drops them
        sizes = _sizes(shape, axes)  # B..., K...
        if collapsed is not None:
            sizes = [*sizes[: len(c.shared)], _product(sizes[len(c.shared) :])]  # B..., K
        views.append(View(_permutation([*axes, *free]), tuple(sizes) if free or collapsed else None))
    return views[0], views[1], tuple(range(-len(c.contracted), 0)) if collapsed is None else (-1,)


def _collapsed_contraction(c: Contraction, x_strides: _Strides, y_strides: _Strides) -> Pairs | None:
    """Return an order of the contracted pairs in which K... is one axis of both inputs, None if none is.

    In a trace, adjacent axes in the same order are assumed to collapse; a reshape copies if they do not.
    """
    if len(c.contracted) < 2:
        return None
    if x_strides is None or y_strides is None:
        pairs = tuple(sorted(c.contracted))
        adjacent = all((x + 1, y + 1) == after for (x, y), after in pairwise(pairs))
        return pairs if adjacent else None
    for pairs in _contraction_orders(c, x_strides, y_strides):
        x_axes, y_axes = zip(*pairs, strict=True)
        if _can_collapse(c.x_shape, x_strides, x_axes) and _can_collapse(c.y_shape, y_strides, y_axes):
            return pairs
    return None


def _view_matmul(
    c: Contraction, x_strides: _Strides, y_strides: _Strides
) -> tuple[View, View, tuple[int, ...]]:
    """View x as (B, I, K) and y as (B, K, J), or as (I, K) and (K, J) where nothing is shared.

    The contracted axes are taken in the order for which the fewest elements are copied.
    """
    best: tuple[int, View, View] | None = None
    for contracted in _contraction_orders(c, x_strides, y_strides):
        x = _view_matrix(c, 0, contracted, c.x_free, x_strides, free_first=True)  # (B, I, K)
        y = _view_matrix(c, 1, contracted, c.y_free, y_strides, free_first=False)  # (B, K, J)
        cost = 0
        if x.copies or y.copies:
            cost = prod(c.x_shape) * x.copies + prod(c.y_shape) * y.copies  # type: ignore[arg-type]
        if best is None or cost < best[0]:
            best = (cost, x, y)
    assert best is not None
    return best[1], best[2], ()


def _view_matvec(
    c: Contraction, x_strides: _Strides, y_strides: _Strides
) -> tuple[View, View, tuple[int, ...]]:
    """View y as the left factor, (B, 1, K), and x as the right one, (B, K, I); the product is (B, 1, I).

    torch.bmm is faster with the vector on the left: (1024,100,64) times (1024,64) took 0.8 ms, and 3.8 ms
    with the vector on the right, which is what torch.einsum does.
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


def _contraction_orders(c: Contraction, x_strides: _Strides, y_strides: _Strides) -> list[Pairs]:
    """Return the orders of the contracted pairs worth trying: in memory order of x, and in that of y.

    Only in memory order can several axes collapse without a copy.
    """
    if len(c.contracted) < 2 or x_strides is None or y_strides is None:
        return [c.contracted]
    by_x = tuple(sorted(c.contracted, key=lambda pair: (-x_strides[pair[0]], pair[0])))
    by_y = tuple(sorted(c.contracted, key=lambda pair: (-y_strides[pair[1]], pair[1])))
    return [by_x, by_y]


def _view_matrix(
    c: Contraction,
    side: int,
    contracted: Pairs,
    free: tuple[int, ...],
    strides: _Strides,
    free_first: bool,
) -> View:
    """View one input as (B, free, K) if ``free_first``, else as (B, K, free); without B if nothing is shared.

    Args:
        c: the contraction.
        side: 0 for x, 1 for y.
        contracted: its contracted pairs, in the order in which they become K.
        free: the free axes of this input.
        strides: the strides of this input, None in a trace.
        free_first: which of the two matrix axes comes first.
    """
    shape = c.y_shape if side else c.x_shape
    shared_axes = tuple(pair[side] for pair in c.shared)
    contracted_axes = tuple(pair[side] for pair in contracted)
    # Group the axes in the order in which the input has them, so that in most cases nothing is permuted;
    # a swap of the two matrix axes at the end costs nothing, for BLAS takes transposed matrices.
    input_free_first = free_first
    if free and contracted_axes:
        input_free_first = free[0] < contracted_axes[0]
    matrix = (free, contracted_axes) if input_free_first else (contracted_axes, free)
    groups = (shared_axes, *matrix) if shared_axes else matrix
    sizes = tuple(_product(_sizes(shape, group)) for group in groups)  # an empty group has size 1
    is_matrix = all(len(group) == 1 for group in groups)  # nothing to reshape
    copies = strides is not None and not all(_can_collapse(shape, strides, group) for group in groups)
    return View(
        _permutation([axis for group in groups for axis in group]),
        None if is_matrix else sizes,
        swap=input_free_first is not free_first,
        copies=copies,
    )


def _can_collapse(shape: Sequence[Any], strides: Sequence[int], group: Sequence[int]) -> bool:
    """Whether axes can become one without a copy: the stride of each is size times stride of the next.

    The rule is TensorIterator's and Tensor.view's. Axes of size 1 do not count.
    """
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
