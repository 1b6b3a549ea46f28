// Double-double arithmetic: a number of about 106 bits as the unevaluated sum of two doubles.
#pragma once

#include <cmath>
#include <limits>

namespace batchdot {

// (high + low) * 2^exponent. |low| is at most a few ulp of high.
struct DoubleDouble {
  double high = 0, low = 0;
  int exponent = 0;
};

// Return a + b rounded, and its rounding error, which is exact (Knuth, TAOCP 2, 4.2.2).
inline double two_sum(double a, double b, double& error) {
  double sum = a + b, shifted = sum - a;
  error = (a - (sum - shifted)) + (b - shifted);
  return sum;
}

// The same number with high in [0.25, 1) and an even exponent, so that its root has an integer exponent.
inline DoubleDouble scaled(const DoubleDouble& a) {
  int shift = 0;
  std::frexp(a.high, &shift);
  shift += (a.exponent + shift) & 1;
  return {std::ldexp(a.high, -shift), std::ldexp(a.low, -shift), a.exponent + shift};
}

// The double nearest to (high + low) * 2^exponent, ties to even, where that is scaled and may be subnormal; low is the
// rounding error of high. Not inlined, because it is rarely called from many places.
[[gnu::noinline]] inline double scale_to_double(double high, double low, int exponent) {
  double result = std::ldexp(high, exponent);
  if (!(std::fabs(result) <= std::numeric_limits<double>::min())) return result;  // scaling rounded nothing
  // In units of the smallest double, `high` has a digit or more after the point, so that a midpoint between two
  // integers is a double: low moves the sum across a midpoint only where high lies on one.
  constexpr int kUnit = 1074;
  double units = std::ldexp(high, exponent + kUnit), nearest = std::nearbyint(units);
  if (std::fabs(units - nearest) == 0.5 && low != 0) nearest = units + std::copysign(0.5, low);
  return std::ldexp(nearest, -kUnit);
}

// The double nearest to a, ties to even, for normal, subnormal and infinite results.
//
// Bound: 0.5 ulp. Adding high and low and then scaling would round a subnormal result twice, with an error of up to
// 0.75 ulp: (2^51 + 0.7) * 2^-1074 has high + low = 2^51 + 0.5 units, which scales to 2^51.
inline double to_double(const DoubleDouble& a) {
  double low, high = two_sum(a.high, a.low, low);
  return a.exponent == 0 ? high : scale_to_double(high, low, a.exponent);
}

// Arithmetic after Dekker (Numer. Math. 18, 1971), for operands that neither overflow nor underflow.
// Bound: a relative error of 2^-100 each.

inline DoubleDouble multiply(const DoubleDouble& a, const DoubleDouble& b) {
  double high = a.high * b.high;
  double low = std::fma(a.high, b.high, -high) + (a.high * b.low + a.low * b.high);
  DoubleDouble result;
  result.high = two_sum(high, low, result.low);
  result.exponent = a.exponent + b.exponent;
  return result;
}

inline DoubleDouble divide(const DoubleDouble& a, const DoubleDouble& b) {
  double high = a.high / b.high;
  double rest = std::fma(-high, b.high, a.high) + (a.low - high * b.low);
  return {high, rest / b.high, a.exponent - b.exponent};
}

inline DoubleDouble square_root(const DoubleDouble& a) {
  DoubleDouble x = scaled(a);
  double root = std::sqrt(x.high);
  if (root == 0) return {};
  return {root, (std::fma(-root, root, x.high) + x.low) / (2 * root), x.exponent / 2};
}

}  // namespace batchdot
