// The operator of `top_k` that finds the candidates of queries among items: scores are compared as they are computed.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "aligned_buffer.h"
#include "boundary.h"
#include "candidates.h"
#include "dispatch.h"
#include "row_problem.h"
#include "tensors.h"
#include "threads.h"

namespace batchdot {

// The least number of products per thread, about 10 µs of work.
constexpr int64_t kGrain = 1 << 16;

// The most items whose scores are compared at a time, a multiple of every panel: their scores are in the first cache.
constexpr int64_t kTile = 256;

// The most bytes of items that are read again for other queries: they are in the second cache.
constexpr int64_t kTileBytes = 1 << 18;

// Room for candidates beyond twice those kept. Where it is full, all but the best are dropped.
constexpr int64_t kRoom = 64;

// The most bytes of the candidates of all threads.
constexpr int64_t kCandidateBytes = 128 << 20;

// The largest multiple of `step` that is at most `most` items of `bytes` each, and at least one step.
static int64_t tile_of(int64_t most, int64_t bytes, int64_t step) {
  return std::max(step, std::min(most, kTileBytes / (bytes + 1)) / step * step);
}

// Packed queries, and items that are packed rows of a dtype.
template <class Query>
struct Operands {
  const Query* queries;
  const char* items;
  int64_t count, size, row_stride, bytes;
  int dtype;

  const char* item(int64_t i) const { return items + i * row_stride * bytes; }
};

// Scores of tiles of items for few queries: sums in double, rounded to T, which is double for items of double.
template <class T>
class VectorScores {
 public:
  using Score = T;
  const int64_t tile;

  static int64_t step() { return 1; }  // as many items take the time and the memory of one

  explicit VectorScores(const Operands<double>& operands)
      : tile(operands.count <= 4 ? kTile : tile_of(kTile, operands.size * operands.bytes, 4)),
        operands_(operands),
        scores_(operands.count * kTile) {}

  void read(int64_t first, int64_t size) {
    const auto& o = operands_;
    kernels().query_scores[o.dtype](o.item(first), o.row_stride, o.queries, o.count, o.size, 0, size, scores_.data,
                                    kTile);
    if constexpr (sizeof(T) == sizeof(double))  // no sum of products of float is out of range
      for (int64_t query = 0; query < o.count; ++query) {
        T* own = scores_.data + query * kTile;
        if (kernels().are_finite[1](own, size)) continue;
        for (int64_t i = 0; i < size; ++i)
          if (!std::isfinite(own[i])) own[i] = exact_product(query, first + i);
      }
  }

  const T* of(int64_t query) const { return scores_.data + query * kTile; }

 private:
  double exact_product(int64_t query, int64_t item) const {
    RowProblem problem = {};
    double product;
    problem.x.data = (void*)operands_.item(item);
    problem.y.data = (void*)(operands_.queries + query * operands_.size);
    problem.out.data = &product;
    problem.x.stride = problem.y.stride = problem.groups = problem.rows = 1;
    problem.size = operands_.size;
    kernels().product[1](problem, 0, 1);
    return product;
  }

  const Operands<double>& operands_;
  AlignedBuffer<T> scores_;
};

// The same of many queries, in groups (matrix_scores-inl.h): sums in float; in double where those are out of range.
class MatrixScores {
 public:
  using Score = float;
  const int64_t tile;

  static int64_t step() { return kernels().panel; }

  explicit MatrixScores(const Operands<float>& operands)
      : tile(tile_of(kTile, operands.size * (int64_t)sizeof(float), step())),
        operands_(operands),
        panels_(tile * operands.size),
        scores_(kernels().group * kTile) {}

  void read(int64_t first, int64_t size) {
    kernels().pack_rows[operands_.dtype](operands_.item(first), operands_.row_stride, size, operands_.size,
                                         kernels().panel, panels_.data);
    size_ = size;
  }

  // To be called for one query after the other: the first of a group computes the scores of all.
  const float* of(int64_t query) {
    int64_t place = query % kernels().group, panel = kernels().panel;
    const float* group = operands_.queries + (query - place) * operands_.size;
    if (place == 0)
      kernels().score_panels(group, panels_.data, (size_ + panel - 1) / panel, operands_.size, scores_.data, kTile);
    float* own = scores_.data + place * kTile;
    if (!kernels().are_finite[0](own, size_))
      for (int64_t i = 0; i < size_; ++i)
        if (!std::isfinite(own[i])) own[i] = (float)wide_product(group + place, i);
    return own;
  }

 private:
  double wide_product(const float* query, int64_t i) const {
    int64_t panel = kernels().panel, group = kernels().group;
    const float* item = panels_.data + i / panel * panel * operands_.size + i % panel;
    double sum = 0;
    for (int64_t k = 0; k < operands_.size; ++k) sum += (double)query[k * group] * item[k * panel];
    return sum;
  }

  const Operands<float>& operands_;
  int64_t size_ = 0;
  AlignedBuffer<float> panels_, scores_;
};

// Let items begin to end become candidates.
template <class Scores, class Query, class T>
static void search_items(const Operands<Query>& operands, const Candidates<T>& found, int64_t begin, int64_t end) {
  Scores scores(operands);
  AlignedBuffer<T> scratch(found.capacity);
  NextAbove next_above = kernels().next_above[sizeof(T) == sizeof(double)];
  for (; begin < end; begin += scores.tile) {
    int64_t size = std::min(scores.tile, end - begin);
    scores.read(begin, size);
    for (int64_t query = 0; query < operands.count; ++query)
      found.add(query, scores.of(query), size, [begin](int64_t i) { return begin + i; }, next_above, scratch.data);
  }
}

// Candidates of a thread, none at first.
template <class T>
struct OwnCandidates {
  AlignedBuffer<T> scores, thresholds;
  AlignedBuffer<int64_t> indices, counts;
  Candidates<T> candidates;

  OwnCandidates(int64_t rows, int64_t kept, int64_t capacity)
      : scores(rows * capacity),
        thresholds(rows),
        indices(rows * capacity),
        counts(rows),
        candidates{scores.data, thresholds.data, indices.data, counts.data, rows, kept, capacity} {
    std::fill(counts.data, counts.data + rows, 0);
  }
};

// Each thread searches a part of the items. Then the candidates of all join those of the first, part by part, so that
// positions ascend, and are cut to the best.
template <class Scores, class Query>
static std::tuple<Tensor, Tensor> search(const Operands<Query>& operands, int64_t items, int64_t kept, int32_t dtype) {
  using T = typename Scores::Score;
  int64_t rows = operands.count, capacity = std::min(2 * kept + kRoom, std::max(items, kept + 1));
  int64_t threads = single_threaded ? 1 : torch::stable::get_num_threads();
  int64_t grain = std::max(kGrain / (rows * operands.size + 1) + 1, Scores::step());
  int64_t most = kCandidateBytes / (rows * capacity * (int64_t)(sizeof(T) + sizeof(int64_t)) + 1);
  int64_t parts = std::max<int64_t>(1, std::min({threads, items / grain, most}));
  std::vector<std::unique_ptr<OwnCandidates<T>>> own;
  for (int64_t part = 0; part < parts; ++part)
    own.push_back(std::make_unique<OwnCandidates<T>>(rows, kept, capacity));
  for_ranges(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      search_items<Scores>(operands, own[part]->candidates, items * part / parts, items * (part + 1) / parts);
  });
  const int64_t sizes[2] = {rows, kept};
  Tensor best = empty(2, sizes, dtype), positions = empty(2, sizes, aoti_torch_dtype_int64());
  T* best_scores = (T*)best.data_ptr();
  int64_t* best_positions = (int64_t*)positions.data_ptr();
  const Candidates<T>& found = own[0]->candidates;
  NextAbove next_above = kernels().next_above[sizeof(T) == sizeof(double)];
  for_ranges(rows, kGrain / (capacity * parts) + 1, [&](int64_t begin, int64_t end) {
    AlignedBuffer<T> scratch(capacity);
    for (int64_t query = begin; query < end; ++query) {
      int64_t first = query * capacity;
      for (int64_t part = 1; part < parts; ++part) {
        const Candidates<T>& other = own[part]->candidates;
        const int64_t* places = other.indices + first;
        found.add(query, other.scores + first, other.counts[query], [places](int64_t i) { return places[i]; },
                  next_above, scratch.data);
      }
      if (found.counts[query] > kept) found.cut(query, scratch.data);
      std::copy(found.scores + first, found.scores + first + kept, best_scores + query * kept);
      std::copy(found.indices + first, found.indices + first + kept, best_positions + query * kept);
    }
  });
  return {best, positions};
}

template <class Query>
static Operands<Query> operands(const TensorInfo& queries, const TensorInfo& items) {
  return {(const Query*)queries.data,
          (const char*)items.data,
          queries.sizes[0],
          queries.sizes[1],
          items.strides[0],
          (int64_t)aoti_torch_dtype_element_size(items.dtype),
          items.kernel_index()};
}

static std::tuple<Tensor, Tensor> search_rows(Tensor queries, Tensor items, int64_t kept) {
  TensorInfo q(queries), x(items);
  bool few = q.kernel_index() == 1, wide = x.kernel_index() == 1;
  STD_TORCH_CHECK(x.kernel_index() >= 0 && (few || (q.kernel_index() == 0 && !wide)) && queries.is_contiguous() &&
                      q.rank == 2 && x.rank == 2 && x.sizes[1] == q.sizes[1],
                  "batchdot: no scores for queries and items of such dtypes and shapes");
  STD_TORCH_CHECK(x.sizes[1] < 2 || x.strides[1] == 1, "batchdot: items should be packed rows");
  STD_TORCH_CHECK(0 < kept && kept <= x.sizes[0], "batchdot: there are not so many candidates");
  if (wide) return search<VectorScores<double>>(operands<double>(q, x), x.sizes[0], kept, x.dtype);
  if (few) return search<VectorScores<float>>(operands<double>(q, x), x.sizes[0], kept, aoti_torch_dtype_float32());
  int64_t group = kernels().group, count = (q.sizes[0] + group - 1) / group * group;
  AlignedBuffer<float> groups(count * q.sizes[1]);
  kernels().pack_rows[0](q.data, q.sizes[1], q.sizes[0], q.sizes[1], group, groups.data);
  Operands<float> packed = operands<float>(q, x);
  packed.queries = groups.data;
  return search<MatrixScores>(packed, x.sizes[0], kept, q.dtype);
}

// Scores and positions of the `kept` best of items (N, d), the first among equals, for queries (Q, d): (Q, kept) each,
// in order of ascending position. Scores of few queries, in float64, are sums in float64, those of many, in float32, in
// float32; they are rounded to float32 unless items are of float64.
STABLE_TORCH_LIBRARY_FRAGMENT(batchdot, library) {
  library.def("search_rows(Tensor queries, Tensor items, int kept) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) { library.impl("search_rows", BD_BOX(&search_rows)); }

}  // namespace batchdot
