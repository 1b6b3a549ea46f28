"""The operators of rows on CUDA tensors: which kernels are launched for them, and with what.

Everything that depends on shapes, strides and dtypes is decided once and kept, as a function of the tensors.
"""

from collections.abc import Callable
from functools import cache
from math import frexp
from typing import Any, TypeAlias

import torch
from torch import Tensor

from batchdot.kernels.triton.launch import Launch
from batchdot.kernels.triton.long_rows import join_chunks, sum_chunks
from batchdot.kernels.triton.problem import (
    CHUNK,
    Rows,
    Tile,
    choose_long_tile,
    choose_tile,
    power_of_two_from,
    shape_of_rows,
)
from batchdot.kernels.triton.rows import differentiate_rows, join_gradients, reduce_rows

PRODUCT, COSINE, UNIT, UNIT_BACKWARD = range(4)
"""The rules of the kernels: RULE in results.py."""

Steps: TypeAlias = Callable[..., None]
"""Launches the kernels of an operator: a function of x, y and the other tensors that they read and write."""

MOST_KEPT = 4096
"""How many kinds of calls are kept: bounds memory if every call has new shapes."""

_kept: dict[Any, Steps] = {}


def remembered(make: Callable[..., Steps], x: Tensor, y: Tensor, *options: Any) -> Steps:
    """Return the launches for tensors like these, made once; options are whatever else they depend on."""
    key = (
        *(make, x.shape, y.shape, x.stride(), y.stride(), x.dtype, x.device),
        *(x.data_ptr() % 16, y.data_ptr() % 16, options),
    )
    steps = _kept.get(key)
    if steps is None:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        steps = _kept[key] = make(x, y, *options)
    return steps


def _copying(make: Callable[..., Steps], *options: Any) -> Steps:
    """Return launches for tensors with more axes of rows than kernels take: they are copied at each call."""

    def run(x: Tensor, y: Tensor, *others: Tensor) -> None:
        x, y = x.contiguous(), y.contiguous()
        remembered(make, x, y, *options)(x, y, *others)

    return run


def forget() -> None:
    """Decide everything anew from now on."""
    _kept.clear()


@cache
def multiprocessors(device: torch.device) -> int:
    """Return how many multiprocessors a CUDA device has; 1 of others, as under the interpreter."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


# --- products and cosines -----------------------------------------------------------------------------


def row_product(x: Tensor, y: Tensor, keepdim: bool) -> Tensor:
    """(..., K), (..., K) -> (...); or (..., I, K), (..., 1, K) -> (..., I)."""
    return _reduce(PRODUCT, x, y, 0.0, keepdim)


def row_cosine(x: Tensor, y: Tensor, epsilon: float, keepdim: bool) -> Tensor:
    """(..., K), (..., K) -> (...); or (..., I, K), (..., 1, K) -> (..., I)."""
    return _reduce(COSINE, x, y, epsilon, keepdim)


def _reduce(rule: int, x: Tensor, y: Tensor, epsilon: float, keepdim: bool) -> Tensor:
    out = x.new_empty(shape_of_rows(x.shape, keepdim))
    if out.numel() == 0:
        return out
    if x.shape[-1] == 0:
        return out.zero_()
    remembered(_reducing, x, y, rule, epsilon)(x, y, out)
    return out


def _reducing(x: Tensor, y: Tensor, rule: int, epsilon: float) -> Steps:
    found = Rows.of(x, y)
    if found is None:
        return _copying(_reducing, rule, epsilon)
    rows, device, numbers = found, x.device, found.strides()
    if rows.chunks > 1:
        summing, values, _ = _long(rows, rule, epsilon)

        def run_long(x: Tensor, y: Tensor, out: Tensor) -> None:
            values(device, x, y, summing(x, y), out, out, *numbers)

        return run_long
    tile = choose_tile(rows, multiprocessors(device))
    launch = Launch(
        reduce_rows,
        -(-rows.count // tile.rows),
        rows.constants() | _constants(rows, rule, epsilon, tile, rows.size),
        tile.warps,
    )
    return lambda x, y, out: launch(device, x, y, out, *numbers)


def _constants(rows: Rows, rule: int, epsilon: float, tile: Tile, length: int) -> dict[str, Any]:
    steps = -(-length // tile.columns)
    return {
        "RULE": rule,
        "EPSILON": epsilon,
        # EPSILON · 2^(-2·LOWEST) is at most 2^900.
        "LOWEST": -min(700, (900 - frexp(epsilon)[1]) // 2) if rule != PRODUCT else -700,
        "R": tile.rows,
        "C": tile.columns,
        "LENGTH": length,
        **rows.accuracy(steps),
    }


def _long(rows: Rows, rule: int, epsilon: float) -> tuple[Callable[[Tensor, Tensor], Tensor], Launch, Launch]:
    """Return what sums the chunks of rows, and the launches that join them, to results or to coefficients."""
    tile = choose_long_tile(rows)
    constants = rows.constants() | _constants(rows, rule, epsilon, tile, CHUNK)
    block = min(32, power_of_two_from(rows.chunks))
    sums = Launch(sum_chunks, rows.count * rows.chunks, constants | {"NORMS": rule != PRODUCT})
    numbers = rows.strides()

    def summing(x: Tensor, y: Tensor) -> Tensor:
        out = x.new_empty((7, rows.count, rows.chunks), dtype=torch.float64)
        sums(x.device, x, y, out, *numbers)
        return out

    join = [
        Launch(join_chunks, rows.count, constants | {"B": block, "VALUES": values})
        for values in (True, False)
    ]
    return summing, join[0], join[1]


# --- gradients ----------------------------------------------------------------------------------------


def row_product_backward(
    gradient: Tensor, x: Tensor, y: Tensor, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and y, packed; an empty one where it is not needed."""
    return _differentiate(PRODUCT, gradient, x, y, 0.0, for_x, for_y)


def row_cosine_backward(
    gradient: Tensor, x: Tensor, y: Tensor, epsilon: float, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and y, packed; an empty one where it is not needed."""
    return _differentiate(COSINE, gradient, x, y, epsilon, for_x, for_y)


def unit(x: Tensor, epsilon: float) -> Tensor:
    """Return x / |x| of each row: (..., K) -> (..., K)."""
    return _differentiate(UNIT, x, x, x, epsilon, True, False)[0]


def unit_backward(gradient: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Return the gradient of x, of that of its unit rows: (..., K), (..., K) -> (..., K)."""
    return _differentiate(UNIT_BACKWARD, x, x, gradient, epsilon, True, False)[0]


def _differentiate(
    rule: int, gradient: Tensor, x: Tensor, y: Tensor, epsilon: float, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    dx, dy = x.new_empty(x.shape if for_x else 0), y.new_empty(y.shape if for_y else 0)
    if x.numel() == 0:
        return dx, dy.zero_()  # a sum of no rows is zero
    if for_x or for_y:
        # A sum's gradient is one number expanded.
        remembered(_differentiating, x, y, rule, epsilon, for_x, for_y)(x, y, gradient.contiguous(), dx, dy)
    return dx, dy


def _differentiating(x: Tensor, y: Tensor, rule: int, epsilon: float, for_x: bool, for_y: bool) -> Steps:
    found = Rows.of(x, y)
    if found is None:
        return _copying(_differentiating, rule, epsilon, for_x, for_y)
    rows, device, numbers = found, x.device, found.strides()
    sharing = x.shape[-2] if for_y and x.ndim > 1 and y.shape[-2] == 1 else 1
    given = rows.chunks > 1
    tile, length = choose_tile(rows, multiprocessors(device), sharing), rows.size
    if given:
        tile, length = (tile, CHUNK // 4) if sharing > 1 else (choose_long_tile(rows), CHUNK)
    groups = rows.count // sharing
    tiles = -(-sharing // tile.rows) if sharing > 1 else -(-rows.count // tile.rows)
    saturate = 0.0 if rule == PRODUCT or rows.wide else torch.finfo(rows.dtype).max
    constants = (
        rows.constants()
        | _constants(rows, rule, epsilon, tile, length)
        | {"SATURATE": saturate, "FOR_X": for_x, "FOR_Y": for_y, "SHARED": sharing > 1, "GIVEN": given}
    )
    programs = tiles * (groups if sharing > 1 else 1) * -(-rows.size // length)
    launch = Launch(differentiate_rows, programs, constants, tile.warps)
    finding = _finding_coefficients(rows, rule, epsilon) if given and rule != PRODUCT else None
    column_block = min(256, power_of_two_from(rows.size))
    joining = Launch(join_gradients, groups * -(-rows.size // column_block), constants | {"C": column_block})

    def run(x: Tensor, y: Tensor, gradient: Tensor, dx: Tensor, dy: Tensor) -> None:
        coefficients = x if finding is None else finding(x, y)
        parts = x.new_empty((groups, tiles, rows.size), dtype=torch.float64) if sharing > 1 else x
        launch(device, x, y, gradient, coefficients, dx, dy, parts, *numbers, tiles, sharing)
        if sharing > 1:
            joining(device, parts, dy, tiles)

    return run


def _finding_coefficients(rows: Rows, rule: int, epsilon: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of x and y that returns what gradients need of long rows: (rows, 6)."""
    summing, _, coefficients = _long(rows, rule, epsilon)
    numbers = rows.strides()

    def find(x: Tensor, y: Tensor) -> Tensor:
        out = x.new_empty((rows.count, 6), dtype=torch.float64)
        coefficients(x.device, x, y, summing(x, y), out, out, *numbers)
        return out

    return find
