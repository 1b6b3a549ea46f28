// The choice among the instruction sets that kernels are compiled for.

#include "dispatch.h"

#include <cstdlib>
#include <cstring>

#define BD_TARGET_INCLUDE "kernel_table-inl.h"
#include "foreach_target.h"

namespace batchdot {

static const Kernels& choose_kernels() {
#if defined(__x86_64__)
  const char* most = std::getenv("BATCHDOT_INSTRUCTIONS");
  auto is_allowed = [most](const char* name, const char* wider) {
    return most == nullptr || std::strcmp(most, name) == 0 || std::strcmp(most, wider) == 0;
  };
  __builtin_cpu_init();
  if (is_allowed("avx512", "") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return avx512::kKernels;
  // Every machine with AVX2 and FMA has F16C as well, which Clang's __builtin_cpu_supports has no name for.
  if (is_allowed("avx2", "avx512") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return avx2::kKernels;
#endif
  return baseline::kKernels;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose_kernels();
  return chosen;
}

}  // namespace batchdot
