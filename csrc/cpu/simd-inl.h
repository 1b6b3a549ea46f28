// Sixteen lanes of double in the registers of one instruction set, and how numbers get there and back.
//
// Included once for each instruction set, inside its namespace (see kernels.h), with WIDTH
// doubles to a register. Which element of a row falls into which lane does not depend on it, and so
// neither do the bits of a sum.

constexpr int REGISTERS = LANES / WIDTH;

typedef double Doubles __attribute__((vector_size(8 * WIDTH)));
typedef int64_t Longs __attribute__((vector_size(8 * WIDTH)));
typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef float Singles __attribute__((vector_size(8 * WIDTH)));  // a whole register of them
typedef uint32_t Words __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t Halves __attribute__((vector_size(2 * WIDTH)));

struct Block {
  Doubles part[REGISTERS];
};

INLINE Doubles all(double value) { return value - Doubles{}; }

INLINE Doubles absolute(Doubles a) { return (Doubles)((Longs)a & INT64_MAX); }

// What GCC does not find by itself: 12 splits the conversions, and fuses no product that it may not.
#if WIDTH == 8
#define INSTRUCTIONS(of_four, of_eight) of_eight
#elif WIDTH == 4
#define INSTRUCTIONS(of_four, of_eight) of_four
#endif

#if WIDTH > 2

INLINE Doubles widen(Floats a) {
  return (Doubles)INSTRUCTIONS(_mm256_cvtps_pd((__m128)a), _mm512_maskz_cvtps_pd(0xff, (__m256)a));
}

INLINE Floats narrow(Doubles a) {
  return (Floats)INSTRUCTIONS(_mm256_cvtpd_ps((__m256d)a), _mm512_maskz_cvtpd_ps(0xff, (__m512d)a));
}

INLINE Words load_words(const void* from) {  // of 16 bits each
  return (Words)INSTRUCTIONS(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i*)from)),
                             _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)));
}

INLINE void store_words(void* to, Words a) {
  INSTRUCTIONS(_mm_storel_epi64((__m128i*)to, _mm_packus_epi32((__m128i)a, (__m128i)a)),
               _mm_storeu_si128((__m128i*)to, _mm256_cvtepi32_epi16((__m256i)a)));
}

INLINE Doubles multiply_add(Doubles a, Doubles b, Doubles c) {
  return (Doubles)INSTRUCTIONS(_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c),
                               _mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c));
}

INLINE Doubles product_error(Doubles a, Doubles b, Doubles product) { return multiply_add(a, b, -product); }

INLINE Doubles root(Doubles a) {
  return (Doubles)INSTRUCTIONS(_mm256_sqrt_pd((__m256d)a), _mm512_maskz_sqrt_pd(0xff, (__m512d)a));
}

// No further from 0 than 1. What is not a number stays so: it is the second operand.
INLINE Doubles bounded(Doubles a) {
  return (Doubles)INSTRUCTIONS(
      _mm256_max_pd(_mm256_set1_pd(-1), _mm256_min_pd(_mm256_set1_pd(1), (__m256d)a)),
      _mm512_maskz_max_pd(0xff, _mm512_set1_pd(-1), _mm512_maskz_min_pd(0xff, _mm512_set1_pd(1), (__m512d)a)));
}

INLINE Singles bounded(Singles a) {
  return (Singles)INSTRUCTIONS(
      _mm256_max_ps(_mm256_set1_ps(-1), _mm256_min_ps(_mm256_set1_ps(1), (__m256)a)),
      _mm512_maskz_max_ps(0xffff, _mm512_set1_ps(-1), _mm512_maskz_min_ps(0xffff, _mm512_set1_ps(1), (__m512)a)));
}

INLINE Floats read_halves(const Half* from) {
  return (Floats)INSTRUCTIONS(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i*)from)),
                              _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)));
}

INLINE void write_halves(Half* to, Floats a) {
  INSTRUCTIONS(_mm_storel_epi64((__m128i*)to, _mm_cvtps_ph((__m128)a, _MM_FROUND_TO_NEAREST_INT)),
               _mm_storeu_si128((__m128i*)to, _mm256_cvtps_ph((__m256)a, _MM_FROUND_TO_NEAREST_INT)));
}

#undef INSTRUCTIONS

#else

INLINE Doubles widen(Floats a) { return __builtin_convertvector(a, Doubles); }

INLINE Floats narrow(Doubles a) { return __builtin_convertvector(a, Floats); }

INLINE Words load_words(const void* from) {
  Halves bits;
  std::memcpy(&bits, from, sizeof bits);
  return __builtin_convertvector(bits, Words);
}

INLINE void store_words(void* to, Words a) {
  Halves bits = __builtin_convertvector(a, Halves);
  std::memcpy(to, &bits, sizeof bits);
}

// Only products that are exact in double are added so, and the bits agree with those of a fused sum.
INLINE Doubles multiply_add(Doubles a, Doubles b, Doubles c) { return a * b + c; }

// Dekker, Numer. Math. 18 (1971): halves of the digits multiply exactly.
INLINE Doubles product_error(Doubles a, Doubles b, Doubles product) {
  const Doubles splitter = all(134217729.0);  // 2^27 + 1
  Doubles as = splitter * a, bs = splitter * b;
  Doubles ah = as - (as - a), bh = bs - (bs - b);
  Doubles al = a - ah, bl = b - bh;
  return ((ah * bh - product) + ah * bl + al * bh) + al * bl;
}

INLINE Doubles root(Doubles a) {
  for (int i = 0; i < WIDTH; ++i) a[i] = std::sqrt(a[i]);
  return a;
}

template <class Numbers>
INLINE Numbers bounded(Numbers a) {
  a = a > 1 ? 1 - Numbers{} : a;
  return a < -1 ? -1 - Numbers{} : a;
}

INLINE Floats read_halves(const Half* from) {
  Floats a;
  for (int i = 0; i < WIDTH; ++i) a[i] = from[i];
  return a;
}

INLINE void write_halves(Half* to, Floats a) {
  for (int i = 0; i < WIDTH; ++i) to[i] = Half(a[i]);
}

#endif

template <class T>
struct Memory;  // how WIDTH numbers of a dtype are read and written

template <>
struct Memory<double> {
  INLINE Doubles read(const double* from) {
    Doubles a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  INLINE void write(double* to, Doubles a) { std::memcpy(to, &a, sizeof a); }
};

template <>
struct Memory<float> {
  INLINE Doubles read(const float* from) {
    Floats a;
    std::memcpy(&a, from, sizeof a);
    return widen(a);
  }
  INLINE void write(float* to, Doubles a) {
    Floats rounded = narrow(a);
    std::memcpy(to, &rounded, sizeof rounded);
  }
};

template <>
struct Memory<Half> {
  INLINE Doubles read(const Half* from) { return widen(read_halves(from)); }
  INLINE void write(Half* to, Doubles a) { write_halves(to, narrow(a)); }
};

template <>
struct Memory<BFloat16> {
  INLINE Doubles read(const BFloat16* from) { return widen((Floats)(load_words(from) << 16)); }
  INLINE void write(BFloat16* to, Doubles a) {
    Words bits = (Words)narrow(a);
    Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    Words is_nan = (Words)((bits & 0x7fffffff) > 0x7f800000);
    store_words(to, (rounded & ~is_nan) | (is_nan & 0x7fc0));
  }
};

template <class T>
INLINE Block read_block(const T* from) {
  Block a;
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i) a.part[i] = Memory<T>::read(from + i * WIDTH);
  return a;
}

// Fewer than LANES numbers; the lanes beyond them are zero.
template <class T>
INLINE Block read_some(const T* from, int64_t count) {
  T some[LANES] = {};
  std::memcpy(some, from, count * sizeof(T));
  return read_block(some);
}

template <class T>
INLINE void write_block(T* to, const Block& a) {
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i) Memory<T>::write(to + i * WIDTH, a.part[i]);
}

template <class T>
INLINE void write_some(T* to, int64_t count, const Block& a) {
  T some[LANES];
  write_block(some, a);
  std::memcpy(to, some, count * sizeof(T));
}

template <class Number, int COUNT>
struct Lanes {
  typedef Number Register __attribute__((vector_size(COUNT * sizeof(Number))));
};
template <class Number>
struct Lanes<Number, 1> {
  using Register = Number;
};

// What is left when halves of the lanes are joined until there is one: a tree that is the same for every width.
template <int COUNT, class Number, class Join>
INLINE Number join_lanes(const typename Lanes<Number, COUNT>::Register& lanes, Join join) {
  if constexpr (COUNT == 1) {
    return lanes;
  } else {
    typename Lanes<Number, COUNT / 2>::Register half[2];
    std::memcpy(half, &lanes, sizeof half);
    return join_lanes<COUNT / 2, Number>(join(half[0], half[1]), join);
  }
}

INLINE double sum_lanes(Block a) {
#pragma GCC unroll 8
  for (int half = REGISTERS / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) a.part[i] += a.part[i + half];
  return join_lanes<WIDTH, double>(a.part[0], [](auto x, auto y) FORCED { return x + y; });
}
