// Gradients of cosines of rows.

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_COSINE_GRADIENTS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_COSINE_GRADIENTS_INL_H_
#undef BATCHDOT_CPU_COSINE_GRADIENTS_INL_H_
#else
#define BATCHDOT_CPU_COSINE_GRADIENTS_INL_H_
#endif

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "multiples-inl.h"
#include "row_access-inl.h"
#include "row_cosine-inl.h"
#include "row_gradients-inl.h"
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

// The rule of cosines. It is simple where gradients may be formed as sums of multiples of x and y, which is
// cosine_gradient in fewer steps: Number holds the factors without losing digits, and T the elements.
// Bound: that of cosine_gradient; in float 3·2^-24 of its terms more, and 2^-149 for products that underflow.
template <class T>
struct CosineRule {
  static constexpr bool kMayBeSimple = kHasExactProducts<T>;
  using Number = std::conditional_t<sizeof(T) == 2, float, double>;

  Cosine cosine;
  double gradient;
  Saturation<T> saturation;
  double of_other, of_x_itself, of_y_itself;
  bool simple;

  // The elements of both gradients are below 4·|gradient|/|x| and 4·|gradient|/|y|.
  BD_MEMBER_INLINE CosineRule(const Cosine& cosine, double gradient)
      : cosine(cosine),
        gradient(gradient),
        saturation(4 * std::fabs(gradient) *
                   (cosine.x.value > cosine.y.value ? cosine.x.value : cosine.y.value)) {
    double by_x = gradient * cosine.x.value, by_y = gradient * cosine.y.value;
    of_other = by_x * cosine.y.value;
    of_x_itself = -(by_x * cosine.x.value) * left_out(cosine.value, cosine.x);
    of_y_itself = -(by_y * cosine.y.value) * left_out(cosine.value, cosine.y);
    simple = kMayBeSimple && !saturation.needed && is_in_range(of_other) &&
             is_in_range(by_x * cosine.x.value) && is_in_range(by_y * cosine.y.value);
  }

  BD_MEMBER_INLINE void write_x(const T* x, const T* y, int64_t size, T* to) const {
    write_sum_of_multiples(x, (Number)of_x_itself, y, (Number)of_other, size, to);
  }
  BD_MEMBER_INLINE void write_y(const T* x, const T* y, int64_t size, T* to) const {
    write_sum_of_multiples(y, (Number)of_y_itself, x, (Number)of_other, size, to);
  }

  BD_MEMBER_INLINE Pack of_x(const Pack& x, const Pack& y) const {
    return cosine_gradient<T>(x, cosine.x, y, cosine.y, left_out(cosine.value, cosine.x), gradient);
  }
  BD_MEMBER_INLINE Pack of_y(const Pack& x, const Pack& y) const {
    if (!simple) return cosine_gradient<T>(y, cosine.y, x, cosine.x, left_out(cosine.value, cosine.y), gradient);
    Pack sum;
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) sum.part[i] = y.part[i] * of_y_itself + x.part[i] * of_other;
    return sum;
  }
  BD_MEMBER_INLINE Pack stored(const Pack& a) const { return saturation(a); }
  BD_INLINE Pack stored_sum(const Pack& a) { return saturated<T>(a); }

 private:
  BD_INLINE bool is_in_range(double factor) {
    using Limits = std::numeric_limits<Number>;
    factor = std::fabs(factor);
    return factor == 0 || (Limits::min() <= factor && factor <= Limits::max());  // not NaN
  }
};

// Bound: that of CosineRule for each row.
template <class T>
void row_cosine_backward(const RowProblem& problem, int64_t begin, int64_t end) {
  const T* gradient = (const T*)problem.gradient;
  int64_t size = problem.size;
  double epsilon = problem.epsilon;
  write_gradients<T, CosineRule<T>>(problem, begin, end, [&](int64_t first, int64_t last, auto write) BD_LAMBDA_INLINE {
    if constexpr (kHasExactProducts<T>)
      for_each_row_with_norms<T>(
          problem, first, last, [&](const T* x, const T* y, const DotAndNorms& sums, int64_t row) BD_LAMBDA_INLINE {
            write(x, y, row, CosineRule<T>(cosine_of(sums, x, y, size, epsilon), (double)gradient[row]));
          });
    else
      for_each_row<T>(problem, first, last, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
        write(x, y, row, CosineRule<T>(cosine(x, y, size, epsilon), (double)gradient[row]));
      });
  });
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_COSINE_GRADIENTS_INL_H_
