// The kernels, compiled for each instruction set, and the choice among them.
//
// Everything included here from rows.h and what it needs is compiled anew for each; nothing of the
// standard library may be, or a linker could keep the copy that not every machine can run.

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>

#include "exact_accumulator.h"
#include "double_double.h"
#include "row_problem.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define INLINE_MEMBER inline __attribute__((always_inline))
#define FORCED __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))

// What is between these two may use the instructions of a target.
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define BEGIN_TARGET(features) PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define END_TARGET PRAGMA(clang attribute pop)
#else
#define BEGIN_TARGET(features) PRAGMA(GCC push_options) PRAGMA(GCC target(features))
#define END_TARGET PRAGMA(GCC pop_options)
#endif

#define NAMESPACE baseline
#define WIDTH 2
#include "kernel_table-inl.h"
#undef NAMESPACE
#undef WIDTH

#if defined(__x86_64__)

BEGIN_TARGET("avx2,fma,f16c")
#define NAMESPACE avx2
#define WIDTH 4
#include "kernel_table-inl.h"
#undef NAMESPACE
#undef WIDTH
END_TARGET

BEGIN_TARGET("avx512f,avx512bw,avx512vl,fma,f16c")
#define NAMESPACE avx512
#define WIDTH 8
#include "kernel_table-inl.h"
#undef NAMESPACE
#undef WIDTH
END_TARGET

#endif  // __x86_64__

static const Kernels& choose() {
#if defined(__x86_64__)
  const char* most = std::getenv("BATCHDOT_INSTRUCTIONS");  // for tests: baseline or avx2
  auto may = [most](const char* name, const char* other) {
    return most == nullptr || std::strcmp(most, name) == 0 || std::strcmp(most, other) == 0;
  };
  __builtin_cpu_init();
  if (may("avx512", "") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return avx512::KERNELS;
  // All that have AVX2 and FMA convert float16 as well, which Clang has no name for.
  if (may("avx512", "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::KERNELS;
#endif
  return baseline::KERNELS;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}
