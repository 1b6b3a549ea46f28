// The arguments of a row kernel: pairs of rows, their layout in memory, and the memory of the results.
#pragma once

#include <cstdint>

namespace batchdot {

constexpr int kMaxAxes = 64;  // torch has no tensor of more

// A tensor of rows of K elements. Strides are in elements.
struct Operand {
  void* data;
  int64_t strides[kMaxAxes];  // of the groups' axes
  int64_t row_stride;         // between the rows of a group; 0 where they share one row
  int64_t stride;             // between the elements of a row
};

// Rows of x and y in groups: the rows of x in a group share a row of y, or a group is one row of each. In a
// cosine matrix a group has `rows` rows of x and `columns` rows of y, and every pair of them is computed.
struct RowProblem {
  Operand x, y, out;
  int axes;
  int64_t sizes[kMaxAxes];     // of the groups' axes; their product is `groups`
  int64_t groups, rows, size;  // `size` is K, the elements of a row
  int64_t columns;
  double epsilon;  // the floor of squared norms
  const void* gradient;
  void *x_gradient, *y_gradient;  // packed; null where not needed
};

// Whether the rows of x that share one of y are columns of a matrix: it is the rows, not their elements, that touch.
inline bool has_columns(const RowProblem& problem) {
  return problem.rows > 1 && problem.x.row_stride == 1 && problem.x.stride != 1;
}

// The element of an operand at which a group begins.
inline int64_t group_offset(const RowProblem& problem, const Operand& operand, int64_t group) {
  int64_t offset = 0;
  for (int axis = problem.axes - 1; axis > 0; --axis) {
    offset += group % problem.sizes[axis] * operand.strides[axis];
    group /= problem.sizes[axis];
  }
  return problem.axes > 0 ? offset + group * operand.strides[0] : 0;
}

}  // namespace batchdot
