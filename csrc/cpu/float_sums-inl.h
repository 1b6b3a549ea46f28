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

// Squared norms, or their floor, next to which what float loses to underflow does not show.
constexpr double kLeastSquare = 0x1p-100;

// kWordMask + kMostWords - n + m is a mask for n elements that keeps the last m.
constexpr int kMostWords = 32;
constexpr int16_t kWordMask[2 * kMostWords] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

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

// Which numbers of a register, given the most that each may be off, round to one BFloat16 wherever they are right.
BD_INLINE Simd<int64_t> round_to_one(Simd<double> values, Simd<double> error) {
  auto same = rounded_words(narrow(values - error)) == rounded_words(narrow(values + error));
  return __builtin_convertvector(same, Simd<int64_t>) &
         (Simd<int64_t>)(absolute(values) + error < broadcast(INFINITY));
}

// Which sums round to the same BFloat16 as dot() of the same rows does. `roundings` are those of float that a product
// goes through on its way into the sum; `magnitude` bounds M.
BD_INLINE Simd<int64_t> are_certain(Simd<double> sums, int roundings, int64_t size, Simd<double> magnitude) {
  return round_to_one(sums, magnitude == 0 ? Simd<double>{}
                                           : magnitude * ((roundings + 0.125) * 0x1p-24) + size * 0x1p-149);
}

// Sums of rows of BFloat16, of kStep elements or more.
struct FloatSums {
  static constexpr int kStep = 4 * kWidth;  // elements in a register
  using Number = float;
  using Largest = LargestMagnitude<BFloat16, kStep>;
  static constexpr int kRows = kWidth < 4 ? kWidth : 4, kPadding = kStep;

  BD_INLINE bool take(int64_t size) { return size >= kStep && size >= kLanes; }

  // The last step of a row, of elements from k on: it ends where the row ends, with zeros for what was in the step
  // before.
  BD_INLINE Words<2 * kWidth> load_last(const BFloat16* row, int64_t k, int64_t size) {
    Words<2 * kWidth> words(row + size - kStep), mask((const BFloat16*)kWordMask + kMostWords - kStep + (size - k));
    words.bits &= mask.bits;
    return words;
  }

  // Write y as floats, of each step those with even numbers and then those with odd ones. Returns sum(|y|).
  BD_INLINE double write_shared(const BFloat16* y, int64_t size, float* to) {
    int64_t k = 0;
    auto write = [&](Words<2 * kWidth> words) BD_LAMBDA_INLINE {
      Floats even = words.even(), odd = words.odd();
      std::memcpy(to + k, &even, sizeof even);
      std::memcpy(to + k + kStep / 2, &odd, sizeof odd);
      k += kStep;
    };
    while (k + kStep <= size) write(Words<2 * kWidth>(y + k));
    if (k < size) write(load_last(y, k, size));
    return sum_of_magnitudes(to, k);
  }

  // The lanes of the dot products of ROWS rows of x with what write_shared wrote.
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

  // For each chain of steps of a pair of rows call start(), add(step of x, step of y) for its steps, and join().
  template <class Start, class Add, class Join>
  BD_INLINE void for_each_chain(const BFloat16* x, const BFloat16* y, int64_t size, Start start, Add add, Join join) {
    auto add_at = [&](int64_t k) BD_LAMBDA_INLINE {
      prefetch(x + k);
      prefetch(y + k);
      add(Words<2 * kWidth>(x + k), Words<2 * kWidth>(y + k));
    };
    int64_t k = 0;
    for (; k + kChain * kStep <= size; k += kChain * kStep) {
      start();
#pragma GCC unroll 4
      for (int step = 0; step < kChain; ++step) add_at(k + step * kStep);
      join();
    }
    if (k == size) return;
    start();
    for (; k + kStep <= size; k += kStep) add_at(k);
    if (k < size) add(load_last(x, k, size), load_last(y, k, size));
    join();
  }

  // The dot products of `count` pairs of rows, kWidth at most, and the M of each.
  BD_INLINE Simd<double> sum_pairs(const BFloat16* x, int64_t x_stride, const BFloat16* y, int64_t y_stride,
                                   int64_t size, int count, Simd<double>& magnitude) {
    Simd<double> sums[kWidth], magnitudes[kWidth];
    for (int i = count; i < kWidth; ++i) sums[i] = magnitudes[i] = Simd<double>{};
    for (int i = 0; i < count; ++i, x += x_stride, y += y_stride) {
      Simd<double> sum = {};
      Floats even, odd, even_magnitude = {}, odd_magnitude = {};
      for_each_chain(
          x, y, size, [&]() BD_LAMBDA_INLINE { even = odd = Floats{}; },
          [&](auto a, auto b) BD_LAMBDA_INLINE {
            Floats even_product = a.even() * b.even(), odd_product = a.odd() * b.odd();
            even += even_product;
            odd += odd_product;
            even_magnitude += absolute(even_product);
            odd_magnitude += absolute(odd_product);
          },
          [&]() BD_LAMBDA_INLINE { sum += widen(sum_halves(even + odd)); });
      sums[i] = sum;
      magnitudes[i] = widen(sum_halves(even_magnitude + odd_magnitude));
    }
    magnitude = sum_each(magnitudes);
    return sum_each(sums);
  }

  // The sums of products and of squares of `count` pairs of rows, kWidth at most.
  BD_INLINE RegistersOfNorms norms_of_pairs(const BFloat16* x, int64_t x_stride, const BFloat16* y, int64_t y_stride,
                                            int64_t size, int count) {
    Simd<double> xy[kWidth], xx[kWidth], yy[kWidth];
    for (int i = count; i < kWidth; ++i) xy[i] = xx[i] = yy[i] = Simd<double>{};
    for (int i = 0; i < count; ++i, x += x_stride, y += y_stride) {
      Simd<double> xy_sum = {}, xx_sum = {}, yy_sum = {};
      Floats xy_even, xy_odd, xx_even, xx_odd, yy_even, yy_odd;
      for_each_chain(
          x, y, size,
          [&]() BD_LAMBDA_INLINE { xy_even = xy_odd = xx_even = xx_odd = yy_even = yy_odd = Floats{}; },
          [&](auto a, auto b) BD_LAMBDA_INLINE {
            xy_even = multiply_add_floats(a.even(), b.even(), xy_even);
            xx_even = multiply_add_floats(a.even(), a.even(), xx_even);
            yy_even = multiply_add_floats(b.even(), b.even(), yy_even);
            xy_odd = multiply_add_floats(a.odd(), b.odd(), xy_odd);
            xx_odd = multiply_add_floats(a.odd(), a.odd(), xx_odd);
            yy_odd = multiply_add_floats(b.odd(), b.odd(), yy_odd);
          },
          [&]() BD_LAMBDA_INLINE {
            xy_sum += widen(sum_halves(xy_even + xy_odd));
            xx_sum += widen(sum_halves(xx_even + xx_odd));
            yy_sum += widen(sum_halves(yy_even + yy_odd));
          });
      xy[i] = xy_sum;
      xx[i] = xx_sum;
      yy[i] = yy_sum;
    }
    return {sum_each(xy), sum_each(xx), sum_each(yy)};
  }

  // Roundings of a product: one less than products in a lane, of kChain steps or fewer; one to join those of even and
  // of odd numbers; one to join halves of registers.
  BD_INLINE int roundings(int64_t size) {
    return (size < kChain * kStep ? (int)((size + kStep - 1) / kStep) : kChain) + 1;
  }

  BD_INLINE Simd<int64_t> are_right(Simd<double> sums, int64_t size, Simd<double> magnitude) {
    return are_certain(sums, roundings(size), size, magnitude);
  }

  // Which cosines round to the same BFloat16 as cosine() of the same rows does: M is at most |x|·|y|. Those of squares
  // that are infinite in float are 0 or NaN, which no interval makes certain.
  BD_INLINE Simd<int64_t> are_right_cosines(Simd<double> cosines, const RegistersOfNorms& sums, int64_t size,
                                            double epsilon) {
    auto certain = round_to_one(cosines, (roundings(size) * (1 + absolute(cosines)) + 0.125) * 0x1p-24);
    if (epsilon >= kLeastSquare) return certain;
    return certain & (Simd<int64_t>)(sums.xx >= kLeastSquare) & (Simd<int64_t>)(sums.yy >= kLeastSquare);
  }
};

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_FLOAT_SUMS_INL_H_
