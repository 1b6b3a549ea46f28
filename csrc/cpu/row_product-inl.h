// Dot products of rows.
//
// Notation as in dot-inl.h. docs/numerics.md derives the bounds, csrc/test/ulp.cpp looks for the worst case.

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_PRODUCT_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_PRODUCT_INL_H_
#undef BATCHDOT_CPU_ROW_PRODUCT_INL_H_
#else
#define BATCHDOT_CPU_ROW_PRODUCT_INL_H_
#endif

#include "column_product-inl.h"
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

// Write dot products of tiny rows, SIZE elements that follow each other, with the bits and the decisions of dot:
// products of kWidth rows fill SIZE registers and are transposed. Where `shared`, all rows of x have one row of y.
template <int SIZE, class T, class Recompute>
BD_INLINE void write_tiny_dots(const T* x, const T* y, bool shared, int64_t count, T* out, Recompute recompute) {
  const auto threshold = broadcast(cancellation_threshold<T>(sum_depth(SIZE)));
  T repeated[kWidth * SIZE];
  for (int i = 0; i < kWidth * SIZE && shared; ++i) repeated[i] = y[i % SIZE];
  int64_t row = 0;
  for (; row + kWidth <= count; row += kWidth) {
    const T *a = x + row * SIZE, *b = shared ? repeated : y + row * SIZE;
    Simd<double> products[SIZE], terms[SIZE];
#pragma GCC unroll 8
    for (int i = 0; i < SIZE; ++i)
      products[i] = product(load_factors(a + i * kWidth, Factor<T>()), load_factors(b + i * kWidth, Factor<T>()));
    transpose<SIZE>(products, terms, std::make_integer_sequence<int, SIZE>());
    Simd<double> sum = terms[0] + Simd<double>{}, magnitude = absolute(sum);  // a sum of -0 is 0, as in dot
#pragma GCC unroll 8
    for (int k = 1; k < SIZE; ++k) {
      sum += terms[k];
      magnitude += absolute(terms[k]);
    }
    write_accurate(out + row, kWidth, sum, are_accurate<T>(sum, threshold * magnitude),
                   [&](int i) BD_LAMBDA_INLINE { return recompute(row + i); });
  }
  for (; row < count; ++row) store(out + row, recompute(row));
}

// Pairs of rows, the i-th of x with the i-th of y, in two matrices. Sums has the arithmetic for rows that are not tiny.
template <class T, class Sums>
BD_INLINE void dot_pairs(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, x_stride = problem.x.strides[0], y_stride = problem.y.strides[0], row = begin;
  const T *x = (const T*)problem.x.data, *y = (const T*)problem.y.data;
  T* out = (T*)problem.out.data;
  auto recompute = [&](int64_t i) { return recompute_dot(x + i * x_stride, y + i * y_stride, size); };
  if (size <= kTiny)
    return with_tiny_size(size, [&](auto tiny) BD_LAMBDA_INLINE {
      constexpr int kSize = decltype(tiny)::value;
      write_tiny_dots<kSize>(x + begin * kSize, y + begin * kSize, false, end - begin, out + begin,
                             [&](int64_t i) { return recompute(begin + i); });
    });
  if (size < kLanes && row == 0 && row < end) store(out, recompute(row++));  // nothing to read before it
  for (; row < end; row += kWidth) {
    int count = end - row < kWidth ? (int)(end - row) : kWidth;
    Simd<double> magnitude;
    auto sums = Sums::sum_pairs(x + row * x_stride, x_stride, y + row * y_stride, y_stride, size, count, magnitude);
    write_accurate(out + row, count, sums, Sums::are_right(sums, size, magnitude),
                   [&](int i) BD_LAMBDA_INLINE { return recompute(row + i); });
  }
}

// Tiny rows of x, in groups that share a row of y.
template <class T>
BD_INLINE void dot_tiny_groups(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, rows_each = problem.rows, i = begin % rows_each;  // i is the next row of the group
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : size);
  for (int64_t row = begin; row < end; i = 0) {
    Group<T> at(problem, row / rows_each, buffer.data);
    const T *x = at.x + i * problem.x.row_stride, *y = at.y;
    int64_t count = rows_each - i < end - row ? rows_each - i : end - row;
    with_tiny_size(size, [&](auto tiny) BD_LAMBDA_INLINE {
      write_tiny_dots<decltype(tiny)::value>(
          x, y, true, count, (T*)problem.out.data + row,
          [&](int64_t i) { return recompute_dot(x + i * problem.x.row_stride, y, size); });
    });
    row += count;
  }
}

// Groups of rows of x that share a row of y, whose elements are converted once. Sums has the arithmetic: kRows rows
// read y once.
template <class T, class Sums>
BD_INLINE void dot_groups(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, stride = problem.x.row_stride, rows_each = problem.rows;
  int64_t group = begin / rows_each, i = begin % rows_each;  // i is the next row of the group
  AlignedBuffer<typename Sums::Number> shared(size + Sums::kPadding);
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : size);
  T* out = (T*)problem.out.data;
  const T* x = nullptr;
  double y_magnitude = 0;
  for (int64_t row = begin; row < end; row += kWidth) {
    int count = end - row < kWidth ? (int)(end - row) : kWidth;
    typename Sums::Largest largest;
    double most = y_magnitude;
    Simd<double> rows[kWidth];
    for (int n = count; n < kWidth; ++n) rows[n] = Simd<double>{};
    for (int n = 0; n < count;) {
      if (i == rows_each) ++group, i = 0;
      if (i == 0 || x == nullptr) {
        Group<T> at(problem, group, buffer.data);
        x = at.x;
        y_magnitude = Sums::write_shared(at.y, size, shared.data);
        if (!(y_magnitude <= most)) most = y_magnitude;
      }
      if (n + Sums::kRows <= count && i + Sums::kRows <= rows_each) {
        Sums::template add<Sums::kRows>(x + i * stride, stride, shared.data, size, largest, rows + n);
        n += Sums::kRows, i += Sums::kRows;
      } else {
        Sums::template add<1>(x + i * stride, stride, shared.data, size, largest, rows + n);
        ++n, ++i;
      }
    }
    auto sums = sum_each(rows);
    write_accurate(out + row, count, sums, Sums::are_right(sums, size, broadcast(largest.value() * most)),
                   [&](int n) BD_LAMBDA_INLINE {
                     Group<T> at(problem, (row + n) / rows_each, buffer.data);
                     return recompute_dot(at.x + (row + n) % rows_each * stride, at.y, size);
                   });
  }
}

// out[row] = sum(x·y).
// Bound: 0.51 ulp of the exact sum, for K <= 2^33: 1/128 ulp before rounding (dot, dot_compensated), 0.5 ulp for
// rounding it, 2^-14 ulp where Half is rounded twice.
// Worst case found: 0.50195 ulp, float16, K = 8191: 2^7·2^7, then 510 products of 0.984·2^-39 that are lost next to it
// in its lane, then its opposite, and a rest next to a midpoint ("lost" in csrc/test/ulp.cpp).
template <class T>
void row_product(const RowProblem& problem, int64_t begin, int64_t end) {
  T* out = (T*)problem.out.data;
  if constexpr (!kHasExactProducts<T>) {
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      store(out + row, to_double(dot_compensated(x, y, problem.size)));
    });
  } else if (sizeof(T) == 2 && has_columns(problem) && kLanes <= problem.size && problem.size <= kChunk) {
    if constexpr (std::is_same_v<T, Half>) dot_columns<T>(problem, begin, end);
    if constexpr (std::is_same_v<T, BFloat16>) {
      if (problem.rows >= 4 * kWidth) return dot_columns_in_float<4 * kWidth>(problem, begin, end);
      dot_columns_in_float<2 * kWidth>(problem, begin, end);
    }
  } else if (takes_several_of_groups(problem)) {
    if (problem.size <= kTiny) return dot_tiny_groups<T>(problem, begin, end);
    if constexpr (std::is_same_v<T, BFloat16>)
      if (FloatSums::take(problem.size)) return dot_groups<T, FloatSums>(problem, begin, end);
    dot_groups<T, DoubleSums<T>>(problem, begin, end);
  } else if (takes_several_pairs(problem)) {
    if constexpr (std::is_same_v<T, BFloat16>)
      if (FloatSums::take(problem.size)) return dot_pairs<T, FloatSums>(problem, begin, end);
    dot_pairs<T, DoubleSums<T>>(problem, begin, end);
  } else {
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      store(out + row, dot(x, y, problem.size));
    });
  }
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_PRODUCT_INL_H_
