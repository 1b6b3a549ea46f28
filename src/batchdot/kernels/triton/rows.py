"""Device code: products and cosines of rows, and their gradients, in one pass over memory.

A program computes a tile of R rows, and steps through their K columns C at a time. Rows that are too long for
one program are cut into chunks: `sum_chunks` sums them, and `join_chunks` joins the sums in their order, so
that the bits of a result do not depend on the number of rows.

With u = x/|x|, v = y/|y| and a gradient g of the cosine, the gradients are

    of x: (v - cosine·u)·g/|x|      of y: (u - cosine·v)·g/|y|

without the second term where the norm is the floor, a constant. 1/|x| is an inverse times a power of two:
those of the largest and smallest rows of float64 are no normal numbers. What a gradient needs of a row is six
numbers of float64, its coefficients: inverse and power of two of both norms, and the cosine, or 0, for both
terms.

The notation is that of arithmetic.py, where the errors are bounded.
"""

import triton
import triton.language as tl

from batchdot.kernels.triton.arithmetic import (
    add_bounded,
    add_pairs,
    exponent_of_largest,
    join_columns,
    load,
    power_of_two,
    quotient,
    row_offsets,
    scaled_to_double,
    square_root,
    sum_exactly,
    sum_products,
)

PRODUCT: tl.constexpr = tl.constexpr(0)
COSINE: tl.constexpr = tl.constexpr(1)
UNIT: tl.constexpr = tl.constexpr(2)  # x / |x|; y is x
UNIT_BACKWARD: tl.constexpr = tl.constexpr(3)  # the gradient of x / |x|; y is that of the unit row

COEFFICIENTS: tl.constexpr = tl.constexpr(6)


# --- from sums to results -----------------------------------------------------------------------------


@triton.jit
def result_of_sums(
    x_rows, y_rows, x_stride, y_stride, live,
    xy, xy_low, bound, xx, xx_low, yy, yy_low,
    RULE: tl.constexpr, EPSILON: tl.constexpr, LOWEST: tl.constexpr,
    THRESHOLD: tl.constexpr, TERMS_BITS: tl.constexpr,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return product or cosine of each row, and its coefficients; sums that are not accurate are formed anew.

    A sum is accurate if it is at least THRESHOLD times what bounds its error. LOWEST is the exponent of
    the smallest elements that rows are scaled by: such that the scaled floor of their squared norm is a
    number.
    """
    epsilon = tl.full([1], EPSILON, tl.float64)
    x_exponent = tl.zeros([R], tl.int64)
    y_exponent = tl.zeros([R], tl.int64)
    if WIDE:
        total = tl.abs(xy + xy_low)
        # Written so that NaN, the result of overflow, is doubtful. Products of float64 lose digits
        # to underflow without a trace in the bound: 2^-1074 each, which is negligible compared with
        # 2^-900.
        doubtful = ~((total >= bound * THRESHOLD) & (total > 1.1830521861667747e-271) & (total < 1e300))
        if RULE != PRODUCT:
            x_good = (xx > 1.1830521861667747e-271) & (xx < 8.452712498170644e270)
            y_good = (yy > 1.1830521861667747e-271) & (yy < 8.452712498170644e270)
            doubtful = doubtful | ~(x_good & y_good)
    elif RULE == PRODUCT:
        doubtful = tl.abs(xy) < bound * THRESHOLD
    else:  # the sum of |x·y| is at most |x|·|y|
        doubtful = xy * xy < (xx * yy) * (THRESHOLD * THRESHOLD)
    if RULE >= UNIT and not WIDE:  # no difference shows in gradients
        doubtful = doubtful & (xy != xy)
    if tl.max(doubtful.to(tl.int32), 0) > 0:
        x_largest = exponent_of_largest(x_rows, x_stride, live, K, R, C, X_UNIT)
        y_largest = exponent_of_largest(y_rows, y_stride, live, K, R, C, Y_UNIT)
        finite = (x_largest < 1024) & (y_largest < 1024)
        x_scaled = tl.minimum(tl.maximum(x_largest, LOWEST), 1000)
        y_scaled = tl.minimum(tl.maximum(y_largest, LOWEST), 1000)
        chosen = doubtful & finite
        high, low = sum_exactly(
            x_rows, y_rows, x_stride, y_stride, live, chosen, x_scaled, y_scaled,
            K, R, C, X_UNIT, Y_UNIT, WIDE, TERMS_BITS,
        )  # fmt: skip
        if WIDE:
            xy = tl.where(chosen, high, xy)
            xy_low = tl.where(chosen, low, xy_low)
            x_exponent = tl.where(chosen, x_scaled, 0)
            y_exponent = tl.where(chosen, y_scaled, 0)
            # What is not finite: a sum in float64 has what IEEE arithmetic makes of it.
            plain = sum_plainly(x_rows, y_rows, x_stride, y_stride, live, K, R, C, X_UNIT, Y_UNIT)
            xy = tl.where(finite, xy, plain)
            xy_low = tl.where(finite, xy_low, 0.0)
            if RULE != PRODUCT:
                norms_high, norms_low = sum_squares(x_rows, x_stride, live, x_exponent, K, R, C, X_UNIT)
                xx = tl.where(chosen, norms_high, xx)
                xx_low = tl.where(chosen, norms_low, xx_low)
                norms_high, norms_low = sum_squares(y_rows, y_stride, live, y_exponent, K, R, C, Y_UNIT)
                yy = tl.where(chosen, norms_high, yy)
                yy_low = tl.where(chosen, norms_low, yy_low)
        else:
            xy = tl.where(chosen, scaled_to_double(high, low, x_scaled + y_scaled), xy)
    if RULE == PRODUCT:
        value = scaled_to_double(xy, xy_low, x_exponent + y_exponent) if WIDE else xy
        one = tl.zeros([R], tl.float64) + 1.0
        return value, one, one, one, one, value, value
    x_inverse, x_root, x_root_low, x_floored = inverse_norm(xx, xx_low, x_exponent, epsilon, R, WIDE)
    if RULE == UNIT_BACKWARD:  # y is used as it is
        y_inverse = tl.zeros([R], tl.float64) + 1.0
        x_power, y_power = power_of_two(-x_exponent), power_of_two(y_exponent)
        along = (xy + xy_low) * y_power * x_inverse
        return along, x_inverse, y_inverse, x_power, y_inverse, tl.where(x_floored, 0.0, along), along
    y_inverse, y_root, y_root_low, y_floored = inverse_norm(yy, yy_low, y_exponent, epsilon, R, WIDE)
    if WIDE:
        value = quotient(xy, xy_low, x_root, x_root_low, y_root, y_root_low)
    else:
        value = xy * x_inverse * y_inverse
    value = tl.where(value > 1.0, 1.0, tl.where(value < -1.0, -1.0, value))  # NaN stays
    along_x = tl.where(x_floored, 0.0, value)
    along_y = tl.where(y_floored, 0.0, value)
    return value, x_inverse, y_inverse, power_of_two(-x_exponent), power_of_two(-y_exponent), along_x, along_y


@triton.jit
def inverse_norm(square, low, exponent, epsilon, R: tl.constexpr, WIDE: tl.constexpr):
    """Return 1/|x|, |x| as a pair (if WIDE), and whether |x| is the floor; scaled by 2^-exponent."""
    if WIDE:
        power = power_of_two(-exponent)
        floor = tl.minimum(epsilon * power * power, 1e300)
        floored = square < floor
        root, root_low = square_root(tl.where(floored, floor, square), tl.where(floored, 0.0, low))
        return 1.0 / (root + root_low), root, root_low, floored
    floored = square < epsilon
    inverse = tl.rsqrt(tl.where(floored, tl.zeros([R], tl.float64) + epsilon, square))
    return inverse, inverse, inverse, floored


@triton.jit
def sum_plainly(
    x_rows, y_rows, x_stride, y_stride, live,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
):  # fmt: skip
    """Sum products in float64."""
    total = tl.zeros([R], tl.float64)
    start = tl.full((), 0, tl.int64)
    while start < K:
        k = (start + tl.arange(0, C))[None, :]
        mask = live & (k < K)
        total += tl.sum(load(x_rows, k, x_stride, mask, X_UNIT) * load(y_rows, k, y_stride, mask, Y_UNIT), 1)
        start += C
    return total


@triton.jit
def sum_squares(
    x_rows, stride, live, exponent, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, X_UNIT: tl.constexpr
):
    """Sum the squares of float64 rows, scaled by 2^-exponent, to pairs."""
    scale = power_of_two(-exponent)[:, None]
    high = tl.zeros([R], tl.float64)
    low = tl.zeros([R], tl.float64)
    start = tl.full((), 0, tl.int64)
    while start < K:
        k = (start + tl.arange(0, C))[None, :]
        x = load(x_rows, k, stride, live & (k < K), X_UNIT) * scale
        square = x * x
        more, more_low = tl.reduce((square, tl.fma(x, x, -square)), 1, add_pairs)
        high, low = add_pairs(high, low, more, more_low)
        start += C
    return high, low


# --- rows of one program ------------------------------------------------------------------------------


@triton.jit
def store_rounded(pointer, value, mask, SATURATE: tl.constexpr):
    """Store float64 as the pointer's dtype: to 16 bits by way of float32, within 0.5 + 2^-14 ulp.

    SATURATE is the largest number of a narrower dtype, in whose place a finite one beyond it is stored; 0
    for none.
    """
    if SATURATE > 0:
        most = tl.full([1], SATURATE, tl.float64)
        infinite = tl.abs(value) == float("inf")
        value = tl.where(
            (value > most) & ~infinite, most, tl.where((value < -most) & ~infinite, -most, value)
        )
    if pointer.dtype.element_ty == tl.float64:
        tl.store(pointer, value, mask=mask)
    else:
        tl.store(pointer, value.to(tl.float32).to(pointer.dtype.element_ty), mask=mask)


@triton.jit(
    do_not_specialize=["rows", "inner", "x_outer", "x_inner", "x_stride", "y_outer", "y_inner", "y_stride"]
)
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


@triton.jit(
    do_not_specialize=[
        "rows", "inner", "x_outer", "x_inner", "x_stride", "y_outer", "y_inner", "y_stride",
        "tiles", "groups_rows",
    ]
)  # fmt: skip
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
        x = load(x_rows, k, x_stride, mask, X_UNIT)
        x = x if WIDE else x.to(tl.float32).to(tl.float64)
        y = load(y_rows, k, y_stride, mask, Y_UNIT)
        y = y if WIDE else y.to(tl.float32).to(tl.float64)
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


# --- rows of several programs -------------------------------------------------------------------------


@triton.jit(
    do_not_specialize=["rows", "inner", "x_outer", "x_inner", "x_stride", "y_outer", "y_inner", "y_stride"]
)
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


@triton.jit(
    do_not_specialize=["rows", "inner", "x_outer", "x_inner", "x_stride", "y_outer", "y_inner", "y_stride"]
)
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
