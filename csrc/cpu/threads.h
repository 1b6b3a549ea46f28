// Work that threads share.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace batchdot {

// Whether calls from this thread use no other threads, because it is one of several that run operators in parallel.
extern thread_local bool single_threaded;

// Call run(begin, end) for parts of 0 to count, each of `grain` or more, in several threads where there are several
// parts.
template <class Run>
void for_ranges(int64_t count, int64_t grain, Run run) {
  if (count == 0) return;
  if (single_threaded || count <= grain) {
    run((int64_t)0, count);
    return;
  }
  std::atomic<bool> out_of_memory{false};  // all that is thrown in threads is std::bad_alloc
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    try {
      run(begin, end);
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

}  // namespace batchdot
