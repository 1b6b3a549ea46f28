// Rows that a sum in floating-point numbers finds hard, and ordinary ones, for ulp.cpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

#include "dtypes.h"
#include "exact_results.h"

namespace ulp {

inline std::mt19937_64 generator;

inline double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }
inline double normal() { return std::normal_distribution<double>()(generator); }
inline int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }
inline double sign() { return integer(0, 1) ? 1 : -1; }

template <class T>
T to(double value) {
  T result;
  batchdot::store(&result, value);
  return std::isfinite((double)result) ? result : T(1);
}

template <class T>
void fill_normal(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(normal()), y[k] = to<T>(normal());
}

template <class T>
void fill_positive(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(uniform(0, 1)), y[k] = to<T>(uniform(0, 1));
}

template <class T>
T any_number() {
  return to<T>(std::ldexp(sign() * uniform(0.5, 1), integer(Format<T>::kLeast - 10, Format<T>::kMost)));
}

// Products beyond float, whose sums are not: 4·2^127, and its opposite in two.
template <class T>
void fill_overflowing(T* x, T* y, int64_t size) {
  fill_normal(x, y, size);
  if (size < 3) return;
  int half = Format<T>::kMost / 2 + 1;
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(std::ldexp((double)x[k], half - 6));
  for (int64_t k = 0; k < 3; ++k) x[k] = y[k] = to<T>(std::ldexp(1.0, half));
  x[1] = x[2] = to<T>(-std::ldexp(1 - std::ldexp(1.0, -integer(1, batchdot::kDigits<T>)), half - 1));
}

// Every exponent of T, so that products and sums overflow and underflow.
template <class T>
void fill_scales(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = any_number<T>(), y[k] = any_number<T>();
}

// Results in and about the subnormal numbers of T.
template <class T>
void fill_tiny(T* x, T* y, int64_t size) {
  int half = (Format<T>::kLeast + integer(-batchdot::kDigits<T> - 2, 2)) / 2;
  for (int64_t k = 0; k < size; ++k) {
    x[k] = to<T>(std::ldexp(normal(), half + integer(-3, 0)));
    y[k] = to<T>(std::ldexp(normal(), half - integer(-3, 0)));
  }
}

// Halves that cancel to any number of digits.
template <class T>
void fill_cancelling(T* x, T* y, int64_t size) {
  fill_normal(x, y, size);
  int64_t half = size / 2;
  double change = std::ldexp(1.0, -integer(1, batchdot::kDigits<T>));
  for (int64_t k = 0; k < half; ++k) {
    x[half + k] = x[k];
    y[half + k] = to<T>(-(double)y[k] * (integer(0, 3) ? 1 : 1 + change * integer(-2, 2)));
  }
  if (size % 2) x[size - 1] = to<T>(std::ldexp(normal(), -integer(0, 3 * batchdot::kDigits<T>)));
}

// A number and what brings the sum to a midpoint between two numbers of T, but for very little: the errors of the
// sum decide where it rounds to.
template <class T>
void fill_midpoint(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) {
    x[k] = to<T>(uniform(0.5, 1));
    y[k] = to<T>(sign() * uniform(0.5, 1));
  }
  constexpr int kTail = 6;
  if (size < kTail + 1) return;
  for (int64_t k = size - kTail; k < size; ++k) x[k] = T(0), y[k] = T(1);
  // Half an ulp beyond the number nearest to the sum; each of the tail adds the digits that the last left over.
  auto start = (double)exact_dot(x, y, size);
  auto number = (double)to<T>(start);
  int exponent;
  std::frexp(number, &exponent);
  Quad middle = (Quad)number + scale(sign(), exponent - batchdot::kDigits<T> - 1);
  for (int64_t k = size - kTail; k < size; ++k) x[k] = to<T>((double)(middle - exact_dot(x, y, size)));
  x[size - 1] = to<T>((double)x[size - 1] + std::ldexp(sign(), exponent - integer(50, 60)));
}

// What a sum in double loses most of: in the lane of the first product, every later one is lost next to it, until its
// opposite ends the row. What is left is a midpoint of T but for a little, on the side that the lost products are not.
template <class T>
void fill_lost(T* x, T* y, int64_t size) {
  constexpr int kTop = Format<T>::kMost / 2;  // the first product is 4^kTop
  for (int64_t k = 0; k < size; ++k) x[k] = y[k] = T(0);
  int64_t last = (size - 1) / 16 * 16;
  if (last < 48) return;
  for (int64_t k = 16; k < last; k += 16) {
    x[k] = to<T>(std::ldexp(0.984375, kTop - 27));
    y[k] = to<T>(std::ldexp(1.0, kTop - 26));
  }
  x[0] = y[0] = y[last] = to<T>(std::ldexp(1.0, kTop));
  x[last] = to<T>(-std::ldexp(1.0, kTop));
  auto rest = (double)to<T>(std::exp2(2 * kTop + 1 - uniform(5, 48)));
  int exponent;
  std::frexp(rest, &exponent);
  x[1] = to<T>(rest), y[1] = T(1);
  x[2] = to<T>(std::ldexp(1.0, exponent - batchdot::kDigits<T> - 1)), y[2] = T(1);
  x[3] = to<T>(-std::ldexp(1.0, exponent - batchdot::kDigits<T> - 20)), y[3] = T(1);
}

// Products that grow together and cancel in another order, beside a midpoint of T but for a little: what is left is as
// small as a threshold that knows the largest product, and not their number, would let pass.
template <class T>
void fill_halves(T* x, T* y, int64_t size) {
  int64_t half = size / 2 - 1;
  for (int64_t k = 0; k < size; ++k) x[k] = y[k] = T(0);
  if (half < 8) return;
  for (int64_t k = 0; k < half; ++k) x[k] = to<T>(uniform(0.5, 1)), y[k] = to<T>(uniform(0.5, 1));
  for (int64_t k = 0; k < half; ++k) {
    x[half + k] = x[(k + 5) % half];
    y[half + k] = to<T>(-(double)y[(k + 5) % half]);
  }
  auto rest = (double)to<T>(std::exp2(-uniform(6, 48)));
  int exponent;
  std::frexp(rest, &exponent);
  // Factors of a middle size, which T has where it does not have the product.
  int middle = exponent - batchdot::kDigits<T> - 1;
  x[size - 2] = to<T>(rest), y[size - 2] = T(1);
  x[size - 1] = to<T>(std::ldexp(1.0, middle / 2));
  y[size - 1] = to<T>(std::ldexp(1 - std::ldexp(1.0, -integer(5, batchdot::kDigits<T> - 1)), middle - middle / 2));
}

// Factors of double that Dekker's splitting overflows for, with terms whose errors cancel.
template <class T>
void fill_splitting(T* x, T* y, int64_t size) {
  int large = Format<T>::kMost - integer(0, 40);
  for (int64_t k = 0; k < size; ++k) {
    double value = std::ldexp(sign() * uniform(0.5, 1), integer(0, 40));
    x[k] = to<T>(std::ldexp(1.0, large));
    y[k] = to<T>(std::ldexp(k % 2 ? -value : value, -large));
  }
}

template <class T>
struct Kind {
  const char* name;
  void (*fill)(T* x, T* y, int64_t size);
};

template <class T>
const Kind<T> kKinds[] = {
    {"normal", fill_normal<T>},
    {"positive", fill_positive<T>},
    {"all scales", fill_scales<T>},
    {"tiny", fill_tiny<T>},
    {"cancelling", fill_cancelling<T>},
    {"midpoint", fill_midpoint<T>},
    {"lost", fill_lost<T>},
    {"halves", fill_halves<T>},
    {"splitting", fill_splitting<T>},
    {"overflowing", fill_overflowing<T>},
};

}  // namespace ulp
