// Dot products and cosines of rows.
//
// Notation as in dot-inl.h. docs/numerics.md derives the bounds, csrc/test/ulp.cpp looks for the worst case.

#include <cmath>
#include <cstdint>

#include "aligned_buffer.h"
#include "double_double.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_KERNELS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_KERNELS_INL_H_
#undef BATCHDOT_CPU_ROW_KERNELS_INL_H_
#else
#define BATCHDOT_CPU_ROW_KERNELS_INL_H_
#endif

#include "dot-inl.h"
#include "row_access-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// --- dot products ----------------------------------------------------------------------------------------------

// Write the dot products of `count` rows of x with rows of y, several at a time. A sum in double is accurate if its
// magnitude is at least `threshold` times the largest magnitudes; otherwise recompute(i) computes it.
template <class T, class U, class Recompute>
BD_INLINE void write_dots(const T* x, int64_t x_stride, const U* y, int64_t y_stride, int64_t size, int64_t count,
                          double threshold, T* out, Recompute recompute) {
  int64_t i = 0;
  auto write = [&](auto& sums) BD_LAMBDA_INLINE {
    double least = threshold * dot_rows(x + i * x_stride, x_stride, y + i * y_stride, y_stride, size, sums);
#pragma GCC unroll 4
    for (double sum : sums) {
      store(out + i, std::fabs(sum) >= least ? sum : recompute(i));
      ++i;
    }
  };
  double several[kRowsPerPass], one[1];
  while (i + kRowsPerPass <= count) write(several);
  while (i < count) write(one);
}

// The cancellation threshold for K times the largest magnitudes in place of M. It is raised by more than what M may
// have been rounded by, so that every sum that passes here also passes in dot(): which of the two computes a row
// changes no bit.
template <class T>
BD_INLINE double threshold_of_largest(int64_t size) {
  return cancellation_threshold<T>(sum_depth(size)) * (double)size * (1 + 0x1p-20);
}

// dot, not inlined: it is called for few rows, and inlining would cost the loop over all rows registers.
template <class T>
BD_NOINLINE double recompute_dot(const T* x, const T* y, int64_t size) {
  return dot(x, y, size);
}

// Pairs of rows, the i-th of x with the i-th of y, in two matrices.
template <class T>
BD_INLINE void dot_pairs(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, x_stride = problem.x.strides[0], y_stride = problem.y.strides[0];
  const T* x = (const T*)problem.x.data + begin * x_stride;
  const T* y = (const T*)problem.y.data + begin * y_stride;
  write_dots(x, x_stride, y, y_stride, size, end - begin, threshold_of_largest<T>(size),
             (T*)problem.out.data + begin,
             [&](int64_t i) { return recompute_dot(x + i * x_stride, y + i * y_stride, size); });
}

// Groups of rows of x that share a row of y, which is converted to double once.
template <class T>
BD_INLINE void dot_groups(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, stride = problem.x.row_stride, group = begin / problem.rows, i = begin % problem.rows;
  AlignedBuffer<double> wide(size);
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : size);
  for (int64_t row = begin; row < end; ++group, i = 0) {
    const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group) + i * stride;
    const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
    y = packed(y, problem.y.stride, size, buffer.data);
    double threshold = threshold_of_largest<T>(size) * widen_row(y, size, wide.data);
    int64_t count = problem.rows - i < end - row ? problem.rows - i : end - row;
    write_dots(x, stride, wide.data, 0, size, count, threshold, (T*)problem.out.data + row,
               [&](int64_t i) { return recompute_dot(x + i * stride, y, size); });
    row += count;
  }
}

// out[row] = sum(x·y).
// Bound: 0.51 ulp of the exact sum, for K <= 2^33: 1/128 ulp before rounding (dot, dot_compensated), 0.5 ulp for
// rounding it, 2^-14 ulp where Half is rounded twice.
// Worst case found: 0.50195 ulp, float16, K = 8191: 2^7·2^7, then 510 products of 0.984·2^-39 that are lost next to it
// in its lane, then its opposite, and a rest next to a midpoint ("lost" in csrc/test/ulp.cpp).
template <class T>
void row_product(const RowProblem& problem, int64_t begin, int64_t end) {
  constexpr int64_t kLongRow = 256;  // of longer rows, several at a time save nothing
  T* out = (T*)problem.out.data;
  bool several = problem.x.stride == 1 && problem.size >= kLanes;
  if constexpr (!kHasExactProducts<T>) {
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      store(out + row, to_double(dot_compensated(x, y, problem.size)));
    });
  } else if (several && problem.rows > 1) {
    dot_groups<T>(problem, begin, end);
  } else if (several && problem.size <= kLongRow && problem.y.stride == 1 && problem.axes == 1) {
    dot_pairs<T>(problem, begin, end);
  } else {
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      store(out + row, dot(x, y, problem.size));
    });
  }
}

// --- cosines ---------------------------------------------------------------------------------------------------

// 1 / |x| as value * scale: the inverse of the largest norms of doubles is no normal double.
struct InverseNorm {
  double value, scale;
  bool floored;  // whether the squared norm is the floor, a constant
};

struct Cosine {
  double value;
  InverseNorm x, y;
};

// Bound: a relative error of 2u in addition to half that of the square. Raising a square to a floor does not add to its error.
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

// Whether the double xy is within 1/128 ulp of T: M is at most |x|·|y|, and squares need no root.
template <class T>
BD_INLINE bool is_accurate(const DotAndNorms& sums, int64_t size) {
  double threshold = cancellation_threshold<T>(sum_depth(size));
  return sums.xy * sums.xy >= threshold * threshold * sums.xx * sums.yy;
}

// Bound before rounding, relative: 2^-p / 128 for xy; for T narrower than double, (sum_depth(K) + 6)·u more for the
// norms, the roots, the quotients and two products; for double, 2^-98 more.
template <class T>
BD_INLINE Cosine cosine(const T* x, const T* y, int64_t size, double epsilon) {
  Cosine result;
  if constexpr (!kHasExactProducts<T>) {
    DoubleDouble xy = dot_compensated(x, y, size);
    DoubleDouble xx = dot_compensated(x, x, size), yy = dot_compensated(y, y, size), x_norm, y_norm;
    result.x = inverse_root(xx, epsilon, x_norm);
    result.y = inverse_root(yy, epsilon, y_norm);
    result.value = to_double(divide(scaled(xy), multiply(x_norm, y_norm)));
    if (!std::isfinite(xx.high) || !std::isfinite(yy.high) || !std::isfinite(xy.high)) result.value = NAN;
  } else {
    DotAndNorms sums = dot_and_norms(x, y, size);
    if (!is_accurate<T>(sums, size)) sums.xy = to_double(dot_compensated(x, y, size));
    result.x = inverse_root(sums.xx, epsilon);
    result.y = inverse_root(sums.yy, epsilon);
    result.value = sums.xy * result.x.value * result.y.value;
  }
  if (result.value > 1) result.value = 1;
  if (result.value < -1) result.value = -1;
  return result;
}

// Cosines of pairs of rows, in two matrices, with the same bits as cosine(): roots and quotients are computed in whole
// registers.
template <class T>
BD_INLINE void cosine_pairs(const RowProblem& problem, int64_t begin, int64_t end) {
  constexpr int kRowsPerBatch = 8;
  int64_t size = problem.size;
  for (int64_t row = begin; row < end; row += kRowsPerBatch) {
    int count = end - row < kRowsPerBatch ? (int)(end - row) : kRowsPerBatch;
    double xy[kRowsPerBatch] = {}, xx[kRowsPerBatch] = {}, yy[kRowsPerBatch] = {};
    for (int i = 0; i < count; ++i) {
      const T* x = (const T*)problem.x.data + (row + i) * problem.x.strides[0];
      const T* y = (const T*)problem.y.data + (row + i) * problem.y.strides[0];
      DotAndNorms sums = dot_and_norms(x, y, size);
      xy[i] = is_accurate<T>(sums, size) ? sums.xy : to_double(dot_compensated(x, y, size));
      xx[i] = sums.xx;
      yy[i] = sums.yy;
    }
    for (int i = 0; i < kRowsPerBatch; i += kWidth) {
      Simd<double> x = Memory<double>::load(xx + i), y = Memory<double>::load(yy + i);
      Simd<double> value =
          Memory<double>::load(xy + i) * inverse_root(x, problem.epsilon) * inverse_root(y, problem.epsilon);
      Memory<double>::store(xy + i, value);  // a few u above 1 at most, which rounds to 1 in T
    }
    for (int i = 0; i < count; ++i) store((T*)problem.out.data + row + i, xy[i]);
  }
}

// out[row] = sum(x·y) / sqrt(max(sum(x·x), epsilon) · max(sum(y·y), epsilon)), in [-1, 1].
// Bound: 0.51 ulp of the exact value, for K <= 2^33.
// Worst case found: 0.50005 ulp, float16, K = 3, from rounding twice: 0x1.41cp-2*0x1.874p-2 + 0x1.f8cp-1*0x1.fa4p-1 +
// 0x1.b28p-1*0x1.6a4p-2 got 0x1.dd8p-1 ("positive").
template <class T>
void row_cosine(const RowProblem& problem, int64_t begin, int64_t end) {
  if constexpr (kHasExactProducts<T>)
    if (problem.rows == 1 && problem.axes == 1 && problem.x.stride == 1 && problem.y.stride == 1)
      return cosine_pairs<T>(problem, begin, end);
  for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
    store((T*)problem.out.data + row, cosine(x, y, problem.size, problem.epsilon).value);
  });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_KERNELS_INL_H_
