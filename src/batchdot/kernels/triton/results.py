"""Device code: from the sums of rows to products, cosines, and what their gradients need.

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
    add_pairs,
    bounded,
    exponent_of_largest,
    load,
    power_of_two,
    quotient,
    scaled_to_double,
    square_root,
    sum_exactly,
)

PRODUCT: tl.constexpr = tl.constexpr(0)
COSINE: tl.constexpr = tl.constexpr(1)
UNIT: tl.constexpr = tl.constexpr(2)  # x / |x|; y is x
UNIT_BACKWARD: tl.constexpr = tl.constexpr(3)  # the gradient of x / |x|; y is that of the unit row

COEFFICIENTS: tl.constexpr = tl.constexpr(6)


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
        return value, value, value, value, value, value, value  # no kernel reads coefficients of a product
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
    value = bounded(value)
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
