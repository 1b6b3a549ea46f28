// Dot products of rows.
//
// Notation as in dot-inl.h. docs/numerics.md derives the bounds, csrc/test/ulp.cpp looks for the worst case.

#include <cstdint>
#include <cstring>
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

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Write dot products of `count` rows of `size` elements, whose largest magnitudes, of x and of y, have the product
// `largest`; what may not be accurate is computed by recompute(i).
template <class T, class Recompute>
BD_INLINE void write_dots(T* out, int count, int64_t size, Simd<double> sums, double largest, Recompute recompute) {
  const auto least = broadcast(threshold_of_largest<T>(size) * largest + underflow_floor<T>(size));
  write_accurate(out, count, sums, are_accurate<T>(sums, least), recompute);
}

// The same for tiny rows, SIZE elements that follow each other, with the bits and the decisions of dot: products of
// kWidth rows fill SIZE registers and are transposed. Where `shared`, all rows of x have one row of y.
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

// dot, not inlined: it is called for few rows, and inlining would cost the loop over all rows registers.
template <class T>
BD_NOINLINE double recompute_dot(const T* x, const T* y, int64_t size) {
  return dot(x, y, size);
}

// Pairs of rows, the i-th of x with the i-th of y, in two matrices.
template <class T>
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
    double largest;
    auto sums =
        dot_rows<Factor<T>>(x + row * x_stride, x_stride, y + row * y_stride, y_stride, size, count, largest);
    write_dots(out + row, count, size, sums, largest, [&](int i) BD_LAMBDA_INLINE { return recompute(row + i); });
  }
}

// Where the rows of a group are.
template <class T>
struct Group {
  const T *x, *y;

  BD_MEMBER_INLINE Group(const RowProblem& problem, int64_t group, T* buffer)
      : x((const T*)problem.x.data + group_offset(problem, problem.x, group)),
        y(packed((const T*)problem.y.data + group_offset(problem, problem.y, group), problem.y.stride, problem.size,
                 buffer)) {}
};

// Groups of rows of x that share a row of y, whose elements are converted once.
template <class T>
BD_INLINE void dot_groups(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, stride = problem.x.row_stride, rows_each = problem.rows;
  int64_t group = begin / rows_each, i = begin % rows_each;  // i is the next row of the group
  AlignedBuffer<Factor<T>> factors(size);
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : size);
  T* out = (T*)problem.out.data;
  if (size <= kTiny) {
    for (int64_t row = begin; row < end; ++group, i = 0) {
      Group<T> at(problem, group, buffer.data);
      const T *x = at.x + i * stride, *y = at.y;
      int64_t count = rows_each - i < end - row ? rows_each - i : end - row;
      with_tiny_size(size, [&](auto tiny) BD_LAMBDA_INLINE {
        write_tiny_dots<decltype(tiny)::value>(x, y, true, count, out + row,
                                               [&](int64_t i) { return recompute_dot(x + i * stride, y, size); });
      });
      row += count;
    }
    return;
  }
  const T* x = nullptr;
  double y_largest = 0;
  for (int64_t row = begin; row < end; row += kWidth) {
    int count = end - row < kWidth ? (int)(end - row) : kWidth;
    LargestMagnitude<T> largest;
    double largest_of_groups = y_largest;
    Simd<double> rows[kWidth];
    for (int n = count; n < kWidth; ++n) rows[n] = Simd<double>{};
    for (int n = 0; n < count;) {
      if (i == rows_each) ++group, i = 0;
      if (i == 0 || x == nullptr) {
        Group<T> at(problem, group, buffer.data);
        x = at.x;
        y_largest = write_factors(at.y, size, factors.data);
        if (!(y_largest <= largest_of_groups)) largest_of_groups = y_largest;
      }
      if (n + 2 <= count && i + 2 <= rows_each) {  // two rows read y once
        dot_registers<2, Factor<T>>(x + i * stride, stride, factors.data, size, largest, largest, rows + n);
        n += 2, i += 2;
      } else {
        dot_registers<1, Factor<T>>(x + i * stride, stride, factors.data, size, largest, largest, rows + n);
        ++n, ++i;
      }
    }
    write_dots(out + row, count, size, sum_each(rows), largest.value() * largest_of_groups,
               [&](int n) BD_LAMBDA_INLINE {
                 Group<T> at(problem, (row + n) / rows_each, buffer.data);
                 return recompute_dot(at.x + (row + n) % rows_each * stride, at.y, size);
               });
  }
}

// The same of columns of a matrix of 16-bit numbers: a register has one element of kWidth of them. Sixteen sums, one
// for each lane that dot_with_bound has, are added as its lanes are, which gives its bits.
template <class T>
BD_INLINE void dot_columns(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, stride = problem.x.stride, rows_each = problem.rows;
  AlignedBuffer<Factor<T>> factors(size);
  AlignedBuffer<T> y_buffer(problem.y.stride == 1 ? 0 : size), column(size), last(size * kWidth);
  for (int64_t row = begin; row < end;) {
    Group<T> at(problem, row / rows_each, y_buffer.data);
    double y_largest = write_factors(at.y, size, factors.data);
    int64_t first = row % rows_each, count = rows_each - first < end - row ? rows_each - first : end - row;
    for (int64_t i = 0; i < count; i += kWidth) {
      const T* x = at.x + first + i;
      int64_t x_stride = stride;
      int several = count - i < kWidth ? (int)(count - i) : kWidth;
      if (several < kWidth) {  // too few to read whole registers
        for (int64_t k = 0; k < size; ++k) {
          std::memset(last.data + k * kWidth, 0, kWidth * sizeof(T));
          std::memcpy(last.data + k * kWidth, x + k * stride, several * sizeof(T));
        }
        x = last.data;
        x_stride = kWidth;
      }
      Simd<double> sum[kLanes] = {};
      Simd<int32_t> largest = {};  // the bits of the largest magnitudes
      auto add = [&](int64_t k, Simd<double>& to) BD_LAMBDA_INLINE {
        Simd<float> a = load_factors(x + k * x_stride, float());
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
          threshold_of_largest<T>(size) * y_largest * widen((Simd<float>)largest) + underflow_floor<T>(size);
      write_accurate((T*)problem.out.data + row + i, several, sum[0], are_accurate<T>(sum[0], least),
                     [&](int n) {
                       const T* rest = packed(x + n, x_stride, size, column.data);
                       return recompute_dot(rest, at.y, size);
                     });
    }
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
  T* out = (T*)problem.out.data;
  if constexpr (!kHasExactProducts<T>) {
    for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      store(out + row, to_double(dot_compensated(x, y, problem.size)));
    });
  } else if (sizeof(T) == 2 && has_columns(problem) && kLanes <= problem.size && problem.size <= kChunk) {
    if constexpr (sizeof(T) == 2) dot_columns<T>(problem, begin, end);
  } else if (takes_several_of_groups(problem)) {
    dot_groups<T>(problem, begin, end);
  } else if (takes_several_pairs(problem)) {
    dot_pairs<T>(problem, begin, end);
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
