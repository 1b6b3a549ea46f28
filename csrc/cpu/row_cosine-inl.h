// Cosines of rows.
//
// Notation as in dot-inl.h. docs/numerics.md derives the bounds, csrc/test/ulp.cpp looks for the worst case.

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "aligned_buffer.h"
#include "double_double.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_COSINE_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_COSINE_INL_H_
#undef BATCHDOT_CPU_ROW_COSINE_INL_H_
#else
#define BATCHDOT_CPU_ROW_COSINE_INL_H_
#endif

#include "dot-inl.h"
#include "float_sums-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// 1 / |x| as value * scale: the inverse of the largest norms of doubles is no normal double.
struct InverseNorm {
  double value, scale;
  bool floored;  // whether the squared norm is the floor, a constant
};

struct Cosine {
  double value;
  InverseNorm x, y;
};

// Bound: a relative error of 2u in addition to half that of the square. Raising a square to a floor does not add to its
// error.
BD_INLINE InverseNorm inverse_root(double square, double epsilon) {
  bool floored = square < epsilon;
  return {1 / std::sqrt(floored ? epsilon : square), 1, floored};
}

BD_INLINE Simd<double> inverse_root(Simd<double> square, double epsilon) {
  return 1 / root(square < epsilon ? broadcast(epsilon) : square);
}

// Sets `root` as well, whose bound is a relative error of 2^-100 in addition to half that of the square.
BD_INLINE InverseNorm inverse_root(const DoubleDouble& square, double epsilon, DoubleDouble& root) {
  // The floor is scaled and not the square, which could round to a subnormal number.
  bool floored = square.high < (square.exponent == 0 ? epsilon : std::ldexp(epsilon, -square.exponent));
  root = square_root(floored ? DoubleDouble{epsilon} : square);
  int half = root.exponent / 2;
  return {std::ldexp(1 / (root.high + root.low), half - root.exponent), std::ldexp(1.0, -half), floored};
}

// In [-1, 1], or NaN.
BD_INLINE double bounded_cosine(double value) { return value > 1 ? 1 : value < -1 ? -1 : value; }

// The cosine of rows of a dtype narrower than double with these sums.
template <class T>
BD_INLINE Cosine cosine_of(DotAndNorms sums, const T* x, const T* y, int64_t size, double epsilon) {
  if (!is_accurate_cosine<T>(sums, size)) sums.xy = to_double(dot_compensated(x, y, size));
  InverseNorm of_x = inverse_root(sums.xx, epsilon), of_y = inverse_root(sums.yy, epsilon);
  return {bounded_cosine(sums.xy * of_x.value * of_y.value), of_x, of_y};
}

// Bound before rounding, relative: 2^-p / 128 for xy; for T narrower than double, (sum_depth(K) + 6)·u more for the
// norms, the roots, the quotients and two products; for double, 2^-98 more.
template <class T>
BD_INLINE Cosine cosine(const T* x, const T* y, int64_t size, double epsilon) {
  if constexpr (kHasExactProducts<T>) {
    return cosine_of(dot_and_norms(x, y, size), x, y, size, epsilon);
  } else {
    DoubleDouble xy = dot_compensated(x, y, size);
    DoubleDouble xx = dot_compensated(x, x, size), yy = dot_compensated(y, y, size), x_norm, y_norm;
    InverseNorm of_x = inverse_root(xx, epsilon, x_norm), of_y = inverse_root(yy, epsilon, y_norm);
    bool finite = std::isfinite(xx.high) && std::isfinite(yy.high) && std::isfinite(xy.high);
    double value = finite ? to_double(divide(scaled(xy), multiply(x_norm, y_norm))) : NAN;
    return {bounded_cosine(value), of_x, of_y};
  }
}

// cosine, not inlined, for the few rows of many that need it.
template <class T>
BD_NOINLINE double recompute_cosine(const T* x, const T* y, int64_t size, double epsilon) {
  return cosine(x, y, size, epsilon).value;
}

// Write the cosines of `count` rows, kWidth at most, with the bits of cosine().
template <class Sums, class T>
BD_INLINE void write_cosines(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t size, int count,
                             double epsilon, const RegistersOfNorms& sums, T* out) {
  // A few u above 1 at most, or of sums in float 2^-20, which rounds to 1 in T.
  Simd<double> value = sums.xy * inverse_root(sums.xx, epsilon) * inverse_root(sums.yy, epsilon);
  write_accurate(out, count, value, Sums::are_right_cosines(value, sums, size, epsilon), [&](int i) BD_LAMBDA_INLINE {
    return recompute_cosine(x + i * x_stride, y + i * y_stride, size, epsilon);
  });
}

// Cosines of rows of kLanes elements or more, several at a time.
template <class T, class Sums>
BD_INLINE void several_cosines(const RowProblem& problem, int64_t begin, int64_t end) {
  for_each_several<T>(
      problem, begin, end,
      [&](const T* x, int64_t x_stride, const T* y, int64_t y_stride, int count, int64_t row) BD_LAMBDA_INLINE {
        auto sums = Sums::norms_of_pairs(x, x_stride, y, y_stride, problem.size, count);
        write_cosines<Sums>(x, x_stride, y, y_stride, problem.size, count, problem.epsilon, sums,
                            (T*)problem.out.data + row);
      });
}

// Cosines of pairs of rows of fewer elements, which touch, in two matrices.
template <class T>
BD_INLINE void short_cosines(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, row = begin;
  const T *x = (const T*)problem.x.data, *y = (const T*)problem.y.data;
  T* out = (T*)problem.out.data;
  double epsilon = problem.epsilon;
  if (size > kTiny && row == 0 && row < end)  // nothing to read before it
    store(out, recompute_cosine(x, y, size, epsilon)), ++row;
  for (; size > kTiny && row < end; row += kWidth) {
    int count = end - row < kWidth ? (int)(end - row) : kWidth;
    const T *x_rows = x + row * size, *y_rows = y + row * size;
    auto sums = dot_and_norms_of_rows(x_rows, size, y_rows, size, size, count);
    write_cosines<DoubleSums<T>>(x_rows, size, y_rows, size, size, count, epsilon, sums, out + row);
  }
  if (size <= kTiny)
    with_tiny_size(size, [&](auto tiny) BD_LAMBDA_INLINE {
      constexpr int kSize = decltype(tiny)::value;
      constexpr auto kColumns = std::make_integer_sequence<int, kSize>();
      Simd<double> a[kSize], b[kSize];
      for (; row + kWidth <= end; row += kWidth) {
        const T *x_rows = x + row * kSize, *y_rows = y + row * kSize;
        Simd<double> x_registers[kSize], y_registers[kSize];
#pragma GCC unroll 8
        for (int i = 0; i < kSize; ++i) {
          x_registers[i] = Memory<T>::load(x_rows + i * kWidth);
          y_registers[i] = Memory<T>::load(y_rows + i * kWidth);
        }
        transpose<kSize>(x_registers, a, kColumns);
        transpose<kSize>(y_registers, b, kColumns);
        RegistersOfNorms sums = {a[0] * b[0] + Simd<double>{}, a[0] * a[0], b[0] * b[0]};  // -0 as in dot_and_norms
#pragma GCC unroll 8
        for (int k = 1; k < kSize; ++k) {
          sums.xy += a[k] * b[k];
          sums.xx += a[k] * a[k];
          sums.yy += b[k] * b[k];
        }
        write_cosines<DoubleSums<T>>(x_rows, kSize, y_rows, kSize, kSize, kWidth, epsilon, sums, out + row);
      }
    });
  for (; row < end; ++row)
    store(out + row, recompute_cosine(x + row * size, y + row * size, size, epsilon));
}

// out[row] = sum(x·y) / sqrt(max(sum(x·x), epsilon) · max(sum(y·y), epsilon)), in [-1, 1].
// Bound: 0.51 ulp of the exact value, for K <= 2^33.
// Worst case found: 0.50005 ulp, float16, K = 3, from rounding twice: 0x1.41cp-2*0x1.874p-2 + 0x1.f8cp-1*0x1.fa4p-1 +
// 0x1.b28p-1*0x1.6a4p-2 got 0x1.dd8p-1 ("positive").
template <class T>
void row_cosine(const RowProblem& problem, int64_t begin, int64_t end) {
  if constexpr (kHasExactProducts<T>) {
    if (takes_several(problem)) {
      if constexpr (std::is_same_v<T, BFloat16>)
        if (FloatSums::take(problem.size)) return several_cosines<T, FloatSums>(problem, begin, end);
      return several_cosines<T, DoubleSums<T>>(problem, begin, end);
    }
    if (takes_several_pairs(problem)) return short_cosines<T>(problem, begin, end);
  }
  for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
    store((T*)problem.out.data + row, cosine(x, y, problem.size, problem.epsilon).value);
  });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_COSINE_INL_H_
