// Cosine matrices from torch's product of matrices: scaling and clamping, and unit vectors for the gradients.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "aligned_buffer.h"
#include "double_double.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_COSINE_MATRIX_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_COSINE_MATRIX_INL_H_
#undef BATCHDOT_CPU_COSINE_MATRIX_INL_H_
#else
#define BATCHDOT_CPU_COSINE_MATRIX_INL_H_
#endif

#include "cosine_gradients-inl.h"
#include "dot-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "row_cosine-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// The registers that products of T are scaled in: of double for double, whole ones of float for float, and half ones
// for Half and BFloat16.
template <class T>
struct Scaling {
  using Number = float;
  using Register = Simd<float>;
  BD_MEMBER_INLINE static Register load(const T* from) { return load_factors(from, float()); }
  BD_MEMBER_INLINE static void store(T* to, Register a) { store_numbers(to, a); }
};

template <>
struct Scaling<float> {
  using Number = float;
  using Register = Simd<float, 2 * kWidth>;
  BD_MEMBER_INLINE static Register load(const float* from) {
    Register a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  BD_MEMBER_INLINE static void store(float* to, Register a) { std::memcpy(to, &a, sizeof a); }
};

template <>
struct Scaling<double> {
  using Number = double;
  using Register = Simd<double>;
  BD_MEMBER_INLINE static Register load(const double* from) { return Memory<double>::load(from); }
  BD_MEMBER_INLINE static void store(double* to, Register a) { Memory<double>::store(to, a); }
};

// Squared norms of rows, which are 0 for rows of zeros alone. Bound: a relative error of sum_depth(K)·u; for double,
// half an ulp, and those below the smallest double are raised to it.
template <class T>
BD_INLINE void sum_squares(const T* rows, const Operand& of, int64_t count, int64_t size, double* squares) {
  int64_t j = 0;
  if constexpr (kHasExactProducts<T>) {
    double largest;
    for (; of.stride == 1 && kLanes <= size && size <= kChunk && j + kWidth <= count; j += kWidth) {
      const T* row = rows + j * of.row_stride;
      auto sums = dot_rows<double>(row, of.row_stride, row, of.row_stride, size, kWidth, largest);
      Memory<double>::store(squares + j, sums);
    }
  }
  AlignedBuffer<T> buffer(of.stride == 1 ? 0 : size);
  for (; j < count; ++j) {
    const T* row = packed(rows + j * of.row_stride, of.stride, size, buffer.data);
    if constexpr (kHasExactProducts<T>) {
      squares[j] = dot_and_norms(row, row, size).xx;
    } else {
      DoubleDouble square = dot_compensated(row, row, size);
      double rounded = to_double(square);
      squares[j] = rounded == 0 && square.high != 0 ? std::numeric_limits<double>::denorm_min() : rounded;
    }
  }
}

// The inverse norms of rows, by which their products are scaled; NaN where a product may have overflowed or lost
// digits to underflow (GemmRange). Products with rows of zeros are zero: those are scaled by 1.
template <class T>
struct Scales {
  using Number = typename Scaling<T>::Number;
  AlignedBuffer<double> squares;
  AlignedBuffer<Number> numbers;
  bool sound;  // whether none is NaN

  explicit Scales(int64_t most) : squares(most + kWidth), numbers(most + kWidth) {}

  BD_MEMBER_INLINE void find(const T* rows, const Operand& of, int64_t count, int64_t size, double epsilon) {
    const auto least = broadcast(std::ldexp(1.0, 2 * GemmRange<T>::kLeast));
    const auto most = broadcast(std::ldexp(1.0, 2 * GemmRange<T>::kMost));
    sum_squares(rows, of, count, size, squares.data);
    for (int64_t j = count; j < count + kWidth; ++j) squares.data[j] = 0;
    Simd<int64_t> wrong = {};
    for (int64_t j = 0; j < count; j += kWidth) {
      auto square = Memory<double>::load(squares.data + j);
      auto zero = (Simd<int64_t>)(square == 0);
      auto good = zero | ((Simd<int64_t>)(square >= least) & (Simd<int64_t>)(square <= most));  // not NaN
      auto scale = zero ? broadcast(1) : good ? inverse_root(square, epsilon) : broadcast(NAN);
      Memory<Number>::store(numbers.data + j, scale);
      wrong |= ~good;
    }
    sound = true;
    for (int i = 0; i < kWidth; ++i) sound = sound && !wrong[i];
  }
};

// Scale the products of one row with others to cosines, in place.
// Bound: at most 6 roundings to Number, in addition to the errors of the product.
template <class T, class Number>
BD_INLINE void scale_row(T* products, Number x_scale, const Number* y_scale, int64_t count) {
  using Register = typename Scaling<T>::Register;
  constexpr int kStep = sizeof(Register) / sizeof(Number);
  int64_t j = 0;
  for (; j + kStep <= count; j += kStep) {
    Register scale;
    std::memcpy(&scale, y_scale + j, sizeof scale);
    Scaling<T>::store(products + j, bounded(Scaling<T>::load(products + j) * (scale * x_scale)));
  }
  for (; j < count; ++j) {
    Number value = (Number)products[j] * (y_scale[j] * x_scale);
    store(products + j, value > 1 ? 1 : value < -1 ? -1 : value);
  }
}

// out[i, j], a product of matrices in T, becomes the cosine of row i of x and row j of y, in [-1, 1].
// Bound: that of torch's product of matrices, about K·2^-p·M, which is K·2^-p of |x|·|y| or less, and 6 roundings to T.
// Relative to the cosine that is unbounded where terms cancel. Products that overflow or underflow are
// computed again, with the bound of row_cosine.
template <class T>
void scale_products(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, columns = problem.columns;
  Scales<T> x_scales(problem.rows), y_scales(columns);
  AlignedBuffer<T> x_buffer(problem.x.stride == 1 ? 0 : size), y_buffer(problem.y.stride == 1 ? 0 : size);
  for (int64_t row = begin; row < end;) {
    int64_t group = row / problem.rows, first = row % problem.rows;
    int64_t count = problem.rows - first < end - row ? problem.rows - first : end - row;
    const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group) + first * problem.x.row_stride;
    const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
    T* products = (T*)problem.out.data + row * columns;
    x_scales.find(x, problem.x, count, size, problem.epsilon);
    y_scales.find(y, problem.y, columns, size, problem.epsilon);
    for (int64_t i = 0; i < count; ++i)
      scale_row(products + i * columns, x_scales.numbers.data[i], y_scales.numbers.data, columns);
    for (int64_t i = 0; !(x_scales.sound && y_scales.sound) && i < count; ++i) {
      const T* x_row = packed(x + i * problem.x.row_stride, problem.x.stride, size, x_buffer.data);
      for (int64_t j = 0; j < columns; ++j) {
        auto scale = x_scales.numbers.data[i] * y_scales.numbers.data[j];
        if (scale == scale) continue;  // not NaN
        const T* y_row = packed(y + j * problem.y.row_stride, problem.y.stride, size, y_buffer.data);
        store(products + i * columns + j, cosine(x_row, y_row, size, problem.epsilon).value);
      }
    }
    row += count;
  }
}

BD_INLINE InverseNorm inverse_norm(const double* x, int64_t size, double epsilon) {
  DoubleDouble root;
  return inverse_root(dot_compensated(x, x, size), epsilon, root);
}

// Call body(Number()) with the numbers that a row is scaled in: double, or float for Half and BFloat16 where results
// are in its range, and the inverse norm is a normal float. The row alone decides: its bits depend on nothing else. A
// row of 64 numbers of bfloat16 takes row_unit and row_unit_backward 59 ns so, and in double 70 (AMD EPYC, Zen 4).
template <class T, class Body>
BD_INLINE void with_numbers(const InverseNorm& inverse, bool in_range, Body body) {
  using Float = std::numeric_limits<float>;
  if constexpr (sizeof(T) == 2)
    if (in_range && Float::min() <= inverse.value && inverse.value <= Float::max()) return body(float());
  body(double());
}

// out[row] = x / |x|.
// Bound: rounding to T, in addition to a relative error of (sum_depth(K)/2 + 3)·u, and of 2·2^-24 where a row is scaled
// in float; 4 roundings for double.
template <class T>
void row_unit(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size;
  AlignedBuffer<T> buffer(problem.out.stride == 1 ? 0 : size);
  auto write = [&](const T* x, const InverseNorm& inverse, int64_t row) BD_LAMBDA_INLINE {
    write_row(problem, row, buffer.data, [&](T* out) BD_LAMBDA_INLINE {
      with_numbers<T>(inverse, true, [&](auto number) BD_LAMBDA_INLINE {
        for (int64_t k = 0; k < size; k += kLanes)
          store_at(out, k, size, scaled_pack<T>(load_at<decltype(number)>(x, k, size), inverse));
      });
    });
  };
  if constexpr (kHasExactProducts<T>)
    for_each_row_with_norms<T>(
        problem, begin, end, [&](const T* x, const T*, const DotAndNorms& sums, int64_t row) BD_LAMBDA_INLINE {
          write(x, inverse_root(sums.xx, problem.epsilon), row);
        });
  else
    for_each_row<T>(problem, begin, end, [&](const T* x, const T*, int64_t row) BD_LAMBDA_INLINE {
      write(x, inverse_norm(x, size, problem.epsilon), row);
    });
}

// out[row] = (y - (y·u) u) / |x|, where y is the gradient of the unit vector u = x / |x|.
// Bound: that of cosine_gradient; in float 7·2^-24 of the terms, |y_k|/|x| and |y|·|x_k|/|x|^2, more, and for underflow
// (|y| + 2)·2^-150/|x|. y is a product of matrices rounded to T; compared with that rounding all this is negligible, as
// is the error of the sum y·u in double.
template <class T>
void row_unit_backward(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size;
  AlignedBuffer<T> buffer(problem.out.stride == 1 ? 0 : size);
  auto write = [&](const T* x, const T* y, const InverseNorm& inverse, double product, double largest,
                   int64_t row) BD_LAMBDA_INLINE {
    double along = left_out(product * inverse.value * inverse.scale, inverse);
    Saturation<T> saturation(largest);
    write_row(problem, row, buffer.data, [&](T* out) BD_LAMBDA_INLINE {
      with_numbers<T>(inverse, !saturation.needed, [&](auto number) BD_LAMBDA_INLINE {
        for (int64_t k = 0; k < size; k += kLanes) {
          auto a = load_at<decltype(number)>(x, k, size), b = load_at<decltype(number)>(y, k, size);
          store_at(out, k, size, saturation(cosine_gradient<T>(a, inverse, b, {1, 1, false}, along, 1)));
        }
      });
    });
  };
  if constexpr (kHasExactProducts<T>)
    for_each_row_with_norms<T>(
        problem, begin, end, [&](const T* x, const T* y, const DotAndNorms& sums, int64_t row) BD_LAMBDA_INLINE {
          InverseNorm inverse = inverse_root(sums.xx, problem.epsilon);
          write(x, y, inverse, sums.xy, 4 * std::sqrt(sums.yy) * (inverse.value < 1 ? 1 : inverse.value), row);
        });
  else
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      write(x, y, inverse_norm(x, size, problem.epsilon), to_double(dot_compensated(x, y, size)), INFINITY, row);
    });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_COSINE_MATRIX_INL_H_
