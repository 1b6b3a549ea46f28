// Products of every row of a matrix with a few vectors, summed in double.

#include <cstdint>
#include <type_traits>

#include "dtypes.h"

#if defined(BATCHDOT_CPU_QUERY_SCORES_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_QUERY_SCORES_INL_H_
#undef BATCHDOT_CPU_QUERY_SCORES_INL_H_
#else
#define BATCHDOT_CPU_QUERY_SCORES_INL_H_
#endif

#include "lanes-inl.h"
#include "memory-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Bytes from a load to the memory that is asked for at the same time. One row at a time, 4 KiB ahead, read 51 MB at
// 0.85 of the rate of torch.dot on a Zen 4; four rows at a time without asking took 2.6 times as long.
constexpr int kAhead = 4096;

// Sums have 8 lanes for every instruction set, so that their bits do not depend on it.
constexpr int kScoreLanes = 8, kScoreRegisters = kScoreLanes / kWidth;

// Scores of a row and kQueries vectors: the row is loaded and converted once for all of them.
// scores[q * score_stride] is that of vector q.
// Bound: (K / 8 + 11)·u of the sum of magnitudes, and rounding to Score.
template <int kQueries, class T, class Score>
BD_INLINE void score_row(const T* row, const double* queries, int64_t size, Score* scores, int64_t score_stride) {
  Simd<double> sums[kQueries][kScoreRegisters] = {};
  int64_t k = 0;
  for (; k + kScoreLanes <= size; k += kScoreLanes) {
    __builtin_prefetch((const char*)(row + k) + kAhead);
#pragma GCC unroll 8
    for (int p = 0; p < kScoreRegisters; ++p) {
      Simd<double> part = Memory<T>::load(row + k + p * kWidth);
#pragma GCC unroll 8
      for (int q = 0; q < kQueries; ++q) {
        Simd<double> vector = Memory<double>::load(queries + q * size + k + p * kWidth);
        if constexpr (kHasExactProducts<T>)
          sums[q][p] = multiply_add(part, vector, sums[q][p]);
        else
          sums[q][p] += part * vector;
      }
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int half = kScoreRegisters / 2; half > 0; half /= 2)
#pragma GCC unroll 8
      for (int p = 0; p < half; ++p) sums[q][p] += sums[q][p + half];
    double sum = join_lanes<kWidth, double>(sums[q][0], [](auto x, auto y) BD_LAMBDA_INLINE { return x + y; });
    for (int64_t i = k; i < size; ++i) sum += (double)row[i] * queries[q * size + i];
    scores[q * score_stride] = (Score)sum;
  }
}

// Scores of rows begin to end for all vectors (packed), in double for rows of double and in float for others.
template <class T>
void query_scores(const void* items, int64_t row_stride, const double* queries, int64_t count, int64_t size,
                  int64_t begin, int64_t end, void* out, int64_t score_stride) {
  using Score = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const T* rows = (const T*)items;
  Score* scores = (Score*)out;
  int64_t q = 0;
  for (; q + 4 <= count; q += 4)
    for (int64_t row = begin; row < end; ++row)
      score_row<4>(rows + row * row_stride, queries + q * size, size, scores + q * score_stride + row, score_stride);
  for (; q < count; ++q)
    for (int64_t row = begin; row < end; ++row)
      score_row<1>(rows + row * row_stride, queries + q * size, size, scores + q * score_stride + row, score_stride);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_QUERY_SCORES_INL_H_
