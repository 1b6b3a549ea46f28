"""Device code: cosine matrices, and products of matrices of integers, in one pass over memory.

A program computes a block of I rows and J columns of one matrix. Blocks of one matrix follow each other, so
that the rows that they share are in cache.
"""

import triton
import triton.language as tl

from batchdot.kernels.triton.arithmetic import bounded, load, load_double


@triton.jit
def block_of(rows, columns, I: tl.constexpr, J: tl.constexpr):  # noqa: E741
    """Return the matrix, the rows and the columns of this program, in int64."""
    blocks = (columns + J - 1) // J
    each = ((rows + I - 1) // I) * blocks
    program = tl.program_id(0).to(tl.int64)
    matrix = program // each
    block = program - matrix * each
    i = (block // blocks) * I + tl.arange(0, I)
    j = (block % blocks) * J + tl.arange(0, J)
    return matrix, i, j


@triton.jit
def squared_norms(rows, stride, live, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, UNIT: tl.constexpr):
    """Return the squared norms of R rows, in float64."""
    total = tl.zeros([R, C], tl.float64)
    for start in tl.static_range(0, K, C):
        k = (start + tl.arange(0, C))[None, :]
        value = load_double(rows, k, stride, live[:, None] & (k < K), UNIT)
        total = tl.fma(value, value, total)
    return tl.sum(total, 1)


@triton.jit
def scales(square, EPSILON: tl.constexpr):
    """Return a power of two that brings rows near norm 1, and the inverse of the scaled norms, in float32.

    Products of rows so scaled neither overflow nor lose digits to underflow. Rows of zeros are scaled by 1.
    """
    epsilon = tl.full([1], EPSILON, tl.float64)
    exponent = (((square.to(tl.int64, bitcast=True) >> 52) & 0x7FF) - 1023) >> 1  # of the norm
    exponent = tl.minimum(tl.maximum(exponent, -100), 120)
    power = ((127 - exponent) << 23).to(tl.int32).to(tl.float32, bitcast=True)
    inverse = tl.rsqrt(tl.where(square < epsilon, epsilon, square))
    inverse = inverse * ((exponent + 1023) << 52).to(tl.float64, bitcast=True)
    return power, tl.where(square == 0.0, 1.0, inverse).to(tl.float32)


@triton.jit(
    do_not_specialize=["rows", "columns", "x_batch", "x_row", "x_stride", "y_batch", "y_row", "y_stride"]
)
def cosine_matrix(
    x_pointer, y_pointer, out_pointer,
    rows: tl.int64, columns: tl.int64,
    x_batch: tl.int64, x_row: tl.int64, x_stride: tl.int64,
    y_batch: tl.int64, y_row: tl.int64, y_stride: tl.int64,
    EPSILON: tl.constexpr, K: tl.constexpr, C: tl.constexpr, I: tl.constexpr, J: tl.constexpr,  # noqa: E741
    X_ALIGN: tl.constexpr, Y_ALIGN: tl.constexpr, X_UNIT: tl.constexpr, Y_UNIT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the cosines of I rows of x and J rows of y, of float32 or bfloat16."""
    matrix, i, j = block_of(rows, columns, I, J)
    x_live = i < rows
    y_live = j < columns
    x_rows = x_pointer + ((matrix * x_batch + i * x_row) * X_ALIGN)[:, None]
    y_rows = y_pointer + ((matrix * y_batch + j * y_row) * Y_ALIGN)[:, None]
    x_power, x_inverse = scales(squared_norms(x_rows, x_stride, x_live, K, I, C, X_UNIT), EPSILON)
    y_power, y_inverse = scales(squared_norms(y_rows, y_stride, y_live, K, J, C, Y_UNIT), EPSILON)
    dtype = x_pointer.dtype.element_ty
    total = tl.zeros([I, J], tl.float32)
    for start in tl.static_range(0, K, C):
        k = (start + tl.arange(0, C))[None, :]
        x_mask = x_live[:, None] & (k < K)
        y_mask = y_live[:, None] & (k < K)
        x = load(x_rows, k, x_stride, x_mask, X_UNIT)
        y = load(y_rows, k, y_stride, y_mask, Y_UNIT)
        x = (x.to(tl.float32) * x_power[:, None]).to(dtype)  # exact
        y = (y.to(tl.float32) * y_power[:, None]).to(dtype)
        total = tl.dot(x, tl.trans(y), total, input_precision=PRECISION)
    value = total * x_inverse[:, None] * y_inverse[None, :]
    value = bounded(value)
    to = out_pointer + (matrix * rows + i)[:, None] * columns + j[None, :]
    tl.store(to, value.to(dtype), mask=x_live[:, None] & y_live[None, :])


@triton.jit(
    do_not_specialize=[
        "rows", "columns", "size", "x_batch", "x_row", "x_stride", "y_batch", "y_column", "y_stride",
    ]
)  # fmt: skip
def integer_product(
    x_pointer, y_pointer, out_pointer,
    rows: tl.int64, columns: tl.int64, size: tl.int64,
    x_batch: tl.int64, x_row: tl.int64, x_stride: tl.int64,
    y_batch: tl.int64, y_column: tl.int64, y_stride: tl.int64,
    I: tl.constexpr, J: tl.constexpr,  # noqa: E741
):  # fmt: skip
    """Write products of I rows and J columns of integers; they wrap around as PyTorch's do on the CPU."""
    matrix, i, j = block_of(rows, columns, I, J)
    dtype = out_pointer.dtype.element_ty
    sums = tl.int64 if dtype.primitive_bitwidth == 64 else tl.int32
    total = tl.zeros([I, J], sums)
    x_rows = x_pointer + matrix * x_batch + i * x_row
    y_columns = y_pointer + matrix * y_batch + j * y_column
    k = tl.full((), 0, tl.int64)
    while k < size:
        x = tl.load(x_rows + k * x_stride, mask=i < rows, other=0).to(sums)
        y = tl.load(y_columns + k * y_stride, mask=j < columns, other=0).to(sums)
        total += x[:, None] * y[None, :]
        k += 1
    to = out_pointer + (matrix * rows + i)[:, None] * columns + j[None, :]
    tl.store(to, total.to(dtype), mask=(i < rows)[:, None] & (j < columns)[None, :])
