// The operator of `top_k` that scores candidates exactly and ranks them.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "aligned_buffer.h"
#include "boundary.h"
#include "candidates.h"
#include "dispatch.h"
#include "dtypes.h"
#include "row_problem.h"
#include "tensors.h"
#include "threads.h"

namespace batchdot {

// The least number of elements per thread, about 10 µs of work.
constexpr int64_t kGrain = 1 << 15;

// The most bytes of items that are copied at a time: they are in the nearest caches when they are read.
constexpr int64_t kCopiedBytes = 1 << 17;

// Call run(a null pointer of the items' type).
template <class Run>
static void for_items(int dtype, Run run) {
  if (dtype == 0)
    run((float*)nullptr);
  else if (dtype == 1)
    run((double*)nullptr);
  else if (dtype == 2)
    run((Half*)nullptr);
  else
    run((BFloat16*)nullptr);
}

// Write the exact scores of pairs begin to end of a matrix of queries and their candidates, in the dtype of the
// queries, S. Rows of items, of U, are copied and converted, some at a time, to memory in the nearest caches.
template <class S, class U>
static void score_pairs(const TensorInfo& queries, const TensorInfo& items, const TensorInfo& candidates,
                        double epsilon, int64_t begin, int64_t end, S* scores) {
  int64_t size = queries.sizes[1], columns = candidates.sizes[1], stride = items.strides[1];
  int64_t most = std::max<int64_t>(1, std::min<int64_t>(columns, kCopiedBytes / (size * (int64_t)sizeof(S) + 1)));
  AlignedBuffer<S> rows(most * size);
  RowProblem problem = {};
  problem.x.data = rows.data;
  problem.x.stride = problem.y.stride = 1;
  problem.x.row_stride = problem.x.strides[0] = problem.size = size;
  problem.epsilon = epsilon;
  constexpr int kDtype = std::is_same_v<S, double>;
  for (int64_t pair = begin; pair < end;) {
    int64_t query = pair / columns, column = pair % columns;
    int64_t count = std::min({most, columns - column, end - pair});
    const int64_t* places = (const int64_t*)candidates.data + query * candidates.strides[0] + column;
    for (int64_t i = 0; i < count; ++i) {
      const U* from = (const U*)items.data + places[i] * items.strides[0];
      S* to = rows.data + i * size;
      if (std::is_same_v<S, U> && stride == 1)
        std::memcpy((void*)to, from, size * sizeof(S));
      else
        for (int64_t k = 0; k < size; ++k) to[k] = (S)from[k * stride];
    }
    problem.y.data = (S*)queries.data + query * queries.strides[0];
    problem.out.data = scores + pair;
    if (epsilon > 0) {  // pairs of rows, of which all have the same query
      problem.axes = problem.rows = 1;
      problem.groups = problem.sizes[0] = count;
      kernels().cosine[kDtype](problem, 0, count);
    } else {
      problem.groups = 1;
      problem.rows = count;
      kernels().product[kDtype](problem, 0, count);
    }
    pair += count;
  }
}

// Write the k best of `count` scores, the best first, and their candidates, which are in order of ascending position.
template <class S>
static void write_best(const S* scores, const int64_t* places, int64_t count, int64_t k, int64_t* order, S* best,
                       int64_t* indices) {
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  std::partial_sort(order, order + k, order + count, [scores](int64_t a, int64_t b) {
    return is_larger(scores[a], scores[b]) || (a < b && !is_larger(scores[b], scores[a]));
  });
  for (int64_t i = 0; i < k; ++i) {
    best[i] = scores[order[i]];
    indices[i] = places[order[i]];
  }
}

template <class S>
static void rank(const TensorInfo& queries, const TensorInfo& items, const TensorInfo& candidates, double epsilon,
                 int64_t k, S* best, int64_t* indices) {
  int64_t rows = candidates.sizes[0], columns = candidates.sizes[1];
  AlignedBuffer<S> scores(rows * columns);
  for_ranges(rows * columns, kGrain / (queries.sizes[1] + 1) + 1, [&](int64_t begin, int64_t end) {
    for_items(items.kernel_index(), [&](auto* type) {
      using U = std::remove_pointer_t<decltype(type)>;
      score_pairs<S, U>(queries, items, candidates, epsilon, begin, end, scores.data);
    });
  });
  for_ranges(rows, kGrain / (16 * columns) + 1, [&](int64_t begin, int64_t end) {
    AlignedBuffer<int64_t> order(columns);
    for (int64_t row = begin; row < end; ++row)
      write_best(scores.data + row * columns, (const int64_t*)candidates.data + row * candidates.strides[0], columns, k,
                 order.data, best + row * k, indices + row * k);
  });
}

static std::tuple<Tensor, Tensor> rank_pairs(Tensor queries, Tensor items, Tensor places, int64_t k, double epsilon) {
  TensorInfo q(queries), x(items), c(places);
  STD_TORCH_CHECK(q.rank == 2 && x.rank == 2 && c.rank == 2 && q.sizes[1] == x.sizes[1] && q.sizes[0] == c.sizes[0] &&
                      0 < k && k <= c.sizes[1],
                  "batchdot: no exact scores for queries, items and candidates of such shapes");
  bool wide = q.kernel_index() == 1;
  STD_TORCH_CHECK(x.kernel_index() >= 0 && (wide || (q.kernel_index() == 0 && x.kernel_index() != 1)) &&
                      c.dtype == aoti_torch_dtype_int64(),
                  "batchdot: no exact scores for queries, items and candidates of such dtypes");
  STD_TORCH_CHECK((q.sizes[1] < 2 || q.strides[1] == 1) && (c.sizes[1] < 2 || c.strides[1] == 1),
                  "batchdot: queries and candidates should be packed rows");
  for (int64_t row = 0; row < c.sizes[0]; ++row)
    for (int64_t i = 0; i < c.sizes[1]; ++i) {
      int64_t place = ((const int64_t*)c.data)[row * c.strides[0] + i];
      STD_TORCH_CHECK(0 <= place && place < x.sizes[0], "batchdot: a candidate that is no item");
    }
  const int64_t sizes[2] = {q.sizes[0], k};
  Tensor best = empty(2, sizes, q.dtype), indices = empty(2, sizes, aoti_torch_dtype_int64());
  if (wide)
    rank(q, x, c, epsilon, k, (double*)best.data_ptr(), (int64_t*)indices.data_ptr());
  else
    rank(q, x, c, epsilon, k, (float*)best.data_ptr(), (int64_t*)indices.data_ptr());
  return {best, indices};
}

// rank_pairs: the exact scores and the indices of the k best of candidates (Q, C), whose positions ascend: (Q, k) each,
// the best first, the first among equals. Scores have the dtype of the queries; they are products where epsilon is 0.
STABLE_TORCH_LIBRARY_FRAGMENT(batchdot, library) {
  library.def(
      "rank_pairs(Tensor queries, Tensor items, Tensor candidates, int k, float epsilon) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) { library.impl("rank_pairs", BD_BOX(&rank_pairs)); }

}  // namespace batchdot
