// Operators of `top_k` that keep the largest scores of each row of a block, and of the blocks before it.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "aligned_buffer.h"
#include "boundary.h"
#include "candidates.h"
#include "dispatch.h"
#include "tensors.h"
#include "threads.h"

namespace batchdot {

// The least number of scores per thread, about 10 µs of work.
constexpr int64_t kScores = 1 << 16;

template <class T>
static void select_rows(const Tensor& block, const Candidates<T>& found, int64_t first, int dtype) {
  STD_TORCH_CHECK(block.size(0) == found.rows, "batchdot: scores of more or fewer rows than there are candidates of");
  int64_t size = block.size(1), stride = block.stride(0);
  const T* scores = (const T*)block.data_ptr();
  NextAbove next_above = kernels().next_above[dtype];
  for_ranges(found.rows, kScores / (size + 1) + 1, [&](int64_t begin, int64_t end) {
    AlignedBuffer<T> scratch(found.capacity);
    for (int64_t row = begin; row < end; ++row)
      found.add(row, scores + row * stride, size, [first](int64_t i) { return first + i; }, next_above, scratch.data);
  });
}

template <class T>
static void cut_rows(const Candidates<T>& found) {
  for_ranges(found.rows, kScores / found.capacity + 1, [&](int64_t begin, int64_t end) {
    AlignedBuffer<T> scratch(found.capacity);
    for (int64_t row = begin; row < end; ++row)
      if (found.counts[row] > found.kept) found.cut(row, scratch.data);
  });
}

// Call run(a null pointer of the scores' type, its place in a table of kernels).
template <class Run>
static void for_dtype(ScalarType dtype, Run run) {
  if (dtype == ScalarType::Float)
    run((float*)nullptr, 0);
  else if (dtype == ScalarType::Double)
    run((double*)nullptr, 1);
  else
    run((int64_t*)nullptr, 2);
}

static void check_block(const Tensor& block) {
  STD_TORCH_CHECK(block.dim() == 2 && (block.size(1) < 2 || block.stride(1) == 1),
                  "batchdot: scores should be a matrix of packed rows");
}

static void check_dtype(const Tensor& tensor, ScalarType dtype) {
  STD_TORCH_CHECK(tensor.scalar_type() == dtype, "batchdot: scores and candidates of different dtypes");
  STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double || dtype == ScalarType::Long,
                  "batchdot: no kernel for scores of such a dtype");
}

static void select_top(Tensor block, Tensor best, Tensor indices, Tensor counts, Tensor thresholds, int64_t kept,
                       int64_t first) {
  check_block(block);
  check_dtype(block, best.scalar_type());
  for_dtype(block.scalar_type(), [&](auto* type, int dtype) {
    using T = std::remove_pointer_t<decltype(type)>;
    select_rows<T>(block, candidates<T>(best, indices, counts, thresholds, kept), first, dtype);
  });
}

static bool all_finite(Tensor block) {
  check_block(block);
  check_dtype(block, block.scalar_type());
  std::atomic<bool> finite{true};
  for_dtype(block.scalar_type(), [&](auto* type, int dtype) {
    using T = std::remove_pointer_t<decltype(type)>;
    int64_t size = block.size(1), stride = block.stride(0);
    const T* scores = (const T*)block.data_ptr();
    AreFinite are_finite = kernels().are_finite[dtype];
    for_ranges(block.size(0), kScores / (size + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end && finite; ++row)
        if (!are_finite(scores + row * stride, size)) finite = false;
    });
  });
  return finite;
}

static void cut_top(Tensor best, Tensor indices, Tensor counts, Tensor thresholds, int64_t kept) {
  check_dtype(best, best.scalar_type());
  for_dtype(best.scalar_type(), [&](auto* type, int) {
    using T = std::remove_pointer_t<decltype(type)>;
    cut_rows<T>(candidates<T>(best, indices, counts, thresholds, kept));
  });
}

// select_top: let the scores of a block (R, N) become candidates. `best` and `indices` (R, capacity) are the
// candidates' scores and positions, of which the first counts[row] are used; `first` is the position of the block's
// first score.
// cut_top: leave the `kept` best of each row, the first among equals, in order of ascending position.
// all_finite: whether no score is infinite or NaN.
STABLE_TORCH_LIBRARY_FRAGMENT(batchdot, library) {
  library.def(
      "select_top(Tensor block, Tensor(a!) best, Tensor(b!) indices, Tensor(c!) counts, Tensor(d!) thresholds, "
      "int kept, int first) -> ()");
  library.def(
      "cut_top(Tensor(a!) best, Tensor(b!) indices, Tensor(c!) counts, Tensor(d!) thresholds, int kept) -> ()");
  library.def("all_finite(Tensor block) -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) {
  library.impl("select_top", BD_BOX(&select_top));
  library.impl("cut_top", BD_BOX(&cut_top));
  library.impl("all_finite", BD_BOX(&all_finite));
}

}  // namespace batchdot
