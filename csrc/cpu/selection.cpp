// The operators of `top_k`: keep the largest scores of each row of a block, and of the blocks before it.
//
// Each row has candidates: scores in order of ascending position, at most `capacity` of them. A score enters if it is
// above the threshold, the smallest of the `kept` best at the time of the last cut. When no room is left the candidates
// are cut to the `kept` best. So a row costs one pass that compares, and few scores enter it: kept·ln(count / kept) of
// those in random order. Scores in ascending order all enter, at the cost of one cut for every `capacity - kept`.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "aligned_buffer.h"
#include "boundary.h"
#include "dispatch.h"
#include "tensors.h"
#include "threads.h"

namespace batchdot {

using torch::headeronly::ScalarType;

// Whether a comes before b among the largest: NaN is larger than every number.
template <class T>
static bool is_larger(T a, T b) {
  return a > b || (a != a && b == b);
}

// The candidates of rows, one row of each tensor for each: see `select_top`.
template <class T>
struct Candidates {
  T *scores, *thresholds;
  int64_t *indices, *counts;
  int64_t rows, kept, capacity;

  // Cut a row to its best, the first among equals, in the order that they are in.
  void cut(int64_t row, T* scratch) const {
    T *own = scores + row * capacity, &threshold = thresholds[row];
    int64_t *places = indices + row * capacity, &count = counts[row];
    std::copy(own, own + count, scratch);
    std::nth_element(scratch, scratch + kept - 1, scratch + count, is_larger<T>);
    threshold = scratch[kept - 1];
    int64_t equal = kept - std::count_if(own, own + count, [&](T score) { return is_larger(score, threshold); });
    int64_t to = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (!is_larger(own[i], threshold) && (is_larger(threshold, own[i]) || --equal < 0)) continue;
      own[to] = own[i];
      places[to++] = places[i];
    }
    count = to;
  }

  // Let the scores of a row enter, the first of which has position `first`.
  void add(int64_t row, const T* block, int64_t size, int64_t first, NextAbove next_above, T* scratch) const {
    T *own = scores + row * capacity, &threshold = thresholds[row];
    int64_t *places = indices + row * capacity, &count = counts[row], i = 0;
    auto enter = [&] {
      own[count] = block[i];
      places[count++] = first + i++;
    };
    if (count < kept) {
      while (i < size && count < kept) enter();
      if (count < kept) return;
      threshold = *std::max_element(own, own + count, is_larger<T>);  // the last in that order: the smallest
    }
    while (threshold == threshold && (i = next_above(block, i, size, &threshold)) < size) {
      enter();
      if (count == capacity) cut(row, scratch);
    }
  }
};

template <class T>
static Candidates<T> candidates(Tensor& best, Tensor& indices, Tensor& counts, Tensor& thresholds, int64_t kept) {
  int64_t rows = best.size(0), capacity = best.size(1);
  STD_TORCH_CHECK(0 < kept && kept < capacity, "batchdot: no room for candidates");
  STD_TORCH_CHECK(indices.size(0) == rows && indices.size(1) == capacity && counts.numel() == rows &&
                      thresholds.numel() == rows && thresholds.scalar_type() == best.scalar_type() &&
                      indices.scalar_type() == ScalarType::Long && counts.scalar_type() == ScalarType::Long,
                  "batchdot: candidates of different rows or dtypes");
  for (Tensor* tensor : {&best, &indices, &counts, &thresholds})
    STD_TORCH_CHECK(tensor->is_contiguous(), "batchdot: candidates should be packed");
  return {(T*)best.data_ptr(),
          (T*)thresholds.data_ptr(),
          (int64_t*)indices.data_ptr(),
          (int64_t*)counts.data_ptr(),
          rows,
          kept,
          capacity};
}

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
      found.add(row, scores + row * stride, size, first, next_above, scratch.data);
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

static void score_rows(Tensor queries, Tensor items, Tensor out) {
  int dtype = TensorInfo(items).kernel_index();
  STD_TORCH_CHECK(dtype >= 0 && queries.scalar_type() == ScalarType::Double && queries.is_contiguous() &&
                      queries.dim() == 2 && out.dim() == 2 && items.dim() == 2 && items.size(1) == queries.size(1),
                  "batchdot: no scores for queries and items of such dtypes and shapes");
  STD_TORCH_CHECK(items.size(1) < 2 || items.stride(1) == 1, "batchdot: items should be packed rows");
  STD_TORCH_CHECK(out.scalar_type() == (dtype == 1 ? ScalarType::Double : ScalarType::Float) && out.is_contiguous() &&
                      out.size(0) == queries.size(0) && out.size(1) == items.size(0),
                  "batchdot: scores should be a packed matrix of queries and items");
  int64_t count = queries.size(0), size = items.size(1), rows = items.size(0), row_stride = items.stride(0);
  const void *data = items.data_ptr(), *factors = queries.data_ptr();
  void* scores = out.data_ptr();
  QueryScores kernel = kernels().query_scores[dtype];
  for_ranges(rows, kScores / (size * count + 1) + 1, [&](int64_t begin, int64_t end) {
    // Few rows at a time, so that they are in cache for all queries.
    int64_t step = count <= 4 ? end - begin : (1 << 18) / (size * 8 + 1) / 4 * 4 + 4;
    for (; begin < end; begin += step)
      kernel(data, row_stride, (const double*)factors, count, size, begin, std::min(begin + step, end), scores, rows);
  });
}

// score_rows: products of queries (Q, d), in float64, with items (N, d), written to (Q, N).
// select_top: let the scores of a block (R, N) become candidates. `best` and `indices` (R, capacity) are the
// candidates' scores and positions, of which the first counts[row] are used; `first` is the position of the block's
// first score.
// cut_top: leave the `kept` best of each row, the first among equals, in order of ascending position.
// all_finite: whether no score is infinite or NaN.
STABLE_TORCH_LIBRARY_FRAGMENT(batchdot, library) {
  library.def("score_rows(Tensor queries, Tensor items, Tensor(a!) out) -> ()");
  library.def(
      "select_top(Tensor block, Tensor(a!) best, Tensor(b!) indices, Tensor(c!) counts, Tensor(d!) thresholds, "
      "int kept, int first) -> ()");
  library.def(
      "cut_top(Tensor(a!) best, Tensor(b!) indices, Tensor(c!) counts, Tensor(d!) thresholds, int kept) -> ()");
  library.def("all_finite(Tensor block) -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) {
  library.impl("score_rows", BD_BOX(&score_rows));
  library.impl("select_top", BD_BOX(&select_top));
  library.impl("cut_top", BD_BOX(&cut_top));
  library.impl("all_finite", BD_BOX(&all_finite));
}

}  // namespace batchdot
