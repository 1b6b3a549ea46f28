// Dot products of rows, each within 1/128 ulp of the exact one before it is rounded to the rows' dtype.
//
// A dot product is summed in double first, where the products of narrower dtypes are exact; where cancellation
// leaves too few digits, and for rows of double, by Dot2 (Ogita, Rump, Oishi: SIAM J. Sci. Comput. 26, 2005), which
// sums the rounding errors as well; and where that is not enough, exactly. The first two stages bound their own
// error, and the next is taken only where that could show. docs/numerics.md derives the bounds.
//
// Notation: u = 2^-53; p is the digits of the rows' dtype T; an ulp of a number s in T is at least |s|·2^-p;
// M = sum(|x·y|); K is the elements of a row.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "double_double.h"
#include "dtypes.h"
#include "exact_accumulator.h"

#if defined(BATCHDOT_CPU_DOT_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_DOT_INL_H_
#undef BATCHDOT_CPU_DOT_INL_H_
#else
#define BATCHDOT_CPU_DOT_INL_H_
#endif

#include "lanes-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

constexpr int kTiny = 8;          // the most elements of a row that are summed in order
constexpr int64_t kChunk = 8192;  // elements summed in one go: the error of a sum grows with them

// The most roundings that a product goes through on its way into a sum in double, and one to spare for what is of
// second order. In order for a row of kTiny or fewer; of more, in kLanes lanes, one for each pack of a chunk, 4 to join
// the lanes, one for each chunk.
BD_INLINE double sum_depth(int64_t size) {
  if (size <= kTiny) return double(size);
  return double((size < kChunk ? size : kChunk) / kLanes + size / kChunk + 4 + 1);
}

// The same for the sum of rounding errors in Dot2: one more for the sum of two errors, and for each chunk 16 errors of
// joined lanes and the sum of all lanes.
BD_INLINE double error_depth(int64_t size) {
  return double((size < kChunk ? size : kChunk) / kLanes + 17 * (size / kChunk + 1) + 5 + 1);
}

// A sum s with an error of at most depth·u·E is within 1/128 ulp where |s| >= cancellation_threshold(depth)·E, as
// depth·u·E <= |s|·2^-p / 128. Half and BFloat16 are rounded twice, which costs 2^-14 ulp more.
template <class T>
BD_INLINE double cancellation_threshold(double depth) {
  return depth * 128 * (1.0 / (INT64_C(1) << (53 - kDigits<T>)));
}

// Whether products that stage 1 forms in float may overflow or underflow there.
template <class T>
constexpr bool kMayLeaveFloat = std::is_same_v<T, BFloat16>;

// What a sum has to exceed so that products that underflow in stage 1 do not show: each loses 2^-150 at most. K <= 128
// of them lose 2^-143, 2^-10 ulp of the smallest number of BFloat16; of more, 2^-10 ulp of this.
template <class T>
BD_INLINE double underflow_floor(int64_t size) {
  return kMayLeaveFloat<T> && size > 128 ? size * 0x1p-132 : 0;
}

BD_INLINE int64_t end_of_chunk(int64_t begin, int64_t size) { return size - begin > kChunk ? begin + kChunk : size; }

// --- stage 1: in double ----------------------------------------------------------------------------------------
//
// For T narrower than double. Bound: |sum - exact| <= sum_depth(K)·u·M; for BFloat16 K·2^-150 more, as its products
// are formed in float, where they may underflow. Those that overflow make the sum infinite or NaN, which is not
// accepted.

struct DotWithBound {
  double sum = 0, magnitude = 0;  // of the products, and of their absolute values
};

// The product of two elements, as stage 1 has it.
template <class T>
BD_INLINE double stage1_product(T x, T y) { return (double)((Factor<T>)x * (Factor<T>)y); }

template <class T>
BD_INLINE DotWithBound dot_with_bound(const T* x, const T* y, int64_t size) {
  DotWithBound result;
  for (int64_t k = 0; size <= kTiny && k < size; ++k) {
    double product = stage1_product(x[k], y[k]);
    result.sum += product;
    result.magnitude += std::fabs(product);
  }
  if (size <= kTiny) return result;
  Padded<T> x_row, y_row;
  if (size < kLanes) x = x_row.fill(x, size), y = y_row.fill(y, size), size = kLanes;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    Pack sum = {}, magnitude = {};
    for_each_product(x, y, begin, end_of_chunk(begin, size), [&](int i, Simd<double> product) BD_LAMBDA_INLINE {
      sum.part[i] += product;
      magnitude.part[i] += absolute(product);
    });
    result.sum += sum_lanes(sum);
    result.magnitude += sum_lanes(magnitude);
  }
  return result;
}

struct DotAndNorms {
  double xy = 0, xx = 0, yy = 0;  // sums of x·y, x·x, y·y
};

// The lanes of the three sums, of elements begin to end.
struct LanesOfNorms {
  Pack xy, xx, yy;
};

template <class T>
BD_INLINE LanesOfNorms lanes_of_norms(const T* x, const T* y, int64_t begin, int64_t end) {
  Pack xy = {}, xx = {}, yy = {};
  for_each_register(x, y, begin, end, [&](int i, Simd<double> a, Simd<double> b) BD_LAMBDA_INLINE {
    xy.part[i] = multiply_add(a, b, xy.part[i]);
    xx.part[i] = multiply_add(a, a, xx.part[i]);
    yy.part[i] = multiply_add(b, b, yy.part[i]);
  });
  return {xy, xx, yy};
}

// Bound: that of dot_with_bound for each. M is xx for xx, yy for yy, and at most the root of xx·yy for xy.
template <class T>
BD_INLINE DotAndNorms dot_and_norms(const T* x, const T* y, int64_t size) {
  DotAndNorms result;
  for (int64_t k = 0; size <= kTiny && k < size; ++k) {
    double a = x[k], b = y[k];
    result.xy += a * b;
    result.xx += a * a;
    result.yy += b * b;
  }
  if (size <= kTiny) return result;
  Padded<T> x_row, y_row;
  if (size < kLanes) x = x_row.fill(x, size), y = y_row.fill(y, size), size = kLanes;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    LanesOfNorms lanes = lanes_of_norms(x, y, begin, end_of_chunk(begin, size));
    result.xy += sum_lanes(lanes.xy);
    result.xx += sum_lanes(lanes.xx);
    result.yy += sum_lanes(lanes.yy);
  }
  return result;
}

// Whether the double xy is within 1/128 ulp of T: M is at most |x|·|y|, and squares need no root. Of a double, or of a
// register of them.
template <class T, class Sums>
BD_INLINE auto is_accurate_cosine(const Sums& sums, int64_t size) {
  double threshold = cancellation_threshold<T>(sum_depth(size));
  return sums.xy * sums.xy >= threshold * threshold * sums.xx * sums.yy;
}

// --- stage 2: Dot2 ---------------------------------------------------------------------------------------------

struct Dot2 {
  double high = 0, low = 0, errors = 0;  // the sum, its rounding errors, and their absolute values
};

// Bound: |high + low - exact| <= error_depth(K)·u·errors, where nothing overflows and every product is at least
// 2^-968; smaller ones lose at most 2^-1074 each.
template <class T>
BD_INLINE Dot2 dot2(const T* x, const T* y, int64_t size) {
  Dot2 result;
  Padded<T> x_row, y_row;
  if (size < kLanes) x = x_row.fill(x, size), y = y_row.fill(y, size), size = kLanes;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    Pack high = {}, low = {}, errors = {};
    for_each_register(x, y, begin, end_of_chunk(begin, size),
                      [&](int i, Simd<double> a, Simd<double> b) BD_LAMBDA_INLINE {
                        Simd<double> product = a * b, before = high.part[i];
                        Simd<double> after = before + product, shifted = after - before;
                        Simd<double> error = (before - (after - shifted)) + (product - shifted);
                        high.part[i] = after;
                        errors.part[i] += absolute(error);
                        if constexpr (!kHasExactProducts<T>) {
                          Simd<double> lost = product_error(a, b, product);
                          errors.part[i] += absolute(lost);
                          error += lost;
                        }
                        low.part[i] += error;
                      });
    double lane[kLanes];
    std::memcpy(lane, &high, sizeof lane);
    for (int i = 0; i < kLanes; ++i) {
      double error;
      result.high = two_sum(result.high, lane[i], error);
      result.low += error;
      result.errors += std::fabs(error);
    }
    result.low += sum_lanes(low);
    result.errors += sum_lanes(errors);
  }
  return result;
}

// --- stage 3: exactly ------------------------------------------------------------------------------------------

// Bound: a relative error of 2^-102 (ExactAccumulator). Infinity or NaN as IEEE arithmetic has it where an element is
// not finite.
template <class T>
BD_NOINLINE DoubleDouble dot_exact(const T* x, const T* y, int64_t size) {
  double plain = 0;
  bool finite = true;
  for (int64_t k = 0; k < size; ++k) {
    double a = x[k], b = y[k];
    plain += a * b;
    finite = finite && std::isfinite(a) && std::isfinite(b);
  }
  if (!finite) return {plain};
  ExactAccumulator exact;
  for (int64_t k = 0; k < size; ++k) exact.add(x[k], y[k]);
  return exact.value();
}

// Stage 2, and stage 3 where that is not accurate. Bound: a relative error of 2^-p / 128.
template <class T>
BD_NOINLINE DoubleDouble dot_compensated(const T* x, const T* y, int64_t size) {
  Dot2 dot = dot2(x, y, size);
  DoubleDouble result;
  result.high = two_sum(dot.high, dot.low, result.low);
  double sum = std::fabs(result.high);
  // Written so that NaN, the result of overflow, is not accurate.
  bool accurate = sum >= dot.errors * cancellation_threshold<T>(error_depth(size)) && sum < INFINITY;
  // Products of doubles lose digits to underflow without a trace in `errors`: 2^-1074 for each of K, which
  // is negligible compared with 2^-900.
  if constexpr (!kHasExactProducts<T>) accurate = accurate && sum > 0x1p-900;
  return accurate ? result : dot_exact(x, y, size);
}

// Whether a sum of stage 1 is within 1/128 ulp, and 2^-10 ulp for underflow. Where no product of 2^16 or fewer is above
// 2^-150, which is 0 in stage 1, neither is the sum above half of the smallest number of T.
template <class T>
BD_INLINE bool is_accurate(double sum, double magnitude, int64_t size) {
  double least = cancellation_threshold<T>(sum_depth(size)) * magnitude + underflow_floor<T>(size);
  if (kMayLeaveFloat<T> && std::isinf(sum)) return false;
  return std::fabs(sum) >= least || (magnitude == 0 && size <= 1 << 16);
}

// The dot product of two rows in a dtype narrower than double, by all stages. Bound: 1/128 ulp of T.
template <class T>
BD_INLINE double dot(const T* x, const T* y, int64_t size) {
  DotWithBound d = dot_with_bound(x, y, size);
  return is_accurate<T>(d.sum, d.magnitude, size) ? d.sum : to_double(dot_compensated(x, y, size));
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_DOT_INL_H_
