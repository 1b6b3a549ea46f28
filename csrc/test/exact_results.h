// Exact dot products and cosines, and errors in ulp, for ulp.cpp.
//
// Formed apart from the code under test: sums of integers of 4,500 bits, and quotients and roots in 113 bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "dtypes.h"

namespace ulp {

using batchdot::BFloat16;
using batchdot::Half;

#if defined(__SIZEOF_FLOAT128__)
using Quad = __float128;
#else
using Quad = long double;  // 113 bits on aarch64
static_assert(sizeof(long double) == 16, "needs a float of 113 bits");
#endif

inline Quad scale(Quad a, int exponent) {
  for (; exponent > 0; --exponent) a *= 2;
  for (; exponent < 0; ++exponent) a /= 2;
  return a;
}

// A two's complement integer in units of 2^-2200, wide enough for sums of products of doubles.
class Integer {
 public:
  void add_product(double a, double b) {
    int a_exponent, b_exponent;
    auto x = (int64_t)std::ldexp(std::frexp(a, &a_exponent), 53);
    auto y = (int64_t)std::ldexp(std::frexp(b, &b_exponent), 53);
    if (x == 0 || y == 0) return;
    __int128 product = (__int128)x * y;
    add(product < 0, product < 0 ? -(unsigned __int128)product : (unsigned __int128)product,
        a_exponent + b_exponent - 106 + kUnit);
  }

  // The integer times the unit, within 2^-112.
  Quad value() const {
    Integer a = *this;
    bool negative = words_[kWords - 1] >> 31;
    if (negative) a.negate();
    Quad sum = 0;
    int taken = 0;
    for (int i = kWords - 1; i >= 0 && taken < 5; --i) {
      if (a.words_[i] || taken) ++taken;
      if (a.words_[i]) sum += scale((Quad)a.words_[i], 32 * i - kUnit);
    }
    return negative ? -sum : sum;
  }

 private:
  static constexpr int kUnit = 2200, kWords = 144;

  void add(bool negative, unsigned __int128 magnitude, int position) {
    if (position < 0) std::abort();
    uint64_t carry = 0, borrow = 0;
    int shift = position % 32;
    // The magnitude, shifted by less than a word, in words.
    uint32_t pieces[6];
    for (int i = 0; i < 6; ++i) {
      uint32_t low = i < 4 ? (uint32_t)(magnitude >> (32 * i)) : 0;
      uint32_t before = i > 0 && i < 5 ? (uint32_t)(magnitude >> (32 * (i - 1))) : 0;
      pieces[i] = shift ? low << shift | before >> (32 - shift) : low;
    }
    for (int i = 0, word = position / 32; word < kWords; ++i, ++word) {
      uint64_t piece = i < 6 ? pieces[i] : 0;
      if (negative) {
        uint64_t difference = (uint64_t)words_[word] - piece - borrow;
        words_[word] = (uint32_t)difference;
        borrow = difference >> 63;
      } else {
        uint64_t sum = (uint64_t)words_[word] + piece + carry;
        words_[word] = (uint32_t)sum;
        carry = sum >> 32;
      }
    }
  }

  void negate() {
    uint64_t carry = 1;
    for (uint32_t& word : words_) {
      carry += (uint32_t)~word;
      word = (uint32_t)carry;
      carry >>= 32;
    }
  }

  uint32_t words_[kWords] = {};
};

template <class T>
Quad exact_dot(const T* x, const T* y, int64_t size) {
  Integer sum;
  for (int64_t k = 0; k < size; ++k) sum.add_product((double)x[k], (double)y[k]);
  return sum.value();
}

// Newton's iteration from a double, which doubles its digits each time.
inline Quad square_root(Quad a) {
  if (a == 0) return 0;
  int exponent = 0;
  while (a >= 4) a /= 4, ++exponent;
  while (a < 1) a *= 4, --exponent;
  Quad root = std::sqrt((double)a);
  for (int i = 0; i < 3; ++i) root = (root + a / root) / 2;
  return scale(root, exponent);
}

template <class T>
Quad exact_cosine(const T* x, const T* y, int64_t size, double epsilon) {
  Quad xy = exact_dot(x, y, size), xx = exact_dot(x, x, size), yy = exact_dot(y, y, size);
  if (xx < epsilon) xx = epsilon;
  if (yy < epsilon) yy = epsilon;
  return xy / (square_root(xx) * square_root(yy));
}

template <class T>
struct Format;  // the exponents of the smallest normal number and of the largest number
template <>
struct Format<double> {
  static constexpr int kLeast = -1022, kMost = 1023, kNumber = 1;
  static constexpr const char* kName = "float64";
};
template <>
struct Format<float> {
  static constexpr int kLeast = -126, kMost = 127, kNumber = 0;
  static constexpr const char* kName = "float32";
};
template <>
struct Format<Half> {
  static constexpr int kLeast = -14, kMost = 15, kNumber = 2;
  static constexpr const char* kName = "float16";
};
template <>
struct Format<BFloat16> {
  static constexpr int kLeast = -126, kMost = 127, kNumber = 3;
  static constexpr const char* kName = "bfloat16";
};

// The error of a result in ulp of T at the exact one. An exact result beyond the largest number may be infinite.
template <class T>
double error_in_ulp(double got, Quad exact) {
  Quad magnitude = exact < 0 ? -exact : exact;
  int exponent = Format<T>::kLeast;
  Quad power = scale(1, exponent);
  while (magnitude >= 2 * power) power *= 2, ++exponent;
  Quad ulp = scale(power, 1 - batchdot::kDigits<T>);
  Quad infinity = scale(1, Format<T>::kMost + 1);
  if (std::isinf(got)) {
    if (magnitude >= infinity && (got < 0) == (exact < 0)) return 0;
    return std::fabs((double)((got < 0 ? -infinity : infinity) - exact) / (double)ulp);
  }
  Quad error = ((Quad)got - exact) / ulp;
  return std::fabs((double)error);
}

}  // namespace ulp
