// Scores of items and many queries in float: a product of matrices, tile by tile.
//
// Sums of kGroup queries and a panel of kPanel items are in registers. A panel has its items' numbers next to each
// other, for one place in a row after the other, as a group has its queries' (Goto, van de Geijn, ACM TOMS 34, 2008).

#include <cstdint>
#include <cstring>

#include "dtypes.h"

#if defined(BATCHDOT_CPU_MATRIX_SCORES_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_MATRIX_SCORES_INL_H_
#undef BATCHDOT_CPU_MATRIX_SCORES_INL_H_
#else
#define BATCHDOT_CPU_MATRIX_SCORES_INL_H_
#endif

#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

constexpr int kFloats = 2 * kWidth;  // floats in a register
constexpr int kPanelRegisters = 2;
constexpr int kPanel = kPanelRegisters * kFloats;
constexpr int kGroup = BD_WIDTH == 8 ? 12 : 6;  // kGroup * kPanelRegisters sums of the 32, or 16, registers

using Quad = Simd<float, 4>;

template <class T>
BD_INLINE Quad load_quad(const T* from) {
  if constexpr (sizeof(T) == sizeof(float)) {
    Quad a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  return Quad{(float)from[0], (float)from[1], (float)from[2], (float)from[3]};
}

// Lanes of a, from 0 on, and of b, from 4 on.
template <int I, int J, int K, int L>
BD_INLINE Quad shuffled(Quad a, Quad b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, I, J, K, L);
#else
  return __builtin_shuffle(a, b, Simd<int32_t, 4>{I, J, K, L});
#endif
}

// Write four rows as four columns of a panel, four numbers of each at a time.
template <class T>
BD_INLINE void pack_four(const T* from, int64_t row_stride, int64_t size, int64_t width, float* to) {
  int64_t k = 0;
  for (; k + 4 <= size; k += 4) {
    Quad a = load_quad(from + k), b = load_quad(from + row_stride + k);
    Quad c = load_quad(from + 2 * row_stride + k), d = load_quad(from + 3 * row_stride + k);
    Quad ab = shuffled<0, 4, 1, 5>(a, b), cd = shuffled<0, 4, 1, 5>(c, d);
    Quad ab_high = shuffled<2, 6, 3, 7>(a, b), cd_high = shuffled<2, 6, 3, 7>(c, d);
    Quad columns[4] = {shuffled<0, 1, 4, 5>(ab, cd), shuffled<2, 3, 6, 7>(ab, cd),
                       shuffled<0, 1, 4, 5>(ab_high, cd_high), shuffled<2, 3, 6, 7>(ab_high, cd_high)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) std::memcpy(to + (k + i) * width, &columns[i], sizeof columns[i]);
  }
  for (; k < size; ++k)
    for (int i = 0; i < 4; ++i) to[k * width + i] = (float)from[i * row_stride + k];
}

// Write `count` rows of `size` numbers as panels of `width` rows; those that are missing in the last one are zero.
template <class T>
void pack_rows(const void* rows, int64_t row_stride, int64_t count, int64_t size, int64_t width, float* to) {
  for (int64_t first = 0; first < count; first += width, to += width * size)
    for (int64_t i = 0; i < width;) {
      const T* from = (const T*)rows + (first + i) * row_stride;
      if (i + 4 <= width && first + i + 4 <= count) {
        pack_four(from, row_stride, size, width, to + i);
        i += 4;
        continue;
      }
      for (int64_t k = 0; k < size; ++k) to[k * width + i] = first + i < count ? (float)from[k] : 0.0f;
      ++i;
    }
}

// Scores of a group of queries and `panels` panels of items: scores[query * stride + item].
// Bound: (K - 1)·u of the sum of magnitudes, u = 2^-24, or K·u without fused products, where nothing leaves the range.
inline void score_panels(const float* group, const float* items, int64_t panels, int64_t size, float* scores,
                         int64_t stride) {
  for (int64_t panel = 0; panel < panels; ++panel, items += kPanel * size) {
    Floats sums[kGroup][kPanelRegisters] = {};
    for (int64_t k = 0; k < size; ++k) {
      Floats part[kPanelRegisters];
#pragma GCC unroll 2
      for (int p = 0; p < kPanelRegisters; ++p) std::memcpy(&part[p], items + k * kPanel + p * kFloats, sizeof part[p]);
#pragma GCC unroll 16
      for (int q = 0; q < kGroup; ++q) {
        Floats factor = group[k * kGroup + q] - Floats{};
#pragma GCC unroll 2
        for (int p = 0; p < kPanelRegisters; ++p) sums[q][p] = multiply_add_floats(part[p], factor, sums[q][p]);
      }
    }
#pragma GCC unroll 16
    for (int q = 0; q < kGroup; ++q)
#pragma GCC unroll 2
      for (int p = 0; p < kPanelRegisters; ++p)
        std::memcpy(scores + q * stride + panel * kPanel + p * kFloats, &sums[q][p], sizeof sums[q][p]);
  }
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_MATRIX_SCORES_INL_H_
