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
#include <limits>
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

#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

constexpr int64_t kChunk = 8192;  // elements summed in one go: the error of a sum grows with them

// The most roundings that a product goes through on its way into a sum in double, and one to spare for what is of
// second order. A row of kLanes or more: one for each pack of a chunk, 4 to join the lanes, one for each chunk.
BD_INLINE double sum_depth(int64_t size) {
  if (size < kLanes) return double(size);
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

// Prefetch the memory after a pack: rows mostly follow each other, and hardware prefetching starts late. Matrices of
// 64 columns, 26 MB, took 1.45 times as long as reading them, and 1.05 times with this.
template <class T>
BD_INLINE void prefetch(const T* pack) {
  constexpr int kLine = 64, kAhead = 3072;
  for (int byte = 0; byte < int(kLanes * sizeof(T)); byte += kLine)
    __builtin_prefetch((const char*)pack + kAhead + byte);
}

// Call body(i, a, b) for registers a of x and b of y, from begin to end; i < kRegisters is the register's place in its
// pack. A row has kLanes elements or more: its last pack ends where the row ends, and what was in the pack before is
// masked to zero.
template <class T, class U, class Body>
BD_INLINE void for_each_register(const T* x, const U* y, int64_t begin, int64_t end, Body body) {
  int64_t k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    prefetch(x + k);
    if ((const void*)x != (const void*)y) prefetch(y + k);
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i)
      body(i, Memory<T>::load(x + k + i * kWidth), Memory<U>::load(y + k + i * kWidth));
  }
  if (k == end) return;
  const int64_t* mask = kTailMask + (end - k);
  k = end - kLanes;
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i)
    body(i, masked(Memory<T>::load(x + k + i * kWidth), mask + i * kWidth),
         masked(Memory<U>::load(y + k + i * kWidth), mask + i * kWidth));
}

BD_INLINE int64_t end_of_chunk(int64_t begin, int64_t size) { return size - begin > kChunk ? begin + kChunk : size; }

// --- stage 1: in double ----------------------------------------------------------------------------------------
//
// For T narrower than double. Bound: |sum - exact| <= sum_depth(K)·u·M.

struct DotWithBound {
  double sum = 0, magnitude = 0;  // of the products, and of their absolute values
};

template <class T, class U>
BD_INLINE DotWithBound dot_with_bound(const T* x, const U* y, int64_t size) {
  DotWithBound result;
  for (int64_t k = 0; size < kLanes && k < size; ++k) {
    double product = (double)x[k] * (double)y[k];
    result.sum += product;
    result.magnitude += std::fabs(product);
  }
  if (size < kLanes) return result;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    Pack sum = {}, magnitude = {};
    for_each_register(x, y, begin, end_of_chunk(begin, size),
                      [&](int i, Simd<double> a, Simd<double> b) BD_LAMBDA_INLINE {
                        Simd<double> product = a * b;
                        sum.part[i] += product;
                        magnitude.part[i] += absolute(product);
                      });
    result.sum += sum_lanes(sum);
    result.magnitude += sum_lanes(magnitude);
  }
  return result;
}

// The largest absolute value of elements, found by their bits: those of positive numbers are ordered as the numbers
// are, and those of infinity and NaN are above them.
template <class T>
struct LargestMagnitude {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int16_t>;
  static constexpr int kFit = kWidth * 8 / (int)sizeof(T), kCount = kLanes < kFit ? kLanes : kFit;
  using Register = Simd<Bits, kCount>;

  Register bits;

  // GCC 12 stores a member that is initialized rather than assigned in two halves, and waits until it can load them.
  BD_MEMBER_INLINE LargestMagnitude() { bits = Register{}; }

  BD_MEMBER_INLINE void add_pack(const T* from) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += kCount) {
      Register a;
      std::memcpy(&a, from + i, sizeof a);
      a &= std::numeric_limits<Bits>::max();
      bits = bits > a ? bits : a;
    }
  }

  BD_MEMBER_INLINE double value() const {
    Bits most = join_lanes<kCount, Bits>(bits, [](auto a, auto b) BD_LAMBDA_INLINE { return a > b ? a : b; });
    T largest;
    std::memcpy(&largest, &most, sizeof largest);
    return (double)largest;
  }
};

// Write a row of kLanes elements or more as doubles, and return the largest magnitude of them.
template <class T>
BD_INLINE double widen_row(const T* row, int64_t size, double* to) {
  LargestMagnitude<T> largest;
  auto widen_pack = [&](int64_t k) BD_LAMBDA_INLINE {
    largest.add_pack(row + k);
    store_pack(to + k, load_pack(row + k));
  };
  for (int64_t k = 0; k + kLanes <= size; k += kLanes) widen_pack(k);
  widen_pack(size - kLanes);
  return largest.value();
}

constexpr int kRowsPerPass = kWidth == 8 ? 4 : kWidth == 4 ? 2 : 1;  // as there are registers for

// The dot products of ROWS rows, of kLanes elements or more, each with a row of its own or all with one row of double,
// with the bits of dot_with_bound. Returns the largest magnitude in x, times that in y where y has rows of its own: K
// times that of x and of y bounds M, less closely than dot_with_bound and in less time.
template <int ROWS, class T, class U>
BD_INLINE double dot_rows(const T* x, int64_t x_stride, const U* y, int64_t y_stride, int64_t size,
                          double (&sums)[ROWS]) {
  constexpr bool kOwn = std::is_same_v<T, U>;
  LargestMagnitude<T> x_largest, y_largest;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    Pack sum[ROWS] = {};
    int64_t k = begin, end = end_of_chunk(begin, size);
    auto add = [&](int64_t k, const int64_t* mask) BD_LAMBDA_INLINE {
      Pack b = load_masked(y + k, mask);
#pragma GCC unroll 4
      for (int row = 0; row < ROWS; ++row) {
        const T* from = x + row * x_stride + k;
        prefetch(from);
        x_largest.add_pack(from);
        if constexpr (kOwn) {
          const T* other = y + row * y_stride + k;
          prefetch(other);
          y_largest.add_pack(other);
          b = load_masked(other, mask);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kRegisters; ++i)
          sum[row].part[i] = multiply_add(Memory<T>::load(from + i * kWidth), b.part[i], sum[row].part[i]);
      }
    };
    for (; k + kLanes <= end; k += kLanes) add(k, nullptr);
    if (k < end) add(end - kLanes, kTailMask + (end - k));
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) sums[row] = sum_lanes(sum[row]) + (begin == 0 ? 0 : sums[row]);
  }
  return kOwn ? x_largest.value() * y_largest.value() : x_largest.value();
}

struct DotAndNorms {
  double xy = 0, xx = 0, yy = 0;  // sums of x·y, x·x, y·y
};

// Bound: that of dot_with_bound for each. M is xx for xx, yy for yy, and at most the root of xx·yy for xy.
template <class T>
BD_INLINE DotAndNorms dot_and_norms(const T* x, const T* y, int64_t size) {
  DotAndNorms result;
  for (int64_t k = 0; size < kLanes && k < size; ++k) {
    double a = x[k], b = y[k];
    result.xy += a * b;
    result.xx += a * a;
    result.yy += b * b;
  }
  if (size < kLanes) return result;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    Pack xy = {}, xx = {}, yy = {};
    for_each_register(x, y, begin, end_of_chunk(begin, size),
                      [&](int i, Simd<double> a, Simd<double> b) BD_LAMBDA_INLINE {
                        xy.part[i] = multiply_add(a, b, xy.part[i]);
                        xx.part[i] = multiply_add(a, a, xx.part[i]);
                        yy.part[i] = multiply_add(b, b, yy.part[i]);
                      });
    result.xy += sum_lanes(xy);
    result.xx += sum_lanes(xx);
    result.yy += sum_lanes(yy);
  }
  return result;
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
  T x_filled[kLanes] = {}, y_filled[kLanes] = {};
  if (size < kLanes) {
    x = (const T*)std::memcpy(x_filled, x, size * sizeof(T));
    y = (const T*)std::memcpy(y_filled, y, size * sizeof(T));
    size = kLanes;
  }
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

// The dot product of two rows in a dtype narrower than double, by all stages. Bound: 1/128 ulp of T.
template <class T>
BD_INLINE double dot(const T* x, const T* y, int64_t size) {
  DotWithBound d = dot_with_bound(x, y, size);
  bool accurate = std::fabs(d.sum) >= cancellation_threshold<T>(sum_depth(size)) * d.magnitude;
  return accurate ? d.sum : to_double(dot_compensated(x, y, size));
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_DOT_INL_H_
