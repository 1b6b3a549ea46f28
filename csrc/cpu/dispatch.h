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

// Scores of a group of queries and panels of items, and what makes them of rows (matrix_scores-inl.h).
using PackRows = void (*)(const void* from, int64_t row_stride, int64_t count, int64_t size, int64_t width, float* to);
using ScorePanels = void (*)(const float* group, const float* items, int64_t panels, int64_t size, float* scores,
                             int64_t stride);

// The kernels of one instruction set, each for float, double, Half and BFloat16; of scores, for float, double and
// int64_t.
struct Kernels {
  const char* name;
  Kernel product[4], product_backward[4], cosine[4], cosine_backward[4], unit[4], unit_backward[4], scale_products[4];
  QueryScores query_scores[4];
  NextAbove next_above[3];
  AreFinite are_finite[3];
  PackRows pack_rows[4];
  ScorePanels score_panels;
  int64_t group, panel;  // the queries of a group, and the items of a panel
};

// The kernels of the widest instruction set that this machine has, chosen at the first call. The environment
// variable BATCHDOT_INSTRUCTIONS, "baseline" or "avx2", chooses a lesser one.
const Kernels& kernels();

}  // namespace batchdot
