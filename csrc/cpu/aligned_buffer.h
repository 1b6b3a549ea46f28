// Memory for rows, scores and candidates while an operator runs.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace batchdot {

// Uninitialized memory for `count` values of a trivial type, from the start of a cache line on. A count of 0
// allocates nothing. Throws std::bad_alloc.
template <class T>
struct AlignedBuffer {
  T* data;
  explicit AlignedBuffer(int64_t count)
      : data(count ? (T*)std::aligned_alloc(64, ((size_t)count * sizeof(T) + 63) / 64 * 64) : nullptr) {
    if (count && !data) throw std::bad_alloc();
  }
  ~AlignedBuffer() { std::free(data); }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
};

}  // namespace batchdot
