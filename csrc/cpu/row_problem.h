// What an operator asks of the rows of its tensors.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

constexpr int MOST_AXES = 64;  // torch has no tensor of more

struct Task;

struct Operand {
  void* data;
  int64_t strides[MOST_AXES];  // of the groups' axes, in elements
  int64_t row_stride;          // between the rows of a group; 0 where they share one
  int64_t stride;              // between the elements of a row

  inline int64_t offset(int64_t group, const Task& task) const;
};

// Rows in groups: those of x that share a row of y, or single ones. Groups have any number of axes.
struct Task {
  Operand x, y, out;
  int axes;
  int64_t sizes[MOST_AXES];
  int64_t groups, rows, size;  // rows of a group, elements of a row
  double epsilon;
  const void* gradient;
  void *x_gradient, *y_gradient;  // packed; null where nobody asks
  int64_t columns;                // of matrices of products: rows of y, which all rows of x in a group meet
};

inline int64_t Operand::offset(int64_t group, const Task& task) const {
  int64_t offset = 0;
  for (int axis = task.axes - 1; axis > 0; --axis) {
    offset += group % task.sizes[axis] * strides[axis];
    group /= task.sizes[axis];
  }
  return task.axes > 0 ? offset + group * strides[0] : 0;
}

// Memory of a thread for a row or so, from where a cache line starts; none for a count of 0. Of trivial
// types only.
template <class T>
struct Space {
  T* data;
  explicit Space(int64_t count) : data(count ? (T*)std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64) : nullptr) {
    if (count && !data) throw std::bad_alloc();
  }
  ~Space() { std::free(data); }
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;
};

using Kernel = void (*)(const Task&, int64_t begin, int64_t end);

// One instruction set's kernels, by dtype: float32, float64, float16, bfloat16.
struct Kernels {
  const char* name;
  Kernel product[4], product_backward[4], cosine[4], cosine_backward[4], unit[4], unit_backward[4], scale_products[4];
};

// Those of this machine, chosen when they are first asked for.
const Kernels& kernels();
