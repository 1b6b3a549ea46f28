// c10::Half without torch, for csrc/test: conversions only, written from the format's definition.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace c10 {

struct Half {
  uint16_t bits;

  Half() = default;
  Half(float value) : bits(from_float(value)) {}
  operator float() const {
    int exponent = bits >> 10 & 31, digits = bits & 1023;
    float magnitude = exponent == 31 ? (digits ? NAN : INFINITY)
                      : exponent     ? std::ldexp((float)(1024 + digits), exponent - 25)
                                     : std::ldexp((float)digits, -24);
    return bits >> 15 ? -magnitude : magnitude;
  }

 private:
  static uint16_t from_float(float value) {
    uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    float magnitude = std::fabs(value);
    if (std::isnan(value)) return sign | 0x7e00;
    if (magnitude >= 65520) return sign | 0x7c00;
    int exponent;
    std::frexp(magnitude, &exponent);
    if (exponent < -13 || magnitude == 0) exponent = -13;  // the spacing of subnormal numbers
    auto units = (int)std::nearbyint(std::ldexp(magnitude, 11 - exponent));
    return sign | (uint16_t)(units + ((exponent + 13) << 10));  // the leading digit of `units` adds to the exponent
  }
};

}  // namespace c10

template <>
class std::numeric_limits<c10::Half> {
 public:
  static constexpr int digits = 11;
  static c10::Half max() { return 65504.0f; }
};
