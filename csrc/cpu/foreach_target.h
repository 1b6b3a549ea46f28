// Include BD_TARGET_INCLUDE, the name of a header, once for each instruction set that may be chosen.
//
// As Highway's foreach_target.h: headers named *-inl.h have guards that BD_TARGET_TOGGLE turns over, so that each
// is included once for each instruction set, into a namespace of its own (see target-inl.h).

#ifndef BD_TARGET_INCLUDE
#error "define BD_TARGET_INCLUDE as the header to compile for each instruction set"
#endif

#undef BD_TARGET
#define BD_TARGET BD_BASELINE
#include BD_TARGET_INCLUDE

#if defined(__x86_64__)

#undef BD_TARGET
#define BD_TARGET BD_AVX2
#define BD_TARGET_TOGGLE
#include BD_TARGET_INCLUDE

#undef BD_TARGET
#define BD_TARGET BD_AVX512
#undef BD_TARGET_TOGGLE
#include BD_TARGET_INCLUDE

#endif  // __x86_64__
