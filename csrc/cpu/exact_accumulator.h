// Exact sums of products of doubles, for where the rounding errors of double-double arithmetic could show.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "double_double.h"

namespace batchdot {

// A fixed-point number as wide as every product of two doubles (Kulisch's accumulator): digits of 32 bits in
// limbs of 64, so that carries can wait.
class ExactAccumulator {
 public:
  // Add a * b, both finite. Bound: exact, for up to 2^63 products.
  void add(double a, double b) {
    uint64_t a_digits, b_digits;
    int position = split(a, a_digits) + split(b, b_digits);
    if (a_digits == 0 || b_digits == 0) return;
    unsigned __int128 product = (unsigned __int128)a_digits * b_digits;
    int64_t sign = std::signbit(a) == std::signbit(b) ? 1 : -1;
    int limb = position / 32, shift = position % 32;
    for (; product != 0; product >>= 32, ++limb) {
      uint64_t piece = (uint64_t)(uint32_t)product << shift;
      limbs_[limb] += sign * (int64_t)(uint32_t)piece;
      limbs_[limb + 1] += sign * (int64_t)(piece >> 32);
    }
    if (++pending_ == kMostPending) carry();
  }

  // Return the sum. Bound: a relative error of 2^-102, from keeping 129 bits or more and rounding them to two
  // doubles.
  DoubleDouble value() {
    carry();
    double sign = 1;
    if (limbs_[kLimbs - 1] < 0) {
      sign = -1;
      for (int64_t& limb : limbs_) limb = -limb;
      carry();
    }
    int top = kLimbs - 1;
    while (top > 0 && limbs_[top] == 0) --top;
    DoubleDouble sum;
    for (int i = 0; i < 5 && top - i >= 0; ++i) {
      double piece = std::ldexp((double)limbs_[top - i], -32 * i), high = sum.high + piece;
      sum.low += piece - (high - sum.high);  // the error of the sum, exactly: pieces descend
      sum.high = high;
    }
    sum.high *= sign;
    sum.low *= sign;
    sum.exponent = 32 * top - 2 * kLowest;
    return sum;
  }

 private:
  static constexpr int kLowest = 1074;  // -log2 of the smallest double
  static constexpr int kLimbs = (2 * kLowest + 2048 + 64) / 32 + 4;
  static constexpr int kMostPending = 1 << 28;  // each adds less than 2^33 to a limb, which holds 2^63

  // Set digits to an integer of 53 bits and return a position: |a| = digits * 2^(position - kLowest).
  static int split(double a, uint64_t& digits) {
    uint64_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff);
    digits = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == 0) return 0;
    digits |= UINT64_C(1) << 52;
    return exponent - 1;
  }

  // Bring every limb but the last into [0, 2^32); the last has the sign.
  void carry() {
    int64_t over = 0;
    for (int i = 0; i < kLimbs - 1; ++i) {
      int64_t limb = limbs_[i] + over;
      over = limb >> 32;
      limbs_[i] = limb & 0xffffffff;
    }
    limbs_[kLimbs - 1] += over;
    pending_ = 0;
  }

  int64_t limbs_[kLimbs] = {};
  int pending_ = 0;
};

}  // namespace batchdot
