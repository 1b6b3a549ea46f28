// The kernels of this machine's instruction set.
#pragma once

#include <cstdint>

#include "row_problem.h"

namespace batchdot {

// Compute rows begin to end of a problem; of kernels of gradients and of unit vectors, groups begin to end.
using Kernel = void (*)(const RowProblem&, int64_t begin, int64_t end);

// The kernels of one instruction set, each for float, double, Half and BFloat16.
struct Kernels {
  const char* name;
  Kernel product[4], product_backward[4], cosine[4], cosine_backward[4], unit[4], unit_backward[4], scale_products[4];
};

// The kernels of the widest instruction set that this machine has, chosen at the first call. The environment
// variable BATCHDOT_INSTRUCTIONS, "baseline" or "avx2", chooses a lesser one.
const Kernels& kernels();

}  // namespace batchdot
