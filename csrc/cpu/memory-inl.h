// Numbers of every dtype in memory, as registers and packs of double.

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dtypes.h"

#if defined(BATCHDOT_CPU_MEMORY_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_MEMORY_INL_H_
#undef BATCHDOT_CPU_MEMORY_INL_H_
#else
#define BATCHDOT_CPU_MEMORY_INL_H_
#endif

#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

BD_INLINE void store_numbers(float* to, Simd<float> a) { std::memcpy(to, &a, sizeof a); }

BD_INLINE void store_numbers(Half* to, Simd<float> a) { store_halves(to, a); }

// Floats that are not NaN, rounded to BFloat16, ties to even: its bits.
template <class Numbers>
BD_INLINE auto rounded_words(Numbers a) {
  auto bits = (Simd<uint32_t, sizeof a / sizeof(float)>)a;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

// Floats rounded to BFloat16: its bits.
template <class Numbers>
BD_INLINE auto stored_words(Numbers a) {
  auto words = rounded_words(a);
  return a != a ? 0x7fc0 - decltype(words){} : words;  // NaN
}

BD_INLINE void store_numbers(BFloat16* to, Simd<float> a) { store_words(to, stored_words(a)); }

// 2·N elements of BFloat16, which become floats by a shift or a mask: those with even numbers, and those with odd ones.
template <int N>
struct Words {
  Simd<uint32_t, N> bits;

  BD_MEMBER_INLINE explicit Words(const BFloat16* from) { std::memcpy(&bits, from, sizeof bits); }
  BD_MEMBER_INLINE Simd<float, N> even() const { return (Simd<float, N>)(bits << 16); }
  BD_MEMBER_INLINE Simd<float, N> odd() const { return (Simd<float, N>)(bits & 0xffff0000); }
};

// How kWidth values of a dtype are loaded as doubles, and stored. Bound of a store: as that of batchdot::store.
template <class T>
struct Memory;

template <>
struct Memory<double> {
  BD_INLINE Simd<double> load(const double* from) {
    Simd<double> a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  BD_INLINE void store(double* to, Simd<double> a) { std::memcpy(to, &a, sizeof a); }
};

template <>
struct Memory<float> {
  BD_INLINE Simd<double> load(const float* from) {
    Simd<float> a;
    std::memcpy(&a, from, sizeof a);
    return widen(a);
  }
  BD_INLINE void store(float* to, Simd<double> a) {
    Simd<float> rounded = narrow(a);
    std::memcpy(to, &rounded, sizeof rounded);
  }
};

template <>
struct Memory<Half> {
  BD_INLINE Simd<double> load(const Half* from) { return widen(load_halves(from)); }
  BD_INLINE void store(Half* to, Simd<double> a) { store_halves(to, narrow(a)); }
};

template <>
struct Memory<BFloat16> {
  BD_INLINE Simd<double> load(const BFloat16* from) { return widen((Simd<float>)(load_words(from) << 16)); }
  BD_INLINE void store(BFloat16* to, Simd<double> a) { store_numbers(to, narrow(a)); }
};

template <class T>
BD_INLINE void store_numbers(T* to, Simd<double> a) { Memory<T>::store(to, a); }

// What products are formed of: double, and float for Half and BFloat16, which holds products of theirs: half of the
// conversions to double.
template <class T>
using Factor = std::conditional_t<sizeof(T) == 2, float, double>;

template <class T>
BD_INLINE Simd<double> load_factors(const T* from, double) { return Memory<T>::load(from); }

BD_INLINE Simd<float> load_factors(const float* from, float) {
  Simd<float> a;
  std::memcpy(&a, from, sizeof a);
  return a;
}

BD_INLINE Simd<float> load_factors(const Half* from, float) { return load_halves(from); }

BD_INLINE Simd<float> load_factors(const BFloat16* from, float) { return (Simd<float>)(load_words(from) << 16); }

BD_INLINE Simd<double> product(Simd<double> a, Simd<double> b) { return a * b; }

BD_INLINE Simd<double> product(Simd<float> a, Simd<float> b) { return widen(a * b); }

BD_INLINE Simd<double> add_product(Simd<double> a, Simd<double> b, Simd<double> sum) { return multiply_add(a, b, sum); }

BD_INLINE Simd<double> add_product(Simd<float> a, Simd<float> b, Simd<double> sum) { return sum + widen(a * b); }

template <class Number = double, class T>
BD_INLINE PackOf<Number> load_pack(const T* from) {
  PackOf<Number> a;
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) a.part[i] = load_factors(from + i * kWidth, Number());
  return a;
}

// Load count values, fewer than kLanes; the lanes beyond them are zero.
template <class Number = double, class T>
BD_INLINE PackOf<Number> load_partial(const T* from, int64_t count) {
  T some[kLanes] = {};
  std::memcpy(some, from, count * sizeof(T));
  return load_pack<Number>(some);
}

template <class T, class Number>
BD_INLINE void store_pack(T* to, const PackOf<Number>& a) {
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) store_numbers(to + i * kWidth, a.part[i]);
}

template <class T, class Number>
BD_INLINE void store_partial(T* to, int64_t count, const PackOf<Number>& a) {
  T some[kLanes];
  store_pack(some, a);
  std::memcpy(to, some, count * sizeof(T));
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_MEMORY_INL_H_
