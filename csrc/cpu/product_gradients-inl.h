// Gradients of dot products of rows.

#include <cstdint>
#include <type_traits>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_PRODUCT_GRADIENTS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_PRODUCT_GRADIENTS_INL_H_
#undef BATCHDOT_CPU_PRODUCT_GRADIENTS_INL_H_
#else
#define BATCHDOT_CPU_PRODUCT_GRADIENTS_INL_H_
#endif

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "multiples-inl.h"
#include "row_access-inl.h"
#include "row_gradients-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// The rule of products, for rows of double, rows with gaps, and few columns to sum.
template <class T>
struct ProductRule {
  static constexpr bool kMayBeSimple = false;

  double gradient;

  BD_MEMBER_INLINE Pack of_x(const Pack&, const Pack& y) const { return multiple(y); }
  BD_MEMBER_INLINE Pack of_y(const Pack& x, const Pack&) const { return multiple(x); }
  BD_MEMBER_INLINE Pack stored(const Pack& a) const { return a; }
  BD_INLINE Pack stored_sum(const Pack& a) { return a; }

 private:
  BD_MEMBER_INLINE Pack multiple(Pack a) const {
    for (auto& part : a.part) part *= gradient;
    return a;
  }
};

// Write the sum of `count` rows of kLanes elements or more, each times a number. It is formed in double, in registers
// for as many columns as have room.
template <class T>
BD_INLINE void write_weighted_sum(const T* rows, int64_t stride, const T* factors, int64_t count, int64_t size, T* to) {
  auto write = [&](int64_t k, auto packs) BD_LAMBDA_INLINE {
    constexpr int kPacks = decltype(packs)::value;
    Pack sum[kPacks] = {};
    for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 4
      for (int pack = 0; pack < kPacks; ++pack) {
        Pack a = load_pack(rows + i * stride + k + pack * kLanes);
        const auto factor = broadcast((double)factors[i]);
#pragma GCC unroll 8
        for (int part = 0; part < kRegisters; ++part)
          sum[pack].part[part] = multiply_add(a.part[part], factor, sum[pack].part[part]);
      }
#pragma GCC unroll 4
    for (int pack = 0; pack < kPacks; ++pack) store_pack(to + k + pack * kLanes, sum[pack]);
  };
  constexpr int kPacks = kWidth == 8 ? 4 : 2;
  int64_t k = 0;
  for (; k + kPacks * kLanes <= size; k += kPacks * kLanes) write(k, std::integral_constant<int, kPacks>());
  for (; k + kLanes <= size; k += kLanes) write(k, std::integral_constant<int, 1>());
  if (k < size) write(size - kLanes, std::integral_constant<int, 1>());
}

// Write the dot products of `count` rows of kLanes to kChunk elements with one row of factors, formed in double with
// the bits of dot_and_norms.
template <class T>
BD_INLINE void write_dots_with(const T* rows, int64_t stride, const double* factors, int64_t count, int64_t size,
                               T* to) {
  LargestMagnitude<T> unused;
  for (int64_t i = 0; i < count; i += kWidth) {
    int several = count - i < kWidth ? (int)(count - i) : kWidth;
    Simd<double> lanes[kWidth] = {};
    for (int n = 0; n < several; ++n)
      dot_registers<1, double>(rows + (i + n) * stride, 0, factors, size, unused, unused, lanes + n);
    const Simd<double> sums = sum_each(lanes);
    if (several == kWidth) Memory<T>::store(to + i, sums);
    for (int n = 0; several < kWidth && n < several; ++n) store(to + i + n, sums[n]);
  }
}

// Gradients of products where the rows of x are columns of a matrix. x_gradient is laid out as such a matrix.
template <class T>
BD_INLINE void column_gradients(const RowProblem& problem, int64_t begin, int64_t end) {
  int64_t size = problem.size, rows = problem.rows, stride = problem.x.stride;
  bool several = kLanes <= rows && rows <= kChunk;
  AlignedBuffer<double> factors(rows);
  for (int64_t group = begin; group < end; ++group) {
    const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group);
    const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
    const T* gradient = (const T*)problem.gradient + group * rows;
    T* x_gradient = (T*)problem.x_gradient + group * size * rows;
    T* y_gradient = (T*)problem.y_gradient + group * size;
    for (int64_t i = 0; i < rows; ++i) factors.data[i] = gradient[i];
    for (int64_t k = 0; problem.x_gradient && k < size; ++k)
      write_multiple(gradient, (float)y[k * problem.y.stride], rows, x_gradient + k * rows);
    if (problem.y_gradient && several) write_dots_with(x, stride, factors.data, size, rows, y_gradient);
    for (int64_t k = 0; problem.y_gradient && !several && k < size; ++k)
      store(y_gradient + k, dot_and_norms(x + k * stride, gradient, rows).xy);
  }
}

// x_gradient = gradient · y, and y_gradient = gradient · x.
// Bound: rounding one product to T, 0.5 ulp, or 0.5 + 2^-14 for Half; of a sum over n rows, n·u of the sum of the
// terms' magnitudes more.
template <class T>
void row_product_backward(const RowProblem& problem, int64_t begin, int64_t end) {
  const T* gradient = (const T*)problem.gradient;
  if constexpr (kHasExactProducts<T>) {
    if (has_columns(problem)) return column_gradients<T>(problem, begin, end);
    if (problem.x.stride == 1 && problem.y.stride == 1 && (problem.rows == 1 || problem.size >= kLanes)) {
      int64_t size = problem.size, rows = problem.rows, stride = problem.x.row_stride;
      for (int64_t group = begin; group < end; ++group) {
        const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group);
        const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
        T* x_gradient = (T*)problem.x_gradient + group * rows * size;
        T* y_gradient = (T*)problem.y_gradient + group * size;
        for (int64_t i = 0; problem.x_gradient && i < rows; ++i)
          write_multiple(y, (float)gradient[group * rows + i], size, x_gradient + i * size);
        if (problem.y_gradient && rows == 1) write_multiple(x, (float)gradient[group], size, y_gradient);
        if (problem.y_gradient && rows != 1)
          write_weighted_sum(x, stride, gradient + group * rows, rows, size, y_gradient);
      }
      return;
    }
  }
  write_gradients<T, ProductRule<T>>(problem, begin, end, [&](int64_t first, int64_t last, auto write)
                                                              BD_LAMBDA_INLINE {
    for_each_row<T>(problem, first, last, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      write(x, y, row, ProductRule<T>{(double)gradient[row]});
    });
  });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_PRODUCT_GRADIENTS_INL_H_
