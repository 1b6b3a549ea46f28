// Numbers wider than a double, one at a time: what is left of a row when its sums are formed.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cmath>
#include <cstdint>
#include <cstring>

using c10::BFloat16;
using c10::Half;

constexpr int LANES = 16;

// From LAST + n, a mask for LANES numbers of which the last n are kept.
constexpr int64_t LAST[2 * LANES] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                     -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

// (high + low) * 2^exponent, where |low| is at most a few ulp of high.
struct Sum {
  double high = 0, low = 0;
  int exponent = 0;
};

inline double two_sum(double a, double b, double& error) {
  double sum = a + b, shifted = sum - a;
  error = (a - (sum - shifted)) + (b - shifted);
  return sum;
}

// The same number with high in [0.25, 1) and an even exponent.
inline Sum scaled(Sum a) {
  int shift = 0;
  std::frexp(a.high, &shift);
  shift += (a.exponent + shift) & 1;
  return {std::ldexp(a.high, -shift), std::ldexp(a.low, -shift), a.exponent + shift};
}

inline double to_double(const Sum& a) { return std::ldexp(a.high + a.low, a.exponent); }

// In double-double arithmetic (Dekker, Numer. Math. 18, 1971), each with a relative error below 2^-100.

inline Sum product(const Sum& a, const Sum& b) {
  double high = a.high * b.high;
  double low = std::fma(a.high, b.high, -high) + (a.high * b.low + a.low * b.high);
  Sum result;
  result.high = two_sum(high, low, result.low);
  result.exponent = a.exponent + b.exponent;
  return result;
}

inline Sum quotient(const Sum& a, const Sum& b) {
  double high = a.high / b.high;
  double rest = std::fma(-high, b.high, a.high) + (a.low - high * b.low);
  return {high, rest / b.high, a.exponent - b.exponent};
}

inline Sum square_root(const Sum& a) {
  Sum x = scaled(a);
  double root = std::sqrt(x.high);
  if (root == 0) return {};
  return {root, (std::fma(-root, root, x.high) + x.low) / (2 * root), x.exponent / 2};
}

template <class T>
struct Digits;  // of the significand

template <>
struct Digits<double> {
  static constexpr int value = 53;
};
template <>
struct Digits<float> {
  static constexpr int value = 24;
};
template <>
struct Digits<Half> {
  static constexpr int value = 11;
};
template <>
struct Digits<BFloat16> {
  static constexpr int value = 8;
};

// Between these powers of two, rows have norms whose product has all its digits.
template <class T>
struct Range {
  static constexpr int least = -50, most = 62;
};
template <>
struct Range<double> {
  static constexpr int least = -400, most = 500;
};
template <>
struct Range<Half> {
  static constexpr int least = -6, most = 7;
};

inline void store(double* to, double value) { *to = value; }
inline void store(float* to, double value) { *to = (float)value; }
inline void store(Half* to, double value) { *to = Half((float)value); }
inline void store(BFloat16* to, double value) { *to = BFloat16((float)value); }
