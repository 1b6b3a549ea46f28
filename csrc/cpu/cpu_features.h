// What the processor has and the system lets programs use, for x86-64: by CPUID.
//
// __builtin_cpu_supports would do, but zig links a stub of it that answers no to everything.
#pragma once

#if defined(__x86_64__)

#include <cpuid.h>

namespace batchdot {

struct CpuFeatures {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW and VL

  CpuFeatures() {
    unsigned a, b, c, d;
    constexpr unsigned kFma = 1u << 12, kXgetbv = 1u << 27, kF16c = 1u << 29;
    constexpr unsigned kFirst = kFma | kXgetbv | kF16c;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kFirst) != kFirst) return;
    unsigned saved;  // the registers that the system saves: XMM, YMM; and of AVX-512 masks and ZMM
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    constexpr unsigned kYmm = 0x06, kZmm = 0xe6;
    if ((saved & kYmm) != kYmm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    constexpr unsigned kAvx2 = 1u << 5, kAvx512 = 1u << 16 | 1u << 30 | 1u << 31;
    avx2 = b & kAvx2;
    avx512 = (saved & kZmm) == kZmm && (b & kAvx512) == kAvx512;
  }
};

}  // namespace batchdot

#endif  // __x86_64__
