// c10::BFloat16 without torch, for csrc/test: conversions only, written from the format's definition.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace c10 {

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  BFloat16(float value) {
    uint32_t word;
    std::memcpy(&word, &value, sizeof word);
    uint32_t rest = word & 0xffff;
    bits = (uint16_t)(word >> 16);
    if (std::isnan(value))
      bits = 0x7fc0;
    else if (rest > 0x8000 || (rest == 0x8000 && bits & 1))
      ++bits;
  }
  operator float() const {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
};

}  // namespace c10

template <>
class std::numeric_limits<c10::BFloat16> {
 public:
  static constexpr int digits = 8;
  static c10::BFloat16 max() { return std::ldexp(255.0f, 120); }
};
