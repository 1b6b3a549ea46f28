// The choice among the instruction sets that kernels are compiled for.

#include "dispatch.h"

#include <cstdlib>
#include <cstring>

#include "cpu_features.h"

#define BD_TARGET_INCLUDE "kernel_table-inl.h"
#include "foreach_target.h"

namespace batchdot {

static const Kernels& choose_kernels() {
#if defined(__x86_64__)
  const char* most = std::getenv("BATCHDOT_INSTRUCTIONS");
  auto is_allowed = [most](const char* name, const char* wider) {
    return most == nullptr || std::strcmp(most, name) == 0 || std::strcmp(most, wider) == 0;
  };
  CpuFeatures features;
  if (is_allowed("avx512", "") && features.avx512) return avx512::kKernels;
  if (is_allowed("avx2", "avx512") && features.avx2) return avx2::kKernels;
#endif
  return baseline::kKernels;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose_kernels();
  return chosen;
}

}  // namespace batchdot
