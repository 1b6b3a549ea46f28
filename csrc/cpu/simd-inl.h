// Registers of one instruction set, and sixteen lanes of double in them.
//
// Which element of a row falls into which lane is the same for every instruction set, and every operation here
// rounds as IEEE 754 says, so that the bits of a result do not depend on the instruction set.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dtypes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(BATCHDOT_CPU_SIMD_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_SIMD_INL_H_
#undef BATCHDOT_CPU_SIMD_INL_H_
#else
#define BATCHDOT_CPU_SIMD_INL_H_
#endif

#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

constexpr int kWidth = BD_WIDTH;  // doubles in a register
constexpr int kLanes = 16;
constexpr int kRegisters = kLanes / kWidth;

// kTailMask + n is a mask for kLanes numbers that keeps the last n.
constexpr int64_t kTailMask[2 * kLanes] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                           -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

template <class T, int N>
struct SimdType {
  typedef T Type __attribute__((vector_size(N * sizeof(T))));
};
template <class T>
struct SimdType<T, 1> {
  using Type = T;
};

// N values of T. Simd<double> is a whole register; Simd<float>, as many floats, is half of one.
template <class T, int N = kWidth>
using Simd = typename SimdType<T, N>::Type;

using Floats = Simd<float, 2 * kWidth>;

// kLanes numbers.
template <class Number>
struct PackOf {
  Simd<Number> part[kRegisters];
};
using Pack = PackOf<double>;

BD_INLINE Simd<double> broadcast(double value) { return value - Simd<double>{}; }

BD_INLINE Simd<double> absolute(Simd<double> a) { return (Simd<double>)((Simd<int64_t>)a & INT64_MAX); }

BD_INLINE Floats absolute(Floats a) { return (Floats)((Simd<int32_t, 2 * kWidth>)a & INT32_MAX); }

BD_INLINE Simd<double> masked(Simd<double> a, const int64_t* mask) {
  Simd<int64_t> bits;
  std::memcpy(&bits, mask, sizeof bits);
  return (Simd<double>)((Simd<int64_t>)a & bits);
}

// Intrinsics stand where GCC does not find the instruction by itself: GCC 12 splits conversions, and contracts
// no product and sum to a fused one unless it may do so everywhere.
#if BD_WIDTH == 8
#define BD_INTRINSIC(of_four, of_eight) of_eight
#elif BD_WIDTH == 4
#define BD_INTRINSIC(of_four, of_eight) of_four
#endif

#if BD_WIDTH > 2

BD_INLINE Simd<double> widen(Simd<float> a) {
  return (Simd<double>)BD_INTRINSIC(_mm256_cvtps_pd((__m128)a), _mm512_maskz_cvtps_pd(0xff, (__m256)a));
}

BD_INLINE Simd<float> narrow(Simd<double> a) {
  return (Simd<float>)BD_INTRINSIC(_mm256_cvtpd_ps((__m256d)a), _mm512_maskz_cvtpd_ps(0xff, (__m512d)a));
}

// 16-bit words, each zero-extended to 32 bits.
BD_INLINE Simd<uint32_t> load_words(const void* from) {
  return (Simd<uint32_t>)BD_INTRINSIC(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i*)from)),
                                      _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)));
}

BD_INLINE void store_words(void* to, Simd<uint32_t> a) {
  BD_INTRINSIC(_mm_storel_epi64((__m128i*)to, _mm_packus_epi32((__m128i)a, (__m128i)a)),
               _mm_storeu_si128((__m128i*)to, _mm256_cvtepi32_epi16((__m256i)a)));
}

// a * b + c, for a * b that a double holds exactly: fused or not, the bits are the same.
BD_INLINE Simd<double> multiply_add(Simd<double> a, Simd<double> b, Simd<double> c) {
  return (Simd<double>)BD_INTRINSIC(_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c),
                                    _mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c));
}

// a * b + c of floats, fused: the one operation here whose bits depend on the instruction set (matrix_scores-inl.h,
// float_sums-inl.h).
BD_INLINE Simd<float> multiply_add_floats(Simd<float> a, Simd<float> b, Simd<float> c) {
  return (Simd<float>)BD_INTRINSIC(_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c),
                                   _mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c));
}

BD_INLINE Floats multiply_add_floats(Floats a, Floats b, Floats c) {
  return (Floats)BD_INTRINSIC(_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c),
                              _mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c));
}

// fma(a, b, -product): the rounding error of `product`, a * b rounded. Bound: exact for |product| >= 2^-968.
BD_INLINE Simd<double> product_error(Simd<double> a, Simd<double> b, Simd<double> product) {
  return multiply_add(a, b, -product);
}

BD_INLINE Simd<double> root(Simd<double> a) {
  return (Simd<double>)BD_INTRINSIC(_mm256_sqrt_pd((__m256d)a), _mm512_maskz_sqrt_pd(0xff, (__m512d)a));
}

// a in [-1, 1], or NaN: minimum and maximum return their second operand where one is NaN.
BD_INLINE Simd<double> bounded(Simd<double> a) {
  return (Simd<double>)BD_INTRINSIC(
      _mm256_max_pd(_mm256_set1_pd(-1), _mm256_min_pd(_mm256_set1_pd(1), (__m256d)a)),
      _mm512_maskz_max_pd(0xff, _mm512_set1_pd(-1), _mm512_maskz_min_pd(0xff, _mm512_set1_pd(1), (__m512d)a)));
}

BD_INLINE Simd<float> bounded(Simd<float> a) {
  return (Simd<float>)BD_INTRINSIC(
      _mm_max_ps(_mm_set1_ps(-1), _mm_min_ps(_mm_set1_ps(1), (__m128)a)),
      _mm256_max_ps(_mm256_set1_ps(-1), _mm256_min_ps(_mm256_set1_ps(1), (__m256)a)));
}

BD_INLINE Floats bounded(Floats a) {
  return (Floats)BD_INTRINSIC(
      _mm256_max_ps(_mm256_set1_ps(-1), _mm256_min_ps(_mm256_set1_ps(1), (__m256)a)),
      _mm512_maskz_max_ps(0xffff, _mm512_set1_ps(-1), _mm512_maskz_min_ps(0xffff, _mm512_set1_ps(1), (__m512)a)));
}

BD_INLINE Simd<float> load_halves(const Half* from) {
  return (Simd<float>)BD_INTRINSIC(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i*)from)),
                                   _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)));
}

BD_INLINE void store_halves(Half* to, Simd<float> a) {
  BD_INTRINSIC(_mm_storel_epi64((__m128i*)to, _mm_cvtps_ph((__m128)a, _MM_FROUND_TO_NEAREST_INT)),
               _mm_storeu_si128((__m128i*)to, _mm256_cvtps_ph((__m256)a, _MM_FROUND_TO_NEAREST_INT)));
}

// Whether a comparison holds in every lane.
BD_INLINE bool holds_everywhere(Simd<int64_t> comparison) {
  return BD_INTRINSIC(_mm256_movemask_pd((__m256d)comparison) == 0xf,
                      _mm512_test_epi64_mask((__m512i)comparison, (__m512i)comparison) == 0xff);
}

#undef BD_INTRINSIC

#else  // BD_WIDTH == 2: as above, without intrinsics

BD_INLINE Simd<double> widen(Simd<float> a) { return __builtin_convertvector(a, Simd<double>); }

BD_INLINE Simd<float> narrow(Simd<double> a) { return __builtin_convertvector(a, Simd<float>); }

BD_INLINE Simd<uint32_t> load_words(const void* from) {
  Simd<uint16_t> bits;
  std::memcpy(&bits, from, sizeof bits);
  return __builtin_convertvector(bits, Simd<uint32_t>);
}

BD_INLINE void store_words(void* to, Simd<uint32_t> a) {
  Simd<uint16_t> bits = __builtin_convertvector(a, Simd<uint16_t>);
  std::memcpy(to, &bits, sizeof bits);
}

BD_INLINE Simd<double> multiply_add(Simd<double> a, Simd<double> b, Simd<double> c) { return a * b + c; }

template <class Numbers>
BD_INLINE Numbers multiply_add_floats(Numbers a, Numbers b, Numbers c) {
  return a * b + c;
}

// Dekker's product (Numer. Math. 18, 1971): halves of the digits multiply exactly. It is fma(a, b, -product) unless
// splitting a factor overflows, from 2^996 on, or a product of halves underflows, which may happen for
// |product| < 2^-960. There the library's fma takes its place.
BD_INLINE Simd<double> product_error(Simd<double> a, Simd<double> b, Simd<double> product) {
  const Simd<double> splitter = broadcast(134217729.0);  // 2^27 + 1
  Simd<double> as = splitter * a, bs = splitter * b;
  Simd<double> ah = as - (as - a), bh = bs - (bs - b);
  Simd<double> al = a - ah, bl = b - bh;
  Simd<double> error = ((ah * bh - product) + ah * bl + al * bh) + al * bl;
  auto exact = ((absolute(a) < 0x1p995) & (absolute(b) < 0x1p995)) &
               ((absolute(product) >= 0x1p-960) | (a == 0) | (b == 0));
  for (int i = 0; i < kWidth; ++i)
    if (!exact[i]) error[i] = std::fma(a[i], b[i], -product[i]);
  return error;
}

BD_INLINE bool holds_everywhere(Simd<int64_t> comparison) { return comparison[0] & comparison[1]; }

BD_INLINE Simd<double> root(Simd<double> a) {
  for (int i = 0; i < kWidth; ++i) a[i] = std::sqrt(a[i]);
  return a;
}

template <class Numbers>
BD_INLINE Numbers bounded(Numbers a) {
  a = a > 1 ? 1 - Numbers{} : a;
  return a < -1 ? -1 - Numbers{} : a;
}

BD_INLINE Simd<float> load_halves(const Half* from) {
  Simd<float> a;
  for (int i = 0; i < kWidth; ++i) a[i] = from[i];
  return a;
}

BD_INLINE void store_halves(Half* to, Simd<float> a) {
  for (int i = 0; i < kWidth; ++i) to[i] = Half(a[i]);
}

#endif

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_SIMD_INL_H_
