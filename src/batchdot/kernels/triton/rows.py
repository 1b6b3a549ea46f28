"""Device code: products and cosines of rows, and their gradients, in one pass over memory.

A program computes a tile of R rows, and steps through their K columns C at a time.
"""

import triton
import triton.language as tl

from batchdot.kernels.triton.arithmetic import load_double, row_offsets, sum_products
from batchdot.kernels.triton.results import COEFFICIENTS, PRODUCT, UNIT, result_of_sums, store_rounded

ROWS_AND_STRIDES = ["rows", "inner", "x_outer", "x_inner", "x_stride", "y_outer", "y_inner", "y_stride"]
"""The arguments of every kernel of rows whose values it is not compiled for."""


@triton.jit(do_not_specialize=ROWS_AND_STRIDES)
def reduce_rows(
    x_pointer, y_pointer, out_pointer,
    rows: tl.int64, inner: tl.int64,
    x_outer: tl.int64, x_inner: tl.int64, x_stride: tl.int64,
    y_outer: tl.int64, y_inner: tl.int64, y_stride: tl.int64,
    RULE: tl.constexpr, EPSILON: tl.constexpr, LOWEST: tl.constexpr,
    THRESHOLD: tl.constexpr, TERMS_BITS: tl.constexpr,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    X_ALIGN: tl.constexpr, Y_ALIGN: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    FLAT: tl.constexpr, SMALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Write the product or cosine of each pair of rows."""
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    live = (row < rows)[:, None]
    x_rows = x_pointer + row_offsets(row, inner, x_outer, x_inner, X_ALIGN, FLAT, SMALL)[:, None]
    y_rows = y_pointer + row_offsets(row, inner, y_outer, y_inner, Y_ALIGN, FLAT, SMALL)[:, None]
    xy, xy_low, bound, xx, xx_low, yy, yy_low = sum_products(
        x_rows, y_rows, x_stride, y_stride, live, 0, K, K, R, C, X_UNIT, Y_UNIT, WIDE, RULE != PRODUCT
    )
    value, _, _, _, _, _, _ = result_of_sums(
        x_rows, y_rows, x_stride, y_stride, live, xy, xy_low, bound, xx, xx_low, yy, yy_low,
        RULE, EPSILON, LOWEST, THRESHOLD, TERMS_BITS, K, R, C, X_UNIT, Y_UNIT, WIDE,
    )  # fmt: skip
    store_rounded(out_pointer + row, value, row < rows, 0.0)


@triton.jit(do_not_specialize=[*ROWS_AND_STRIDES, "tiles", "groups_rows"])
def differentiate_rows(
    x_pointer, y_pointer, g_pointer, c_pointer, dx_pointer, dy_pointer, p_pointer,
    rows: tl.int64, inner: tl.int64,
    x_outer: tl.int64, x_inner: tl.int64, x_stride: tl.int64,
    y_outer: tl.int64, y_inner: tl.int64, y_stride: tl.int64,
    tiles: tl.int64, groups_rows: tl.int64,
    RULE: tl.constexpr, EPSILON: tl.constexpr, LOWEST: tl.constexpr,
    THRESHOLD: tl.constexpr, TERMS_BITS: tl.constexpr,
    SATURATE: tl.constexpr, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, LENGTH: tl.constexpr,
    X_ALIGN: tl.constexpr, Y_ALIGN: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    FLAT: tl.constexpr, SMALL: tl.constexpr, WIDE: tl.constexpr,
    FOR_X: tl.constexpr, FOR_Y: tl.constexpr, SHARED: tl.constexpr, GIVEN: tl.constexpr,
):  # fmt: skip
    """Write the gradients of both rows of each pair, packed.

    A program has R rows and LENGTH columns: all of them, or one chunk of them if the coefficients are
    GIVEN. If groups of `groups_rows` rows have a SHARED row of y, a tile is of one group, whose rows are
    `tiles` tiles; the sum of y's gradients over a tile goes to p_pointer, (groups, tiles, K) in float64.
    """
    CHUNKS: tl.constexpr = (K + LENGTH - 1) // LENGTH
    program = tl.program_id(0).to(tl.int64)
    tile = program // CHUNKS
    start = (program - tile * CHUNKS) * LENGTH
    if SHARED:
        group = tile // tiles
        place = (tile - group * tiles) * R + tl.arange(0, R)
        row = group * groups_rows + place
        here = place < groups_rows
    else:
        row = tile * R + tl.arange(0, R)
        here = row < rows
    live = here[:, None]
    x_rows = x_pointer + row_offsets(row, inner, x_outer, x_inner, X_ALIGN, FLAT, SMALL)[:, None]
    y_rows = y_pointer + row_offsets(row, inner, y_outer, y_inner, Y_ALIGN, FLAT, SMALL)[:, None]
    if RULE >= UNIT:
        gradient = tl.zeros([R], tl.float64) + 1.0
    else:
        loaded = tl.load(g_pointer + row, mask=here, other=0.0)
        gradient = loaded if WIDE else loaded.to(tl.float32).to(tl.float64)
    gradient = gradient[:, None]
    if RULE != PRODUCT:
        if GIVEN:
            c_rows = c_pointer + row * COEFFICIENTS
            x_inverse = tl.load(c_rows, mask=here, other=0.0)
            y_inverse = tl.load(c_rows + 1, mask=here, other=0.0)
            x_power = tl.load(c_rows + 2, mask=here, other=0.0)
            y_power = tl.load(c_rows + 3, mask=here, other=0.0)
            along_x = tl.load(c_rows + 4, mask=here, other=0.0)
            along_y = tl.load(c_rows + 5, mask=here, other=0.0)
        else:
            xy, xy_low, bound, xx, xx_low, yy, yy_low = sum_products(
                x_rows, y_rows, x_stride, y_stride, live, 0, K, K, R, C, X_UNIT, Y_UNIT, WIDE, True
            )
            _, x_inverse, y_inverse, x_power, y_power, along_x, along_y = result_of_sums(
                x_rows, y_rows, x_stride, y_stride, live, xy, xy_low, bound, xx, xx_low, yy, yy_low,
                RULE, EPSILON, LOWEST, THRESHOLD, TERMS_BITS, K, R, C, X_UNIT, Y_UNIT, WIDE,
            )  # fmt: skip
        x_inverse = x_inverse[:, None]
        y_inverse = y_inverse[:, None]
        x_power = x_power[:, None]
        y_power = y_power[:, None]
        along_x = along_x[:, None]
        along_y = along_y[:, None]
    out_rows = (row * K)[:, None]
    for step in tl.static_range(0, LENGTH, C):
        k = (start + step + tl.arange(0, C))[None, :]
        mask = live if K % C == 0 else live & (k < K)
        x = load_double(x_rows, k, x_stride, mask, X_UNIT)
        y = load_double(y_rows, k, y_stride, mask, Y_UNIT)
        if RULE == PRODUCT:
            dx = gradient * y
            dy = gradient * x
        else:
            if WIDE:
                x = x * x_power
                y = y * y_power
            u = x * x_inverse
            v = y * y_inverse
            if RULE == UNIT:
                dx = u
                dy = u
            else:
                dx = (v - along_x * u) * gradient * x_inverse
                dy = (u - along_y * v) * gradient * y_inverse
                if WIDE:
                    dx = dx * x_power
                    dy = dy * y_power
        if FOR_X:
            store_rounded(dx_pointer + out_rows + k, dx, mask, SATURATE)
        if FOR_Y:
            if SHARED:
                total = tl.sum(tl.where(mask, dy, 0.0), 0)
                column = start + step + tl.arange(0, C)
                tl.store(p_pointer + tile * K + column, total, mask=column < K)
            else:
                store_rounded(dy_pointer + out_rows + k, dy, mask, SATURATE)


@triton.jit(do_not_specialize=["tiles"])
def join_gradients(
    p_pointer, dy_pointer, tiles: tl.int64, K: tl.constexpr, C: tl.constexpr, SATURATE: tl.constexpr
):  # fmt: skip
    """Sum the gradients of a shared row over its tiles, in their order: (groups, tiles, K) to (groups, K)."""
    BLOCKS: tl.constexpr = (K + C - 1) // C
    program = tl.program_id(0).to(tl.int64)
    group = program // BLOCKS
    k = (program - group * BLOCKS) * C + tl.arange(0, C)
    total = tl.zeros([C], tl.float64)
    tile = tl.full((), 0, tl.int64)
    while tile < tiles:
        total += tl.load(p_pointer + (group * tiles + tile) * K + k, mask=k < K, other=0.0)
        tile += 1
    store_rounded(dy_pointer + group * K + k, total, k < K, SATURATE)
