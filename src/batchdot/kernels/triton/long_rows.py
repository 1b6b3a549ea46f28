"""Device code: rows that are too long for one program, cut into chunks.

`sum_chunks` sums each chunk, and `join_chunks` joins the sums in their order, so that the bits of a result
do not depend on the number of rows.
"""

import triton
import triton.language as tl

from batchdot.kernels.triton.arithmetic import (
    add_bounded,
    add_pairs,
    join_columns,
    row_offsets,
    sum_products,
)
from batchdot.kernels.triton.results import COEFFICIENTS, PRODUCT, result_of_sums, store_rounded
from batchdot.kernels.triton.rows import ROWS_AND_STRIDES


@triton.jit(do_not_specialize=ROWS_AND_STRIDES)
def sum_chunks(
    x_pointer, y_pointer, s_pointer,
    rows: tl.int64, inner: tl.int64,
    x_outer: tl.int64, x_inner: tl.int64, x_stride: tl.int64,
    y_outer: tl.int64, y_inner: tl.int64, y_stride: tl.int64,
    K: tl.constexpr, C: tl.constexpr, LENGTH: tl.constexpr,
    X_ALIGN: tl.constexpr, Y_ALIGN: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    FLAT: tl.constexpr, SMALL: tl.constexpr, WIDE: tl.constexpr, NORMS: tl.constexpr,
):  # fmt: skip
    """Write what `sum_products` returns for one chunk of one row: (7, rows, chunks) in float64."""
    CHUNKS: tl.constexpr = (K + LENGTH - 1) // LENGTH
    program = tl.program_id(0).to(tl.int64)
    first = program // CHUNKS
    row = first + tl.arange(0, 1)
    x_rows = x_pointer + row_offsets(row, inner, x_outer, x_inner, X_ALIGN, FLAT, SMALL)[:, None]
    y_rows = y_pointer + row_offsets(row, inner, y_outer, y_inner, Y_ALIGN, FLAT, SMALL)[:, None]
    live = (row < rows)[:, None]
    start = (program - first * CHUNKS) * LENGTH
    xy, xy_low, bound, xx, xx_low, yy, yy_low = sum_products(
        x_rows, y_rows, x_stride, y_stride, live, start, LENGTH, K, 1, C, X_UNIT, Y_UNIT, WIDE, NORMS
    )
    to = s_pointer + program + tl.arange(0, 1)
    plane = rows * CHUNKS
    tl.store(to, xy)
    if WIDE:
        tl.store(to + plane, xy_low)
    if WIDE or not NORMS:
        tl.store(to + 2 * plane, bound)
    if NORMS:
        tl.store(to + 3 * plane, xx)
        tl.store(to + 5 * plane, yy)
        if WIDE:
            tl.store(to + 4 * plane, xx_low)
            tl.store(to + 6 * plane, yy_low)


@triton.jit(do_not_specialize=ROWS_AND_STRIDES)
def join_chunks(
    x_pointer, y_pointer, s_pointer, out_pointer, c_pointer,
    rows: tl.int64, inner: tl.int64,
    x_outer: tl.int64, x_inner: tl.int64, x_stride: tl.int64,
    y_outer: tl.int64, y_inner: tl.int64, y_stride: tl.int64,
    RULE: tl.constexpr, EPSILON: tl.constexpr, LOWEST: tl.constexpr,
    THRESHOLD: tl.constexpr, TERMS_BITS: tl.constexpr,
    K: tl.constexpr, C: tl.constexpr, LENGTH: tl.constexpr, B: tl.constexpr,
    X_ALIGN: tl.constexpr, Y_ALIGN: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    FLAT: tl.constexpr, SMALL: tl.constexpr, WIDE: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    """Join the sums of a row's chunks, B at a time: write its result (VALUES), or its coefficients."""
    CHUNKS: tl.constexpr = (K + LENGTH - 1) // LENGTH
    row = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
    live = (row < rows)[:, None]
    x_rows = x_pointer + row_offsets(row, inner, x_outer, x_inner, X_ALIGN, FLAT, SMALL)[:, None]
    y_rows = y_pointer + row_offsets(row, inner, y_outer, y_inner, Y_ALIGN, FLAT, SMALL)[:, None]
    plane = rows * CHUNKS
    xy = tl.zeros([1, B], tl.float64)
    xy_low = tl.zeros([1, B], tl.float64)
    bound = tl.zeros([1, B], tl.float64)
    xx = tl.zeros([1, B], tl.float64)
    xx_low = tl.zeros([1, B], tl.float64)
    yy = tl.zeros([1, B], tl.float64)
    yy_low = tl.zeros([1, B], tl.float64)
    start = tl.full((), 0, tl.int64)
    while start < CHUNKS:
        chunk = (start + tl.arange(0, B))[None, :]
        mask = live & (chunk < CHUNKS)
        sums = s_pointer + row[:, None] * CHUNKS + chunk
        a = tl.load(sums, mask=mask, other=0.0)
        if WIDE:
            a_low = tl.load(sums + plane, mask=mask, other=0.0)
            b = tl.load(sums + 2 * plane, mask=mask, other=0.0)
            xy, xy_low, bound = add_bounded(xy, xy_low, bound, a, a_low, b)
        else:
            xy += a
            if RULE == PRODUCT:
                bound += tl.load(sums + 2 * plane, mask=mask, other=0.0)
        if RULE != PRODUCT:
            c = tl.load(sums + 3 * plane, mask=mask, other=0.0)
            d = tl.load(sums + 5 * plane, mask=mask, other=0.0)
            if WIDE:
                xx, xx_low = add_pairs(xx, xx_low, c, tl.load(sums + 4 * plane, mask=mask, other=0.0))
                yy, yy_low = add_pairs(yy, yy_low, d, tl.load(sums + 6 * plane, mask=mask, other=0.0))
            else:
                xx += c
                yy += d
        start += B
    a, a_low, b, c, c_low, d, d_low = join_columns(
        xy, xy_low, bound, xx, xx_low, yy, yy_low, WIDE, RULE != PRODUCT
    )
    value, x_inverse, y_inverse, x_power, y_power, along_x, along_y = result_of_sums(
        x_rows, y_rows, x_stride, y_stride, live, a, a_low, b, c, c_low, d, d_low,
        RULE, EPSILON, LOWEST, THRESHOLD, TERMS_BITS, K, 1, C, X_UNIT, Y_UNIT, WIDE,
    )  # fmt: skip
    if VALUES:
        store_rounded(out_pointer + row, value, row < rows, 0.0)
    else:
        to = c_pointer + row * COEFFICIENTS
        tl.store(to, x_inverse)
        tl.store(to + 1, y_inverse)
        tl.store(to + 2, x_power)
        tl.store(to + 3, y_power)
        tl.store(to + 4, along_x)
        tl.store(to + 5, along_y)
