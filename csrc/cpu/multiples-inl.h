// Rows times numbers, element by element.

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dtypes.h"

#if defined(BATCHDOT_CPU_MULTIPLES_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_MULTIPLES_INL_H_
#undef BATCHDOT_CPU_MULTIPLES_INL_H_
#else
#define BATCHDOT_CPU_MULTIPLES_INL_H_
#endif

#include "memory-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

constexpr int kBlock = 4 * kWidth;

// kBlock elements of a row of T in registers, in an order that is the same for all rows of T.
template <class T, class Number>
struct Block {
  static constexpr bool kWhole = std::is_same_v<Number, float> && !std::is_same_v<T, Half>;
  using Register = std::conditional_t<kWhole, Floats, Simd<Number>>;
  static constexpr int kStep = sizeof(Register) / sizeof(Number), kCount = kBlock / kStep;

  Register part[kCount];
};

template <class Number, class T>
BD_INLINE Block<T, Number> load_block(const T* from) {
  using Result = Block<T, Number>;
  Result block;
  if constexpr (std::is_same_v<T, BFloat16> && std::is_same_v<Number, float>) {
    Words<2 * kWidth> words(from);
    block.part[0] = words.even();
    block.part[1] = words.odd();
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < Result::kCount; ++i) {
      if constexpr (Result::kWhole)
        std::memcpy(&block.part[i], from + i * Result::kStep, sizeof block.part[i]);
      else
        block.part[i] = load_factors(from + i * Result::kStep, Number());
    }
  }
  return block;
}

template <class Number, class T>
BD_INLINE void store_block(T* to, const Block<T, Number>& block) {
  using Source = Block<T, Number>;
  if constexpr (std::is_same_v<T, BFloat16> && std::is_same_v<Number, float>) {
    auto words = stored_words(block.part[0]) | stored_words(block.part[1]) << 16;
    std::memcpy(to, &words, sizeof words);
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < Source::kCount; ++i) {
      if constexpr (Source::kWhole)
        std::memcpy(to + i * Source::kStep, &block.part[i], sizeof block.part[i]);
      else
        store_numbers(to + i * Source::kStep, block.part[i]);
    }
  }
}

// The block of a row shorter than one.
template <class Number, class T>
BD_INLINE Block<T, Number> load_short(const T* row, int64_t size) {
  T some[kBlock] = {};
  std::memcpy(some, row, size * sizeof(T));
  return load_block<Number>(some);
}

// Write body(blocks of rows...) for all blocks of the rows. The last one ends where the rows end; shorter rows are
// copied.
template <class Number, class T, class Body, class... Rows>
BD_INLINE void write_blocks(int64_t size, T* to, Body body, Rows... rows) {
  if (size == 0) return;
  if (size < kBlock) {
    T some[kBlock];
    store_block<Number>(some, body(load_short<Number>(rows, size)...));
    std::memcpy(to, some, size * sizeof(T));
    return;
  }
  int64_t k = 0;
  for (; k + kBlock <= size; k += kBlock) store_block<Number>(to + k, body(load_block<Number>(rows + k)...));
  k = size - kBlock;
  if (size % kBlock) store_block<Number>(to + k, body(load_block<Number>(rows + k)...));
}

// Write a row times a number. A float holds products of Half and BFloat16, and rounds products of floats once.
template <class T>
BD_INLINE void write_multiple(const T* row, float factor, int64_t size, T* to) {
  write_blocks<float>(
      size, to,
      [&](auto block) BD_LAMBDA_INLINE {
        for (auto& part : block.part) part *= factor;
        return block;
      },
      row);
}

// Write a row times a number plus another row times a number.
template <class T, class Number>
BD_INLINE void write_sum_of_multiples(const T* x, Number x_factor, const T* y, Number y_factor, int64_t size, T* to) {
  write_blocks<Number>(
      size, to,
      [&](auto a, auto b) BD_LAMBDA_INLINE {
        for (int i = 0; i < a.kCount; ++i) a.part[i] = a.part[i] * x_factor + b.part[i] * y_factor;
        return a;
      },
      x, y);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_MULTIPLES_INL_H_
