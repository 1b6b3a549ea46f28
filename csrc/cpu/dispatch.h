// The kernels of this machine's instruction set.
#pragma once

#include <cstdint>

#include "row_problem.h"

namespace batchdot {

// Compute rows begin to end of a problem; of kernels of gradients and of unit vectors, groups begin to end.
using Kernel = void (*)(const RowProblem&, int64_t begin, int64_t end);

// Searches of rows of scores (scan-inl.h).
using NextAbove = int64_t (*)(const void* row, int64_t begin, int64_t end, const void* threshold);
using AreFinite = bool (*)(const void* row, int64_t count);

// Scores of rows begin to end of `items` for `count` packed vectors (query_scores-inl.h).
using QueryScores = void (*)(const void* items, int64_t row_stride, const double* queries, int64_t count, int64_t size,
                             int64_t begin, int64_t end, void* out, int64_t score_stride);

// The kernels of one instruction set, each for float, double, Half and BFloat16; of scores, for float, double and
// int64_t.
struct Kernels {
  const char* name;
  Kernel product[4], product_backward[4], cosine[4], cosine_backward[4], unit[4], unit_backward[4], scale_products[4];
  QueryScores query_scores[4];
  NextAbove next_above[3];
  AreFinite are_finite[3];
};

// The kernels of the widest instruction set that this machine has, chosen at the first call. The environment
// variable BATCHDOT_INSTRUCTIONS, "baseline" or "avx2", chooses a lesser one.
const Kernels& kernels();

}  // namespace batchdot
