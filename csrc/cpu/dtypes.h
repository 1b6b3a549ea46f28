// The element types of rows, and what kernels have to know of each.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <limits>

namespace batchdot {

using c10::BFloat16;
using c10::Half;

// Digits of the significand: 53, 24, 11, 8.
template <class T>
constexpr int kDigits = std::numeric_limits<T>::digits;

// Whether a double holds every product of two values of T exactly.
template <class T>
constexpr bool kHasExactProducts = 2 * kDigits<T> <= kDigits<double>;

// Store a double as T. Bound: 0.5 ulp, but for Half and BFloat16, which are rounded to float first:
// 0.5 + 2^-14 and 0.5 + 2^-17 ulp.
inline void store(double* to, double value) { *to = value; }
inline void store(float* to, double value) { *to = (float)value; }
inline void store(Half* to, double value) { *to = Half((float)value); }
inline void store(BFloat16* to, double value) { *to = BFloat16((float)value); }

// Norms in [2^kLeast, 2^kMost] belong to rows whose products a matrix product in T computes without overflow
// and without losing digits to underflow.
//
// Overflow: a partial sum of a dot product is at most |x|·|y| <= 2^(2·kMost). 2·62 = 124 leaves float a factor
// of 8 below 2^127, and the inverse of two norms, 2^-124, is still a normal float.
// Underflow: each of K products and sums loses at most half of the smallest subnormal number, 2^-150 of a float,
// which is 2^(-150 - 2·kLeast) = 2^-50 of |x|·|y|: K = 2^26 of them stay below an eps of 2^-24.
template <class T>
struct GemmRange {
  static constexpr int kLeast = -50, kMost = 62;  // float, and BFloat16, which has its exponents
};
template <>
struct GemmRange<double> {
  static constexpr int kLeast = -400, kMost = 500;  // 2^1000 < 2^1023; 2^-1075 is 2^-275 of 2^-800
};
template <>
struct GemmRange<Half> {
  static constexpr int kLeast = -6, kMost = 7;  // 2^14 < 65504; results round to 2^-25, 2^-13 of 2^-12
};

}  // namespace batchdot
