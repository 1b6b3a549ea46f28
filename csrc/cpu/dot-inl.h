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

// Prefetch the memory after a pack into the nearest cache: hardware fetches rows that follow each other into a farther
// one. 384 bytes take about 30 cycles, twice as long as that takes to answer. Of rows beyond the caches of an AMD EPYC
// (Zen 4) this took the same time as no prefetching; 3 KB and 8 KB ahead took 1.0 to 1.4 times that.
template <class T>
BD_INLINE void prefetch(const T* pack) {
  constexpr int kLine = 64, kAhead = 384;
  for (int byte = 0; byte < int(kLanes * sizeof(T)); byte += kLine)
    __builtin_prefetch((const char*)pack + kAhead + byte);
}

// kLanes elements: a row of fewer, after zeros.
template <class T>
struct Padded {
  T elements[kLanes];

  BD_MEMBER_INLINE const T* fill(const T* row, int64_t size) {
    std::memset(elements, 0, sizeof elements);
    std::memcpy(elements + kLanes - size, row, size * sizeof(T));
    return elements;
  }
};

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

// The same with body(i, products).
template <class T, class Body>
BD_INLINE void for_each_product(const T* x, const T* y, int64_t begin, int64_t end, Body body) {
  auto products = [&](int64_t k, int i) BD_LAMBDA_INLINE {
    return product(load_factors(x + k + i * kWidth, Factor<T>()), load_factors(y + k + i * kWidth, Factor<T>()));
  };
  int64_t k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    prefetch(x + k);
    prefetch(y + k);
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) body(i, products(k, i));
  }
  if (k == end) return;
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i)
    body(i, masked(products(end - kLanes, i), kTailMask + (end - k) + i * kWidth));
}

BD_INLINE int64_t end_of_chunk(int64_t begin, int64_t size) { return size - begin > kChunk ? begin + kChunk : size; }

// --- stage 1: in double ----------------------------------------------------------------------------------------
//
// For T narrower than double. Bound: |sum - exact| <= sum_depth(K)·u·M; for BFloat16 K·2^-150 more, as its products are
// formed in float, where they may underflow. Those that overflow make the sum infinite or NaN,
// which is not accepted.

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

// Write a row of kLanes elements or more as factors, and return the largest magnitude of them.
template <class T>
BD_INLINE double write_factors(const T* row, int64_t size, Factor<T>* to) {
  LargestMagnitude<T> largest;
  auto write = [&](int64_t k) BD_LAMBDA_INLINE {
    largest.add_pack(row + k);
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += kWidth) {
      auto factors = load_factors(row + k + i, Factor<T>());
      std::memcpy(to + k + i, &factors, sizeof factors);
    }
  };
  for (int64_t k = 0; k + kLanes <= size; k += kLanes) write(k);
  write(size - kLanes);
  return largest.value();
}

// The lanes of the dot products of ROWS rows of x, each with a row of y, or all with one row of y made factors. Each is
// joined to a register, whose sum has the bits of dot_with_bound. The largest magnitudes of x, and of y unless that is
// factors, join those of other rows. Rows are of kTiny to kChunk elements; kLanes - 1 elements before a row of fewer
// than kLanes are read. Products are formed in F, Factor<T> or double.
template <int ROWS, class F, class T, class U>
BD_INLINE void dot_registers(const T* x, int64_t x_stride, const U* y, int64_t size, LargestMagnitude<T>& x_largest,
                             LargestMagnitude<T>& y_largest, Simd<double>* sums) {
  static_assert(ROWS == 1 || !std::is_same_v<T, U>, "pairs of rows share nothing");
  Pack sum[ROWS] = {};
  auto add = [&](int64_t k, auto body) BD_LAMBDA_INLINE {
    if constexpr (std::is_same_v<T, U>) {
      prefetch(y + k);
      y_largest.add_pack(y + k);
    }
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) {
      const T* from = x + row * x_stride + k;
      prefetch(from);
      x_largest.add_pack(from);
#pragma GCC unroll 8
      for (int i = 0; i < kRegisters; ++i)
        body(i, sum[row].part[i], load_factors(from + i * kWidth, F()), load_factors(y + k + i * kWidth, F()));
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= size; k += kLanes)
    add(k, [](int, auto& to, auto a, auto b) BD_LAMBDA_INLINE { to = add_product(a, b, to); });
  const int64_t* mask = kTailMask + (size - k);
  if (k < size)
    add(size - kLanes, [&](int i, auto& to, auto a, auto b) BD_LAMBDA_INLINE {
      to += masked(product(a, b), mask + i * kWidth);
    });
#pragma GCC unroll 4
  for (int row = 0; row < ROWS; ++row) sums[row] = sum_registers(sum[row]);
}

// The dot products of `count` pairs of rows, kWidth at most, as dot_registers has them. Sets `largest` to the largest
// magnitude in x times that in y: K times that bounds M, less closely than dot_with_bound and in less time.
template <class F, class T>
BD_INLINE Simd<double> dot_rows(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t size, int count,
                                double& largest) {
  LargestMagnitude<T> x_largest, y_largest;
  Simd<double> rows[kWidth];
  for (int i = count; i < kWidth; ++i) rows[i] = Simd<double>{};
  for (int i = 0; i < count; ++i)
    dot_registers<1, F>(x + i * x_stride, 0, y + i * y_stride, size, x_largest, y_largest, rows + i);
  largest = x_largest.value() * y_largest.value();
  return sum_each(rows);
}

struct DotAndNorms {
  double xy = 0, xx = 0, yy = 0;  // sums of x·y, x·x, y·y
};

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

// dot_and_norms of pairs of rows, as dot_rows.
struct RegistersOfNorms {
  Simd<double> xy, xx, yy;
};

template <class T>
BD_INLINE RegistersOfNorms dot_and_norms_of_rows(const T* x, int64_t x_stride, const T* y, int64_t y_stride,
                                                 int64_t size, int count) {
  Simd<double> xy[kWidth], xx[kWidth], yy[kWidth];
  for (int i = count; i < kWidth; ++i) xy[i] = xx[i] = yy[i] = Simd<double>{};
  for (int i = 0; i < count; ++i) {
    Pack xy_sum = {}, xx_sum = {}, yy_sum = {};
    for_each_register(x + i * x_stride, y + i * y_stride, 0, size,
                      [&](int part, Simd<double> a, Simd<double> b) BD_LAMBDA_INLINE {
                        xy_sum.part[part] = multiply_add(a, b, xy_sum.part[part]);
                        xx_sum.part[part] = multiply_add(a, a, xx_sum.part[part]);
                        yy_sum.part[part] = multiply_add(b, b, yy_sum.part[part]);
                      });
    xy[i] = sum_registers(xy_sum);
    xx[i] = sum_registers(xx_sum);
    yy[i] = sum_registers(yy_sum);
  }
  return {sum_each(xy), sum_each(xx), sum_each(yy)};
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
