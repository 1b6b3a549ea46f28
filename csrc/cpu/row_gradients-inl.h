// Gradients of dot products and cosines of rows.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_GRADIENTS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#undef BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#else
#define BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#endif

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "row_cosine-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// x / |x|. Bound: a relative error of 2u, or 3u for double, in addition to that of the inverse norm.
template <class T, class Number>
BD_INLINE PackOf<Number> scaled_pack(PackOf<Number> x, const InverseNorm& inverse) {
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) {
    x.part[i] *= (Number)inverse.value;
    if constexpr (!kHasExactProducts<T>) x.part[i] *= inverse.scale;
  }
  return x;
}

// What the gradient to x leaves out of a vector: what is along x/|x|; nothing where the norm of x is the floor, a
// constant.
BD_INLINE double left_out(double along, const InverseNorm& of_x) { return of_x.floored ? 0 : along; }

// The gradient to x of a cosine of x and v: (v/|v| - along · x/|x|) · gradient/|x|.
// Bound for element k, before rounding to T: (2^-p / 128 + (3·sum_depth(K) + 16)·u) · (|v_k|/|v| + |x_k|/|x|) ·
// |gradient|/|x|, without sum_depth for double. Where the two terms cancel, the error is relative to the terms and not
// to what is left of them.
template <class T, class Number>
BD_INLINE PackOf<Number> cosine_gradient(const PackOf<Number>& x, const InverseNorm& of_x, const PackOf<Number>& v,
                                         const InverseNorm& of_v, double along, double gradient) {
  PackOf<Number> unit = scaled_pack<T>(x, of_x), other = scaled_pack<T>(v, of_v);
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i)
    other.part[i] = (other.part[i] - (Number)along * unit.part[i]) * (Number)gradient;
  return scaled_pack<T>(other, of_x);
}

// The largest number of T in place of finite ones beyond it, as in the gradient to a row whose norm is the floor;
// double has no wider type to hold those.
template <class T, class Number>
BD_INLINE PackOf<Number> saturated(PackOf<Number> a) {
  if constexpr (kDigits<T> < kDigits<double> && std::is_same_v<Number, double>) {
    const auto most = broadcast((double)std::numeric_limits<T>::max());
    const auto finite = broadcast(std::numeric_limits<double>::max());
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) {
      Simd<double> v = a.part[i];
      v = v > most && v <= finite ? most : v;
      a.part[i] = v < -most && v >= -finite ? -most : v;
    }
  }
  return a;
}

// The same, where elements may leave the range of T at all: none is beyond `largest`.
template <class T>
struct Saturation {
  bool needed;

  BD_MEMBER_INLINE explicit Saturation(double largest)
      : needed(!(largest <= (double)std::numeric_limits<T>::max())) {}  // NaN needs it
  template <class Pack>
  BD_MEMBER_INLINE Pack operator()(const Pack& a) const { return needed ? saturated<T>(a) : a; }
};

BD_INLINE void add_to(double* to, const Pack& a) {
  Pack sum = load_pack(to);
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) sum.part[i] += a.part[i];
  store_pack(to, sum);
}

// Write gradients of x and y for groups begin to end. rules(x, y, row) returns functions from packs of both rows to a
// pack of each gradient. The gradient of a row of y that several rows of x share is their sum, formed in double.
template <class T, class Rule, class Rules>
BD_INLINE void write_gradients(const RowProblem& problem, int64_t begin, int64_t end, Rules rules) {
  int64_t size = problem.size;
  bool sums = problem.rows != 1 && problem.y_gradient;  // a sum of no rows is zero
  AlignedBuffer<double> total(sums ? size + kLanes : 0);
  for (int64_t group = begin; group < end; ++group) {
    if (sums) std::memset(total.data, 0, (size + kLanes) * sizeof(double));
    auto write = [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      Rule rule = rules(x, y, row);
      T* x_gradient = (T*)problem.x_gradient + row * size;
      T* y_gradient = (T*)problem.y_gradient + row * size;
      for (int64_t k = 0; k < size; k += kLanes) {
        Pack a = load_at(x, k, size), b = load_at(y, k, size);
        if (problem.x_gradient) store_at(x_gradient, k, size, rule.stored(rule.of_x(a, b)));
        if (!problem.y_gradient) continue;
        if (sums)
          add_to(total.data + k, rule.of_y(a, b));
        else
          store_at(y_gradient, k, size, rule.stored(rule.of_y(a, b)));
      }
    };
    for_each_row<T>(problem, group * problem.rows, (group + 1) * problem.rows, write);
    for (int64_t k = 0; sums && k < size; k += kLanes)
      store_at((T*)problem.y_gradient + group * size, k, size, Rule::stored_sum(load_pack(total.data + k)));
  }
}

// The rule of products, for rows of double, rows with gaps, and few columns to sum.
template <class T>
struct ProductRule {
  double gradient;

  BD_MEMBER_INLINE Pack of_x(const Pack&, const Pack& y) const { return scaled_pack<T>(y, {gradient, 1, false}); }
  BD_MEMBER_INLINE Pack of_y(const Pack& x, const Pack&) const { return scaled_pack<T>(x, {gradient, 1, false}); }
  BD_MEMBER_INLINE Pack stored(const Pack& a) const { return a; }
  BD_INLINE Pack stored_sum(const Pack& a) { return a; }
};

template <class T>
struct CosineRule {
  Cosine cosine;
  double gradient;
  Saturation<T> saturation;

  // The elements of both gradients are below 4·|gradient|/|x| and 4·|gradient|/|y|.
  BD_MEMBER_INLINE CosineRule(const Cosine& cosine, double gradient)
      : cosine(cosine),
        gradient(gradient),
        saturation(4 * std::fabs(gradient) *
                   (cosine.x.value > cosine.y.value ? cosine.x.value : cosine.y.value)) {}

  BD_MEMBER_INLINE Pack of_x(const Pack& x, const Pack& y) const {
    return cosine_gradient<T>(x, cosine.x, y, cosine.y, left_out(cosine.value, cosine.x), gradient);
  }
  BD_MEMBER_INLINE Pack of_y(const Pack& x, const Pack& y) const {
    return cosine_gradient<T>(y, cosine.y, x, cosine.x, left_out(cosine.value, cosine.y), gradient);
  }
  BD_MEMBER_INLINE Pack stored(const Pack& a) const { return saturation(a); }
  BD_INLINE Pack stored_sum(const Pack& a) { return saturated<T>(a); }
};

// Write a row times a number. A float holds products of Half and BFloat16, and rounds products of floats once.
template <class From, class T>
BD_INLINE void write_multiple(const From* row, float factor, int64_t size, T* to) {
  auto write = [&](int64_t k) BD_LAMBDA_INLINE {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += kWidth) store_numbers(to + k + i, load_factors(row + k + i, float()) * factor);
  };
  for (int64_t k = 0; size < kLanes && k < size; ++k) store(to + k, (float)row[k] * factor);
  for (int64_t k = 0; k + kLanes <= size; k += kLanes) write(k);
  if (size > kLanes && size % kLanes) write(size - kLanes);
}

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
  AlignedBuffer<float> floats(rows);
  AlignedBuffer<double> doubles(rows);
  for (int64_t group = begin; group < end; ++group) {
    const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group);
    const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
    const T* gradient = (const T*)problem.gradient + group * rows;
    T* x_gradient = (T*)problem.x_gradient + group * size * rows;
    T* y_gradient = (T*)problem.y_gradient + group * size;
    for (int64_t i = 0; i < rows; ++i) floats.data[i] = gradient[i], doubles.data[i] = floats.data[i];
    for (int64_t k = 0; problem.x_gradient && k < size; ++k)
      write_multiple(floats.data, (float)y[k * problem.y.stride], rows, x_gradient + k * rows);
    if (problem.y_gradient && several) write_dots_with(x, stride, doubles.data, size, rows, y_gradient);
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
  write_gradients<T, ProductRule<T>>(problem, begin, end, [&](const T*, const T*, int64_t row) BD_LAMBDA_INLINE {
    return ProductRule<T>{(double)gradient[row]};
  });
}

// Bound: that of cosine_gradient for each row.
template <class T>
void row_cosine_backward(const RowProblem& problem, int64_t begin, int64_t end) {
  write_gradients<T, CosineRule<T>>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
    return CosineRule<T>(cosine(x, y, problem.size, problem.epsilon), (double)((const T*)problem.gradient)[row]);
  });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
