// The candidates of rows of scores: the largest so far, and what is done to them.
//
// Each row has candidates: scores in order of ascending position, at most `capacity` of them. A score enters if it is
// above the threshold, the smallest of the `kept` best at the time of the last cut. When no room is left the candidates
// are cut to the `kept` best. So a row costs one pass that compares, and few scores enter it: kept·ln(count / kept) of
// those in random order. Scores in ascending order all enter, at the cost of one cut for every `capacity - kept`.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>

#include "dispatch.h"

namespace batchdot {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Whether a comes before b among the largest: NaN is larger than every number.
template <class T>
inline bool is_larger(T a, T b) {
  return a > b || (a != a && b == b);
}

// The candidates of rows, one row of each tensor for each: see `select_top`.
template <class T>
struct Candidates {
  T *scores, *thresholds;
  int64_t *indices, *counts;
  int64_t rows, kept, capacity;

  // Cut a row to its best, the first among equals, in the order that they are in.
  void cut(int64_t row, T* scratch) const {
    T *own = scores + row * capacity, &threshold = thresholds[row];
    int64_t *places = indices + row * capacity, &count = counts[row];
    std::copy(own, own + count, scratch);
    std::nth_element(scratch, scratch + kept - 1, scratch + count, is_larger<T>);
    threshold = scratch[kept - 1];
    int64_t equal = kept - std::count_if(own, own + count, [&](T score) { return is_larger(score, threshold); });
    int64_t to = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (!is_larger(own[i], threshold) && (is_larger(threshold, own[i]) || --equal < 0)) continue;
      own[to] = own[i];
      places[to++] = places[i];
    }
    count = to;
  }

  // Let the scores of a row enter; score i has position place(i), above those of all before.
  template <class Place>
  void add(int64_t row, const T* block, int64_t size, Place place, NextAbove next_above, T* scratch) const {
    T *own = scores + row * capacity, &threshold = thresholds[row];
    int64_t *places = indices + row * capacity, &count = counts[row], i = 0;
    auto enter = [&] {
      own[count] = block[i];
      places[count++] = place(i++);
    };
    if (count < kept) {
      while (i < size && count < kept) enter();
      if (count < kept) return;
      threshold = *std::max_element(own, own + count, is_larger<T>);  // the last in that order: the smallest
    }
    while (threshold == threshold && (i = next_above(block, i, size, &threshold)) < size) {
      enter();
      if (count == capacity) cut(row, scratch);
    }
  }
};

template <class T>
Candidates<T> candidates(Tensor& best, Tensor& indices, Tensor& counts, Tensor& thresholds, int64_t kept) {
  int64_t rows = best.size(0), capacity = best.size(1);
  STD_TORCH_CHECK(0 < kept && kept < capacity, "batchdot: no room for candidates");
  STD_TORCH_CHECK(indices.size(0) == rows && indices.size(1) == capacity && counts.numel() == rows &&
                      thresholds.numel() == rows && thresholds.scalar_type() == best.scalar_type() &&
                      indices.scalar_type() == ScalarType::Long && counts.scalar_type() == ScalarType::Long,
                  "batchdot: candidates of different rows or dtypes");
  for (Tensor* tensor : {&best, &indices, &counts, &thresholds})
    STD_TORCH_CHECK(tensor->is_contiguous(), "batchdot: candidates should be packed");
  return {(T*)best.data_ptr(),
          (T*)thresholds.data_ptr(),
          (int64_t*)indices.data_ptr(),
          (int64_t*)counts.data_ptr(),
          rows,
          kept,
          capacity};
}

}  // namespace batchdot
