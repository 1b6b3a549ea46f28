// Searches of a row of scores: the next one above a threshold, and whether all are finite.

#include <cstdint>
#include <limits>

#if defined(BATCHDOT_CPU_SCAN_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_SCAN_INL_H_
#undef BATCHDOT_CPU_SCAN_INL_H_
#else
#define BATCHDOT_CPU_SCAN_INL_H_
#endif

#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Whether a test holds for one of `Count` scores. A loop without an exit, which compilers turn into registers; GCC 12
// does not where there are 16 scores or fewer.
template <int Count, class T, class Test>
BD_INLINE bool any_of(const T* scores, Test test) {
  int found = 0;
  for (int i = 0; i < Count; ++i) found |= test(scores[i]);
  return found != 0;
}

// The first position from `begin` on with a score above the threshold, which is not NaN; `end` if there is none. NaN is
// above every number. Most rows have few such scores: a stretch is tested at once, and halves of it only where it
// holds.
template <class T>
int64_t next_above(const void* row, int64_t begin, int64_t end, const void* threshold) {
  constexpr int kStretch = 128, kPart = 32;
  const T *scores = (const T*)row, limit = *(const T*)threshold;
  auto is_above = [limit](T score) BD_LAMBDA_INLINE { return !(score <= limit); };
  int64_t i = begin;
  while (end - i >= kStretch && !any_of<kStretch>(scores + i, is_above)) i += kStretch;
  while (end - i >= kPart && !any_of<kPart>(scores + i, is_above)) i += kPart;
  while (i < end && !is_above(scores[i])) ++i;
  return i;
}

// Whether no score is infinite or NaN; integers are finite.
template <class T>
bool are_finite(const void* row, int64_t count) {
  constexpr int kStretch = 128;
  const T *scores = (const T*)row, most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::lowest();
  auto is_not = [=](T score) BD_LAMBDA_INLINE { return !((score <= most) & (score >= least)); };
  int64_t i = 0;
  for (; count - i >= kStretch; i += kStretch)
    if (any_of<kStretch>(scores + i, is_not)) return false;
  for (; i < count; ++i)
    if (is_not(scores[i])) return false;
  return true;
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_SCAN_INL_H_
