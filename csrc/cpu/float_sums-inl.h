// Sums of products of BFloat16 in float, which are right for most rows, and known to be.
//
// A sum in float is within an error e of what dot() computes. Where every number within e of it rounds to the same
// BFloat16, that is the result: the rounding test of Ziv (ACM Trans. Math. Softw. 17, 1991). Other sums are left to
// dot(). So float saves time and changes no bit, and its order of adding may be that which an instruction set likes.
// docs/numerics.md derives e.
//
// Notation as in dot-inl.h.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dtypes.h"

#if defined(BATCHDOT_CPU_FLOAT_SUMS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_FLOAT_SUMS_INL_H_
#undef BATCHDOT_CPU_FLOAT_SUMS_INL_H_
#else
#define BATCHDOT_CPU_FLOAT_SUMS_INL_H_
#endif

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "several_rows-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Products that a lane of floats adds before it is added to a lane of doubles. More take less time, and leave more
// rows to dot().
constexpr int kChain = 4;

// 2·N elements, which become floats by a shift or a mask: those with even numbers, and those with odd ones.
template <int N>
struct Words {
  Simd<uint32_t, N> bits;

  BD_MEMBER_INLINE explicit Words(const BFloat16* from) { std::memcpy(&bits, from, sizeof bits); }
  BD_MEMBER_INLINE Simd<float, N> even() const { return (Simd<float, N>)(bits << 16); }
  BD_MEMBER_INLINE Simd<float, N> odd() const { return (Simd<float, N>)(bits & 0xffff0000); }
};

// sum(|y|). Bound: a relative error of 2^-11 for K <= kChunk.
BD_INLINE double sum_of_magnitudes(const float* y, int64_t size) {
  Floats lanes = {};
  int64_t k = 0;
  for (; k + 2 * kWidth <= size; k += 2 * kWidth) {
    Floats a;
    std::memcpy(&a, y + k, sizeof a);
    lanes += a < 0 ? -a : a;
  }
  double sum = join_lanes<2 * kWidth, float>(lanes, [](auto a, auto b) BD_LAMBDA_INLINE { return a + b; });
  for (; k < size; ++k) sum += std::fabs(y[k]);
  return sum;
}

// Which sums round to the same BFloat16 as dot() of the same rows does. `roundings` are those of float that a product
// goes through on its way into the sum; `magnitude` is max(|x|)·sum(|y|), which bounds M.
BD_INLINE Simd<int64_t> are_certain(Simd<double> sums, int roundings, int64_t size, Simd<double> magnitude) {
  auto error = magnitude == 0 ? Simd<double>{} : magnitude * ((roundings + 0.125) * 0x1p-24) + size * 0x1p-149;
  auto same = rounded_words(narrow(sums - error)) == rounded_words(narrow(sums + error));
  return __builtin_convertvector(same, Simd<int64_t>) &
         (Simd<int64_t>)(absolute(sums) + error < broadcast(INFINITY));
}

// How dot_groups sums rows of BFloat16, of kStep elements or more.
struct FloatSums {
  static constexpr int kStep = 4 * kWidth;  // elements in a register
  using Number = float;
  using Largest = LargestMagnitude<BFloat16, kStep>;
  static constexpr int kRows = kWidth < 4 ? kWidth : 4, kPadding = kStep;

  // Write y as floats, of each step those with even numbers and then those with odd ones. The last step ends where the
  // row ends, with zeros for what was in the step before. Returns sum(|y|).
  BD_INLINE double write_shared(const BFloat16* y, int64_t size, float* to) {
    int64_t k = 0;
    auto write = [&](const BFloat16* from) BD_LAMBDA_INLINE {
      Words<2 * kWidth> words(from);
      Floats even = words.even(), odd = words.odd();
      std::memcpy(to + k, &even, sizeof even);
      std::memcpy(to + k + kStep / 2, &odd, sizeof odd);
      k += kStep;
    };
    while (k + kStep <= size) write(y + k);
    if (k < size) {
      BFloat16 last[kStep] = {};
      std::memcpy(last + kStep - (size - k), y + k, (size - k) * sizeof *y);
      write(last);
    }
    return sum_of_magnitudes(to, k);
  }

  template <int ROWS>
  BD_INLINE void add(const BFloat16* x, int64_t x_stride, const float* y, int64_t size, Largest& largest,
                     Simd<double>* sums) {
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) sums[row] = Simd<double>{};
    for (int64_t k = 0; k < size;) {
      const int64_t end = k + kChain * kStep < size ? k + kChain * kStep : size;
      Floats even[ROWS] = {}, odd[ROWS] = {};
      for (; k < end; k += kStep) {
        Floats y_even, y_odd;
        std::memcpy(&y_even, y + k, sizeof y_even);
        std::memcpy(&y_odd, y + k + kStep / 2, sizeof y_odd);
#pragma GCC unroll 4
        for (int row = 0; row < ROWS; ++row) {
          const BFloat16* from = x + row * x_stride + (k + kStep <= size ? k : size - kStep);
          prefetch(from);
          largest.add(from);
          Words<2 * kWidth> words(from);
          even[row] = multiply_add_floats(words.even(), y_even, even[row]);
          odd[row] = multiply_add_floats(words.odd(), y_odd, odd[row]);
        }
      }
#pragma GCC unroll 4
      for (int row = 0; row < ROWS; ++row) sums[row] += widen(sum_halves(even[row] + odd[row]));
    }
  }

  // Roundings: one less than products in a lane, of kChain steps or fewer; one to join those of even and of odd
  // numbers; one to join halves of registers.
  BD_INLINE Simd<int64_t> are_right(Simd<double> sums, int64_t size, double magnitude) {
    int64_t products = size < kChain * kStep ? (size + kStep - 1) / kStep : kChain;
    return are_certain(sums, (int)products + 1, size, broadcast(magnitude));
  }
};

// Dot products of 2·kWidth columns of BFloat16 with y, and the largest magnitudes of the columns.
struct SumsOfColumns {
  static constexpr int kRoundings = kChain - 1;
  Simd<double> sums[2], largest[2];
};

BD_INLINE SumsOfColumns add_columns(const BFloat16* x, int64_t x_stride, const float* y, int64_t size) {
  Simd<double> even = {}, odd = {};
  LargestMagnitude<BFloat16, 2 * kWidth> largest;
  int64_t k = 0;
  auto add_chain = [&](int length) BD_LAMBDA_INLINE {
    Simd<float> even_sum = {}, odd_sum = {};
#pragma GCC unroll 4
    for (int i = 0; i < length; ++i, ++k) {
      const BFloat16* from = x + k * x_stride;
      largest.add(from);
      Words<kWidth> words(from);
      even_sum = multiply_add_floats(words.even(), y[k] - Simd<float>{}, even_sum);
      odd_sum = multiply_add_floats(words.odd(), y[k] - Simd<float>{}, odd_sum);
    }
    even += widen(even_sum);
    odd += widen(odd_sum);
  };
  while (k + kChain <= size) add_chain(kChain);
  while (k < size) add_chain(1);
  Words<kWidth> words((const BFloat16*)&largest.bits);
  Simd<double> even_largest = widen(words.even()), odd_largest = widen(words.odd());
  return {{shuffled<InTurns<false>>(even, odd), shuffled<InTurns<true>>(even, odd)},
          {shuffled<InTurns<false>>(even_largest, odd_largest), shuffled<InTurns<true>>(even_largest, odd_largest)}};
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_FLOAT_SUMS_INL_H_
