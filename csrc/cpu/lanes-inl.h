// What lanes have in common: their sums and joins, and numbers that move from lane to lane.

#include <cstring>
#include <utility>

#if defined(BATCHDOT_CPU_LANES_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_LANES_INL_H_
#undef BATCHDOT_CPU_LANES_INL_H_
#else
#define BATCHDOT_CPU_LANES_INL_H_
#endif

#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Join the two halves of N lanes, and those of what they give, until one lane is left: a tree that is the same for
// every width.
template <int N, class T, class Join>
BD_INLINE T join_lanes(const Simd<T, N>& lanes, Join join) {
  if constexpr (N == 1) {
    return lanes;
  } else {
    Simd<T, N / 2> half[2];
    std::memcpy(half, &lanes, sizeof half);
    return join_lanes<N / 2, T>(join(half[0], half[1]), join);
  }
}

// The upper levels of the tree of sum_lanes: sums of the registers of a pack.
BD_INLINE Simd<double> sum_registers(Pack a) {
#pragma GCC unroll 8
  for (int half = kRegisters / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) a.part[i] += a.part[i + half];
  return a.part[0];
}

// The sum of the lanes, in 4 levels of a tree.
BD_INLINE double sum_lanes(const Pack& a) {
  return join_lanes<kWidth, double>(sum_registers(a), [](auto x, auto y) BD_LAMBDA_INLINE { return x + y; });
}

BD_INLINE Simd<float> sum_halves(Floats a) {
  Simd<float> half[2];
  std::memcpy(half, &a, sizeof half);
  return half[0] + half[1];
}

// Lanes of a, from 0 on, and of b, from kWidth on.
template <int... FROM>
BD_INLINE Simd<double> shuffled(Simd<double> a, Simd<double> b, std::integer_sequence<int, FROM...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, FROM...);
#else
  return __builtin_shuffle(a, b, Simd<int64_t>{FROM...});
#endif
}

// shuffled, with from(0), from(1), ... for the lanes.
template <class From, int... LANE>
BD_INLINE Simd<double> shuffled(Simd<double> a, Simd<double> b, From, std::integer_sequence<int, LANE...>) {
  return shuffled(a, b, std::integer_sequence<int, From::at(LANE)...>());
}

template <class From>
BD_INLINE Simd<double> shuffled(Simd<double> a, Simd<double> b) {
  return shuffled(a, b, From(), std::make_integer_sequence<int, kWidth>());
}

// Segments of HALF lanes, in turns from a and b: the lower, or the upper, halves of their segments of 2·HALF.
template <int HALF, bool UPPER>
struct HalfSegments {
  static constexpr int at(int lane) {
    int segment = lane / HALF;
    return segment % 2 * kWidth + segment / 2 * 2 * HALF + UPPER * HALF + lane % HALF;
  }
};

// Lanes in turns from a and b: of their lower, or upper, halves.
template <bool UPPER>
struct InTurns {
  static constexpr int at(int lane) { return lane % 2 * kWidth + lane / 2 + UPPER * kWidth / 2; }
};

// The sums of the lanes of kWidth registers, in one register: lane i has that of rows[i], by the tree of sum_lanes.
// 21 operations for 8 sums; one at a time they take 48.
template <int HALF = kWidth / 2>
BD_INLINE Simd<double> sum_each(Simd<double>* rows) {
#pragma GCC unroll 4
  for (int i = 0; i < HALF; ++i)
    rows[i] = shuffled<HalfSegments<HALF, false>>(rows[i], rows[i + HALF]) +
              shuffled<HalfSegments<HALF, true>>(rows[i], rows[i + HALF]);
  if constexpr (HALF > 1) return sum_each<HALF / 2>(rows);
  return rows[0];
}

// Element K of kWidth rows of SIZE elements, which lie in `registers` one after another; `done` are those joined.
template <int SIZE, int K, int DONE>
struct Column {
  static constexpr int at(int lane) {
    int place = lane * SIZE + K, source = place / kWidth;
    return source == DONE ? kWidth + place % kWidth : source < DONE && DONE > 1 ? lane : place % kWidth;
  }
};

template <int SIZE, int K, int DONE = 1>
BD_INLINE Simd<double> column(const Simd<double>* registers, Simd<double> joined) {
  if constexpr (DONE >= SIZE) return joined;
  else return column<SIZE, K, DONE + 1>(registers, shuffled<Column<SIZE, K, DONE>>(joined, registers[DONE]));
}

// Transpose kWidth rows of SIZE numbers: columns[k] has number k of each row.
template <int SIZE, int... K>
BD_INLINE void transpose(const Simd<double>* registers, Simd<double>* columns, std::integer_sequence<int, K...>) {
  ((columns[K] = column<SIZE, K>(registers, registers[0])), ...);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_LANES_INL_H_
