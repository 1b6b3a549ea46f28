// The instruction set that code is compiled for, as macros. Included again for each instruction set.
//
// foreach_target.h defines BD_TARGET; a header that is opened by itself is compiled for the baseline.
// BD_NAMESPACE is the namespace of the code, BD_WIDTH the doubles that a register holds.

#define BD_BASELINE 0
#define BD_AVX2 1
#define BD_AVX512 2

#ifndef BD_TARGET
#define BD_TARGET BD_BASELINE
#endif

#undef BD_NAMESPACE
#undef BD_NAME
#undef BD_WIDTH
#undef BD_BEFORE_NAMESPACE
#undef BD_AFTER_NAMESPACE

#if BD_TARGET == BD_BASELINE
#define BD_NAMESPACE baseline
#define BD_NAME "baseline"
#define BD_WIDTH 2
#define BD_BEFORE_NAMESPACE() static_assert(true, "")
#define BD_AFTER_NAMESPACE() static_assert(true, "")
#else

// What stands between these two may use the instructions of the target. Nothing may be included there: inline
// functions of the standard library would be compiled for it, and a linker may keep that copy for all callers.
#define BD_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define BD_PUSH_TARGET(features) \
  BD_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define BD_AFTER_NAMESPACE() BD_PRAGMA(clang attribute pop) static_assert(true, "")
#else
#define BD_PUSH_TARGET(features) BD_PRAGMA(GCC push_options) BD_PRAGMA(GCC target(features))
#define BD_AFTER_NAMESPACE() BD_PRAGMA(GCC pop_options) static_assert(true, "")
#endif

#if BD_TARGET == BD_AVX2
#define BD_NAMESPACE avx2
#define BD_NAME "avx2"
#define BD_WIDTH 4
#define BD_BEFORE_NAMESPACE() BD_PUSH_TARGET("avx2,fma,f16c") static_assert(true, "")
#else
#define BD_NAMESPACE avx512
#define BD_NAME "avx512"
#define BD_WIDTH 8
#define BD_BEFORE_NAMESPACE() BD_PUSH_TARGET("avx512f,avx512bw,avx512vl,fma,f16c") static_assert(true, "")
#endif

#endif  // BD_TARGET == BD_BASELINE

#ifndef BD_INLINE
#define BD_INLINE static inline __attribute__((always_inline))
#define BD_MEMBER_INLINE inline __attribute__((always_inline))
#define BD_LAMBDA_INLINE __attribute__((always_inline))
#define BD_NOINLINE static __attribute__((noinline))
#endif
