// Dot products of columns of a matrix of 16-bit numbers: a register has one element of several of them.
//
// Notation as in dot-inl.h.

#include <cstdint>
#include <cstring>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_COLUMN_PRODUCT_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_COLUMN_PRODUCT_INL_H_
#undef BATCHDOT_CPU_COLUMN_PRODUCT_INL_H_
#else
#define BATCHDOT_CPU_COLUMN_PRODUCT_INL_H_
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

// Call start(y) for each group, and then body(x, stride between elements, y, count, number of the first row) for its
// columns, COUNT at a time. Of the last ones `count` are columns, and the others zero.
template <int COUNT, class T, class Start, class Body>
BD_INLINE void for_each_columns(const RowProblem& problem, int64_t begin, int64_t end, Start start, Body body) {
  int64_t size = problem.size, stride = problem.x.stride, rows_each = problem.rows;
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : size), last(size * COUNT);
  for (int64_t row = begin; row < end;) {
    Group<T> at(problem, row / rows_each, buffer.data);
    start(at.y);
    int64_t left = rows_each - row % rows_each < end - row ? rows_each - row % rows_each : end - row;
    const T* x = at.x + row % rows_each;
    for (; left >= COUNT; left -= COUNT, x += COUNT, row += COUNT) body(x, stride, at.y, COUNT, row);
    if (left == 0) continue;
    for (int64_t k = 0; k < size; ++k) {  // too few to read whole registers
      std::memset(last.data + k * COUNT, 0, COUNT * sizeof(T));
      std::memcpy(last.data + k * COUNT, x + k * stride, left * sizeof(T));
    }
    body(last.data, COUNT, at.y, (int)left, row);
    row += left;
  }
}

// dot of a column, not inlined, as recompute_dot. `buffer` is for the column.
template <class T>
BD_NOINLINE double recompute_column(const T* x, int64_t stride, const T* y, int64_t size, T* buffer) {
  return dot(packed(x, stride, size, buffer), y, size);
}

// Sixteen sums, one for each lane that dot_with_bound has, are added as its lanes are, which gives its bits.
template <class T>
BD_INLINE void dot_columns(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size;
  AlignedBuffer<float> factors(size);
  AlignedBuffer<T> column(size);
  double y_largest;
  auto start = [&](const T* y) BD_LAMBDA_INLINE { y_largest = write_factors(y, size, factors.data); };
  auto write_block = [&](const T* x, int64_t stride, const T* y, int count, int64_t row) BD_LAMBDA_INLINE {
    Simd<double> sum[kLanes] = {};
    Simd<int32_t> largest = {};  // the bits of the largest magnitudes
    auto add = [&](int64_t k, Simd<double>& to) BD_LAMBDA_INLINE {
      Simd<float> a = load_factors(x + k * stride, float());
      Simd<int32_t> bits = (Simd<int32_t>)a & INT32_MAX;
      largest = bits > largest ? bits : largest;
      to = add_product(a, factors.data[k] - Simd<float>{}, to);
    };
    int64_t k = 0;
    for (; k + kLanes <= size; k += kLanes)
#pragma GCC unroll 16
      for (int lane = 0; lane < kLanes; ++lane) add(k + lane, sum[lane]);
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane)
      if (size - kLanes + lane >= k) add(size - kLanes + lane, sum[lane]);
#pragma GCC unroll 4
    for (int half = kLanes / 2; half > 0; half /= 2)
#pragma GCC unroll 8
      for (int lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
    const auto least =
        threshold_of_bound<T>(size) * (double)size * y_largest * widen((Simd<float>)largest) + underflow_floor<T>(size);
    write_accurate((T*)problem.out.data + row, count, sum[0], are_accurate<T>(sum[0], least),
                   [&](int n) BD_LAMBDA_INLINE { return recompute_column(x + n, stride, y, size, column.data); });
  };
  for_each_columns<kWidth, T>(problem, begin, end, start, write_block);
}

// Dot products of COUNT columns of BFloat16 with y, and the largest magnitudes of the columns.
template <int COUNT>
struct SumsOfColumns {
  static constexpr int kRoundings = kChain - 1;
  Simd<double> sums[COUNT / kWidth], largest[COUNT / kWidth];
};

template <int COUNT>
BD_INLINE SumsOfColumns<COUNT> add_columns(const BFloat16* x, int64_t x_stride, const float* y, int64_t size) {
  constexpr int kHalf = COUNT / 2, kParts = kHalf / kWidth;  // columns with even numbers, or with odd ones
  using Numbers = Simd<float, kHalf>;
  Simd<double> even_sums[kParts] = {}, odd_sums[kParts] = {};
  LargestMagnitude<BFloat16, COUNT> largest;
  auto add_to = [&](Numbers a, Simd<double>* to) BD_LAMBDA_INLINE {
    Simd<float> parts[kParts];
    std::memcpy(parts, &a, sizeof a);
#pragma GCC unroll 2
    for (int i = 0; i < kParts; ++i) to[i] += widen(parts[i]);
  };
  int64_t k = 0;
  auto add_chain = [&](int length) BD_LAMBDA_INLINE {
    Numbers even = {}, odd = {};
#pragma GCC unroll 4
    for (int i = 0; i < length; ++i, ++k) {
      const BFloat16* from = x + k * x_stride;
      largest.add(from);
      Words<kHalf> words(from);
      even = multiply_add_floats(words.even(), y[k] - Numbers{}, even);
      odd = multiply_add_floats(words.odd(), y[k] - Numbers{}, odd);
    }
    add_to(even, even_sums);
    add_to(odd, odd_sums);
  };
  while (k + kChain <= size) add_chain(kChain);
  while (k < size) add_chain(1);
  Simd<double> even_largest[kParts] = {}, odd_largest[kParts] = {};
  Words<kHalf> words((const BFloat16*)&largest.bits);
  add_to(words.even(), even_largest);
  add_to(words.odd(), odd_largest);
  SumsOfColumns<COUNT> result;
#pragma GCC unroll 2
  for (int i = 0; i < kParts; ++i) {
    result.sums[2 * i] = shuffled<InTurns<false>>(even_sums[i], odd_sums[i]);
    result.sums[2 * i + 1] = shuffled<InTurns<true>>(even_sums[i], odd_sums[i]);
    result.largest[2 * i] = shuffled<InTurns<false>>(even_largest[i], odd_largest[i]);
    result.largest[2 * i + 1] = shuffled<InTurns<true>>(even_largest[i], odd_largest[i]);
  }
  return result;
}

// dot_columns of BFloat16, by sums in float of COUNT columns at a time.
template <int COUNT>
BD_INLINE void dot_columns_in_float(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size;
  AlignedBuffer<float> factors(size);
  AlignedBuffer<BFloat16> column(size);
  double y_magnitude;
  auto start = [&](const BFloat16* y) BD_LAMBDA_INLINE {
    write_factors(y, size, factors.data);
    y_magnitude = sum_of_magnitudes(factors.data, size);
  };
  auto write_block = [&](const BFloat16* x, int64_t stride, const BFloat16* y, int count, int64_t row)
                         BD_LAMBDA_INLINE {
    auto columns = add_columns<COUNT>(x, stride, factors.data, size);
    for (int i = 0, first = 0; first < count; ++i, first += kWidth)
      write_accurate((BFloat16*)problem.out.data + row + first, count - first < kWidth ? count - first : kWidth,
                     columns.sums[i], are_certain(columns.sums[i], columns.kRoundings, size,
                                                  columns.largest[i] * y_magnitude),
                     [&](int n) BD_LAMBDA_INLINE {
                       return recompute_column(x + first + n, stride, y, size, column.data);
                     });
  };
  for_each_columns<COUNT, BFloat16>(problem, begin, end, start, write_block);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_COLUMN_PRODUCT_INL_H_
