// Exact sums of products of doubles: what is asked where rounding in double, or in two of them, could
// show in the result. One fixed-point number as wide as all products of doubles (Kulisch's accumulator).
#pragma once

#include "double_double.h"

class ExactSum {
 public:
  // Add a * b, both finite.
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
    if (++pending_ == MOST_PENDING) carry();
  }

  // The sum, with a relative error of about 2^-100.
  Sum value() {
    carry();
    double sign = 1;
    if (limbs_[LIMBS - 1] < 0) {
      sign = -1;
      for (int64_t& limb : limbs_) limb = -limb;
      carry();
    }
    int top = LIMBS - 1;
    while (top > 0 && limbs_[top] == 0) --top;
    Sum sum;
    for (int i = 0; i < 5 && top - i >= 0; ++i) {
      double piece = std::ldexp((double)limbs_[top - i], -32 * i), high = sum.high + piece;
      sum.low += piece - (high - sum.high);  // pieces descend, so that this is exact
      sum.high = high;
    }
    sum.high *= sign;
    sum.low *= sign;
    sum.exponent = 32 * top - 2 * LOWEST;
    return sum;
  }

 private:
  static constexpr int LOWEST = 1074;  // -log2 of the smallest double
  static constexpr int LIMBS = (2 * LOWEST + 2048 + 64) / 32 + 4;
  static constexpr int MOST_PENDING = 1 << 28;  // each adds less than 2^34 to a limb

  // |a| = digits * 2^(position - LOWEST), for an integer of 53 bits.
  static int split(double a, uint64_t& digits) {
    uint64_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff);
    digits = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == 0) return 0;
    digits |= UINT64_C(1) << 52;
    return exponent - 1;
  }

  // Make every limb but the last a digit of 32 bits; the sign goes to the last.
  void carry() {
    int64_t over = 0;
    for (int i = 0; i < LIMBS - 1; ++i) {
      int64_t limb = limbs_[i] + over;
      over = limb >> 32;
      limbs_[i] = limb & 0xffffffff;
    }
    limbs_[LIMBS - 1] += over;
    pending_ = 0;
  }

  int64_t limbs_[LIMBS] = {};
  int pending_ = 0;
};
