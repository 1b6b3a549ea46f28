"""Device code: sums of products of rows, with a bound on their error, and exactly where that is too large.

Rows narrower than float64 ("not WIDE") have products that float64 holds exactly; they are summed in float64.
Rows of float64 are summed by Dot2 (Ogita, Rump, Oishi: SIAM J. Sci. Comput. 26, 2005), in pairs of float64. A
sum that may be wrong by more than 1/128 ulp of its rows' dtype is computed again in levels, as AccSum does
(Rump, Ogita, Oishi: SIAM J. Sci. Comput. 31, 2008): at each level every term contributes its multiple of a
power of two, so that their sum is exact in any order.

Tiles have R rows and C columns. An argument in capitals is a constant of the compiled kernel.
"""

import triton
import triton.language as tl

# --- error-free transformations -----------------------------------------------------------------------
#
# Nothing here may be contracted to fused operations: every launch says enable_fp_fusion=False.


@triton.jit
def two_sum(a, b):
    """Return a + b rounded, and its rounding error (Knuth)."""
    total = a + b
    shifted = total - a
    return total, (a - (total - shifted)) + (b - shifted)


@triton.jit
def add_pairs(a_high, a_low, b_high, b_low):
    """Return the sum of two numbers that are pairs of float64."""
    high, error = two_sum(a_high, b_high)
    return high, (a_low + b_low) + error


@triton.jit
def add_bounded(a_high, a_low, a_errors, b_high, b_low, b_errors):
    """As `add_pairs`, with the sum of the magnitudes of all errors."""
    high, error = two_sum(a_high, b_high)
    return high, (a_low + b_low) + error, (a_errors + b_errors) + tl.abs(error)


@triton.jit
def normalized(high, low):
    """Return the pair of the same sum whose low part is at most half an ulp of the high one."""
    total = high + low
    return total, low - (total - high)


@triton.jit
def bounded(value):
    """Return numbers brought to [-1, 1]; NaN stays."""
    return tl.where(value > 1.0, 1.0, tl.where(value < -1.0, -1.0, value))


@triton.jit
def power_of_two(exponent):
    """Return 2^exponent for an int64 in [-1022, 1023]."""
    return ((exponent + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def rounded_to(value, unit):
    """Return the multiple of a power of two that is nearest to a number; the number where unit is 0."""
    magnitude = tl.abs(value)
    anchor = unit * 4503599627370496.0  # 2^52: numbers from there on are multiples of unit
    near = tl.where(magnitude >= anchor, magnitude, (magnitude + anchor) - anchor)
    return tl.where(value < 0, -near, near)


@triton.jit
def scaled_to_double(high, low, exponent):
    """Return (high + low)·2^exponent rounded once, to a subnormal number too; |exponent| is at most 2000."""
    high, low = normalized(high, low)
    half = exponent >> 1
    first, second = power_of_two(half), power_of_two(exponent - half)
    result = (high * first) * second
    # A subnormal result has fewer digits than high: round to whole units of it, of which low decides
    # midpoints.
    unit = power_of_two(tl.minimum(tl.maximum(-1074 - exponent, -1022), 1023))
    near = rounded_to(high, unit)
    rest = (high - near) + low
    near = tl.where(rest > unit * 0.5, near + unit, tl.where(rest < unit * -0.5, near - unit, near))
    subnormal = (tl.abs(result) < 2.2250738585072014e-308) & (exponent < 0)
    return tl.where(subnormal, (near * first) * second, result)


# --- loading and adding -------------------------------------------------------------------------------


@triton.jit
def row_offsets(
    row, inner, outer_stride, inner_stride, ALIGN: tl.constexpr, FLAT: tl.constexpr, SMALL: tl.constexpr
):
    """Return where rows begin, in elements; strides are in units of ALIGN, rows fewer than 2^31 if SMALL."""
    if FLAT:
        return (row * outer_stride) * ALIGN
    if SMALL:
        outer = (row.to(tl.int32) // inner.to(tl.int32)).to(tl.int64)
    else:
        outer = row // inner
    return (outer * outer_stride + (row - outer * inner) * inner_stride) * ALIGN


@triton.jit
def load(rows, k, stride, mask, UNIT: tl.constexpr):
    """Return elements k of rows as they are, 0 where masked."""
    return tl.load(rows + (k if UNIT else k * stride), mask=mask, other=0.0)


@triton.jit
def load_double(rows, k, stride, mask, UNIT: tl.constexpr):
    """Return elements k of rows in float64: by way of float32, as the interpreter needs it for bfloat16."""
    value = load(rows, k, stride, mask, UNIT)
    if value.dtype == tl.float64:
        return value
    return value.to(tl.float32).to(tl.float64)


@triton.jit
def add_product(x, y, high, low, errors):
    """Add products of float64 to pairs, and magnitudes of what was rounded to `errors`."""
    product = x * y
    lost = tl.fma(x, y, -product)
    high, error = two_sum(high, product)
    return high, low + (error + lost), errors + (tl.abs(error) + tl.abs(lost))


@triton.jit
def sum_products(
    x_rows, y_rows, x_stride, y_stride, live, start,
    LENGTH: tl.constexpr, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr, WIDE: tl.constexpr, NORMS: tl.constexpr,
):  # fmt: skip
    """Sum the products of columns start to start + LENGTH of R rows.

    Returns x·y as a pair; what bounds its error: the sum of |x·y|, or of the magnitudes of all rounding
    errors if WIDE; x·x and y·y as pairs. Low parts are 0 unless WIDE. x·x and y·y are 0 unless NORMS,
    when the sum of |x·y| is, which is at most |x|·|y|.
    """
    xy = tl.zeros([R, C], tl.float64)
    xy_low = tl.zeros([R, C], tl.float64)
    bound = tl.zeros([R, C], tl.float64)
    xx = tl.zeros([R, C], tl.float64)
    xx_low = tl.zeros([R, C], tl.float64)
    yy = tl.zeros([R, C], tl.float64)
    yy_low = tl.zeros([R, C], tl.float64)
    for step in tl.static_range(0, LENGTH, C):
        k = (start + step + tl.arange(0, C))[None, :]
        mask = live if K % C == 0 else live & (k < K)
        x = load_double(x_rows, k, x_stride, mask, X_UNIT)
        y = load_double(y_rows, k, y_stride, mask, Y_UNIT)
        if WIDE:
            xy, xy_low, bound = add_product(x, y, xy, xy_low, bound)
            if NORMS:
                xx, xx_low, _ = add_product(x, x, xx, xx_low, xx)
                yy, yy_low, _ = add_product(y, y, yy, yy_low, yy)
        else:
            xy = tl.fma(x, y, xy)
            if NORMS:
                xx = tl.fma(x, x, xx)
                yy = tl.fma(y, y, yy)
            else:
                bound = tl.fma(tl.abs(x), tl.abs(y), bound)
    return join_columns(xy, xy_low, bound, xx, xx_low, yy, yy_low, WIDE, NORMS)


@triton.jit
def join_columns(xy, xy_low, bound, xx, xx_low, yy, yy_low, WIDE: tl.constexpr, NORMS: tl.constexpr):
    """Sum what `sum_products` returns over the last axis."""
    if WIDE:
        a, a_low, b = tl.reduce((xy, xy_low, bound), 1, add_bounded)
        if NORMS:
            c, c_low = tl.reduce((xx, xx_low), 1, add_pairs)
            d, d_low = tl.reduce((yy, yy_low), 1, add_pairs)
            return a, a_low, b, c, c_low, d, d_low
        return a, a_low, b, b, b, b, b
    a = tl.sum(xy, 1)
    zero = tl.zeros_like(a)
    if NORMS:
        return a, zero, zero, tl.sum(xx, 1), zero, tl.sum(yy, 1), zero
    return a, zero, tl.sum(bound, 1), zero, zero, zero, zero


# --- exactly ------------------------------------------------------------------------------------------


@triton.jit
def exponent_of_largest(
    x_rows, stride, live, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, UNIT: tl.constexpr
):
    """Return the exponents of the largest elements of R rows: 1024 where one is infinite or NaN."""
    largest = tl.zeros([R], tl.int64)
    start = tl.full((), 0, tl.int64)
    while start < K:
        k = (start + tl.arange(0, C))[None, :]
        value = load_double(x_rows, k, stride, live & (k < K), UNIT)
        bits = tl.abs(value).to(tl.int64, bitcast=True)
        largest = tl.maximum(largest, tl.max(bits, 1))
        start += C
    return (largest >> 52) - 1023


@triton.jit
def sum_exactly(
    x_rows, y_rows, x_stride, y_stride, live, doubtful, x_exponent, y_exponent,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    WIDE: tl.constexpr, TERMS_BITS: tl.constexpr,
):  # fmt: skip
    """Sum the products of doubtful rows, scaled by 2^-exponent each, to a relative error of 2^-60.

    The largest elements have the exponents given, or lower ones if WIDE. Of products of float64, what is
    below 2^-1074 once scaled is lost. There are at most 2^TERMS_BITS terms: products, and if WIDE their
    rounding errors.
    """
    x_scale = power_of_two(-x_exponent)[:, None]
    y_scale = power_of_two(-y_exponent)[:, None]
    high = tl.zeros([R], tl.float64)
    low = tl.zeros([R], tl.float64)
    # Every term is below unit / 4. The largest elements are below 2 once scaled; from 2^1000 on below 2^24.
    unit = tl.zeros([R], tl.float64) + (1125899906842624.0 if WIDE else 16.0)
    going = tl.max(doubtful.to(tl.int32), 0) > 0
    while going:
        below = unit * (1.0 / (1 << (52 - TERMS_BITS)))
        level = tl.zeros([R], tl.float64)
        rest = tl.zeros([R], tl.float64)
        start = tl.full((), 0, tl.int64)
        while start < K:
            k = (start + tl.arange(0, C))[None, :]
            mask = live & (k < K)
            x = load_double(x_rows, k, x_stride, mask, X_UNIT) * x_scale
            y = load_double(y_rows, k, y_stride, mask, Y_UNIT) * y_scale
            product = x * y
            near = rounded_to(product, below[:, None])
            part = near - rounded_to(product, unit[:, None])
            left = tl.abs(product - near)
            if WIDE:
                lost = tl.fma(x, y, -product)
                near = rounded_to(lost, below[:, None])
                part += near - rounded_to(lost, unit[:, None])
                left += tl.abs(lost - near)
            level += tl.sum(part, 1)
            rest += tl.sum(left, 1)
            start += C
        high, error = two_sum(high, level)
        high, low = normalized(high, low + error)
        unit = below
        shows = rest > tl.abs(high) * 8.673617379884035e-19  # 2^-60; not where nothing is left
        going = tl.max((doubtful & shows).to(tl.int32), 0) > 0
    return high, low


# --- pairs of float64 ---------------------------------------------------------------------------------
#
# After Dekker (Numer. Math. 18, 1971), for operands in the middle of the range; a relative error of 2^-100
# each.


@triton.jit
def square_root(high, low):
    """Return the root of a positive pair."""
    root = tl.sqrt(high)
    return root, (tl.fma(-root, root, high) + low) / (2 * root)


@triton.jit
def quotient(a_high, a_low, b_high, b_low, c_high, c_low):
    """Return a / (b·c) of pairs, rounded to float64."""
    high = b_high * c_high
    low = tl.fma(b_high, c_high, -high) + (b_high * c_low + b_low * c_high)
    high, low = normalized(high, low)
    first = a_high / high
    rest = tl.fma(-first, high, a_high) + (a_low - first * low)
    return first + rest / high
