// The operators: from tensors to a row problem, and from a row problem to threads.
//
// Only torch's stable interface is used, and the C functions that its compiled packages (AOTInductor) call, so that
// one binary serves every torch from 2.10 on. Callers check shapes, dtypes and devices; what is checked here keeps
// memory safe.

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#include "aligned_buffer.h"
#include "boundary.h"
#include "dispatch.h"
#include "row_problem.h"
#include "tensors.h"
#include "threads.h"

namespace batchdot {

// The least number of elements per thread, about 10 µs of work.
constexpr int64_t kGrain = 32768;

thread_local bool single_threaded = false;

static Operand operand(const TensorInfo& info) {
  Operand result;
  result.data = info.data;
  result.stride = info.strides[info.rank - 1];
  result.row_stride = 0;
  for (int axis = 0; axis + 1 < info.rank; ++axis) result.strides[axis] = info.strides[axis];
  return result;
}

// Drop group axes of size 1, and join those that every operand steps through alike.
static void join_axes(RowProblem& problem) {
  int kept = 0;
  for (int axis = 0; axis < problem.axes; ++axis) {
    if (problem.sizes[axis] == 1) continue;
    bool joins = kept > 0;
    for (Operand* o : {&problem.x, &problem.y, &problem.out})
      joins = joins && o->strides[kept - 1] == o->strides[axis] * problem.sizes[axis];
    int to = joins ? kept - 1 : kept++;
    problem.sizes[to] = joins ? problem.sizes[to] * problem.sizes[axis] : problem.sizes[axis];
    for (Operand* o : {&problem.x, &problem.y, &problem.out}) o->strides[to] = o->strides[axis];
  }
  problem.axes = kept;
}

static void check_rows(const TensorInfo& x, const TensorInfo& y) {
  STD_TORCH_CHECK(x.rank > 0 && x.rank == y.rank, "batchdot: rows of tensors of different rank");
  STD_TORCH_CHECK(x.dtype == y.dtype && x.kernel_index() >= 0, "batchdot: no kernel for rows of such dtypes");
  STD_TORCH_CHECK(x.sizes[x.rank - 1] == y.sizes[y.rank - 1], "batchdot: rows of different sizes");
}

// The problem of rows of x, each with a row of y. The rows of a group share one where y has size 1 and x has not.
// `out` is where results as large as x go; others are packed.
static RowProblem row_problem(const TensorInfo& x, const TensorInfo& y, const TensorInfo& out, double epsilon) {
  RowProblem problem;
  int rank = (int)x.rank;
  check_rows(x, y);
  bool shared = rank > 1 && y.sizes[rank - 2] == 1 && x.sizes[rank - 2] != 1;
  problem.x = operand(x);
  problem.y = operand(y);
  problem.out = operand(out);
  problem.epsilon = epsilon;
  problem.size = x.sizes[rank - 1];
  problem.rows = shared ? x.sizes[rank - 2] : 1;
  problem.x.row_stride = shared ? x.strides[rank - 2] : 0;
  problem.axes = rank - 1 - shared;
  problem.groups = 1;
  for (int axis = 0; axis < problem.axes; ++axis) {
    STD_TORCH_CHECK(x.sizes[axis] == y.sizes[axis], "batchdot: different numbers of rows");
    problem.groups *= problem.sizes[axis] = x.sizes[axis];
  }
  join_axes(problem);
  return problem;
}

static void run(const Kernel (&table)[4], const TensorInfo& x, const RowProblem& problem, int64_t count,
                int64_t elements_each) {
  Kernel kernel = table[x.kernel_index()];
  for_ranges(count, kGrain / (elements_each + 1) + 1,
             [&](int64_t begin, int64_t end) { kernel(problem, begin, end); });
}

// One number for each row of x.
static Tensor reduce_rows(const Kernel (&table)[4], const Tensor& x_tensor, const Tensor& y_tensor, double epsilon,
                          bool keepdim) {
  TensorInfo x(x_tensor), y(y_tensor);
  RowProblem problem = row_problem(x, y, x, epsilon);
  int64_t sizes[kMaxAxes];
  for (int64_t axis = 0; axis < x.rank; ++axis) sizes[axis] = axis + 1 < x.rank ? x.sizes[axis] : 1;
  Tensor out = empty(keepdim ? x.rank : x.rank - 1, sizes, x.dtype);
  problem.out.data = out.data_ptr();
  run(table, x, problem, problem.groups * problem.rows, problem.size);
  return out;
}

static Tensor row_product(const Tensor& x, const Tensor& y, bool keepdim) {
  return reduce_rows(kernels().product, x, y, 0, keepdim);
}

static Tensor row_cosine(const Tensor& x, const Tensor& y, double epsilon, bool keepdim) {
  return reduce_rows(kernels().cosine, x, y, epsilon, keepdim);
}

// `gradient` has a number for each row of x, packed or one for all. A gradient that is not needed is empty.
static std::tuple<Tensor, Tensor> gradients(const Kernel (&table)[4], const Tensor& gradient, const Tensor& x_tensor,
                                            const Tensor& y_tensor, double epsilon, bool for_x, bool for_y) {
  TensorInfo x(x_tensor), y(y_tensor), g(gradient);
  RowProblem problem = row_problem(x, y, x, epsilon);
  int64_t count = problem.groups * problem.rows;
  bool packed = gradient.is_contiguous();
  STD_TORCH_CHECK((packed || g.is_one_number()) && g.count() == count && g.dtype == x.dtype,
                  "batchdot: the gradient of rows should have a number for each, packed, of their dtype");
  auto bytes = (int64_t)aoti_torch_dtype_element_size(g.dtype);
  AlignedBuffer<char> copies(packed ? 0 : count * bytes);
  for (int64_t i = 0; !packed && i < count; ++i) std::memcpy(copies.data + i * bytes, g.data, bytes);
  // The kernel of products writes the gradient to columns of matrices as the matrices are laid out.
  bool columns = &table == &kernels().product_backward && has_columns(problem) && x.kernel_index() != 1;
  int64_t x_sizes[kMaxAxes];
  if (columns) {
    std::copy(x.sizes, x.sizes + x.rank, x_sizes);
    std::swap(x_sizes[x.rank - 1], x_sizes[x.rank - 2]);
    x.sizes = x_sizes;
  }
  Tensor x_gradient = packed_as(x, for_x), y_gradient = packed_as(y, for_y);
  problem.gradient = packed ? g.data : copies.data;
  problem.x_gradient = for_x ? x_gradient.data_ptr() : nullptr;
  problem.y_gradient = for_y ? y_gradient.data_ptr() : nullptr;
  run(table, x, problem, problem.groups, problem.rows * problem.size);
  return {columns && for_x ? transposed(x_gradient) : x_gradient, y_gradient};
}

static std::tuple<Tensor, Tensor> row_product_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                       bool for_x, bool for_y) {
  return gradients(kernels().product_backward, gradient, x, y, 0, for_x, for_y);
}

static std::tuple<Tensor, Tensor> row_cosine_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                      double epsilon, bool for_x, bool for_y) {
  return gradients(kernels().cosine_backward, gradient, x, y, epsilon, for_x, for_y);
}

// The problem of a cosine matrix: in each group, every row of x with every row of y.
static RowProblem matrix_problem(const TensorInfo& x, const TensorInfo& y, double epsilon) {
  check_rows(x, y);
  STD_TORCH_CHECK(x.rank == 2 || x.rank == 3, "batchdot: matrices should have 2 or 3 axes");
  STD_TORCH_CHECK(x.rank == 2 || x.sizes[0] == y.sizes[0], "batchdot: different numbers of matrices");
  RowProblem problem;
  problem.x = operand(x);
  problem.y = operand(y);
  problem.x.row_stride = x.strides[x.rank - 2];
  problem.y.row_stride = y.strides[y.rank - 2];
  problem.axes = (int)x.rank - 2;
  problem.sizes[0] = problem.groups = x.rank == 3 ? x.sizes[0] : 1;
  problem.rows = x.sizes[x.rank - 2];
  problem.columns = y.sizes[y.rank - 2];
  problem.size = x.sizes[x.rank - 1];
  problem.epsilon = epsilon;
  return problem;
}

// The product of matrices by torch's own multiplication.
static void multiply(const Tensor& out, const Tensor& left, const Tensor& right) {
  auto product = out.dim() == 3 ? aoti_torch_cpu_bmm_out : aoti_torch_cpu_mm_out;
  STABLE_TORCH_ERROR_CODE_CHECK(product(out.get(), left.get(), right.get()));
}

static Tensor cosine_matrix(const Tensor& x_tensor, const Tensor& y_tensor, double epsilon) {
  TensorInfo x(x_tensor), y(y_tensor);
  RowProblem problem = matrix_problem(x, y, epsilon);
  const int64_t sizes[3] = {problem.groups, problem.rows, problem.columns};
  Tensor out = empty(x.rank, sizes + 3 - x.rank, x.dtype);
  request_huge_pages(out, problem.groups * problem.rows * problem.columns, x.dtype);
  multiply(out, x_tensor, transposed(y_tensor));
  problem.out.data = out.data_ptr();
  run(kernels().scale_products, x, problem, problem.groups * problem.rows, problem.columns + problem.size);
  return out;
}

static Tensor unit(const Tensor& tensor, double epsilon) {
  Tensor out = empty_as(tensor);
  TensorInfo x(tensor);
  RowProblem problem = row_problem(x, x, TensorInfo(out), epsilon);
  run(kernels().unit, x, problem, problem.groups, problem.size);
  return out;
}

// Through the unit vectors of one factor: the gradient to a product of unit vectors, then that to the vectors.
static Tensor gradient_of_units(const Tensor& gradient, const Tensor& x_tensor, const Tensor& y, double epsilon,
                                bool wanted) {
  TensorInfo x(x_tensor);
  Tensor out = packed_as(x, wanted);
  if (!wanted) return out;
  multiply(out, gradient, unit(y, epsilon));
  TensorInfo unit_gradient(out);
  RowProblem problem = row_problem(x, unit_gradient, unit_gradient, epsilon);
  run(kernels().unit_backward, x, problem, problem.groups, problem.size);
  return out;
}

static std::tuple<Tensor, Tensor> cosine_matrix_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                         double epsilon, bool for_x, bool for_y) {
  matrix_problem(TensorInfo(x), TensorInfo(y), epsilon);  // checks
  return {gradient_of_units(gradient, x, y, epsilon, for_x),
          gradient_of_units(transposed(gradient), y, x, epsilon, for_y)};
}

// Derivatives are rules in Python, which cost 5 µs a call even where none is needed; the overload `values` has none.
STABLE_TORCH_LIBRARY(batchdot, library) {
  library.def("row_product(Tensor x, Tensor y, bool keepdim) -> Tensor");
  library.def("row_product.values(Tensor x, Tensor y, bool keepdim) -> Tensor");
  library.def("row_cosine(Tensor x, Tensor y, float epsilon, bool keepdim) -> Tensor");
  library.def("row_cosine.values(Tensor x, Tensor y, float epsilon, bool keepdim) -> Tensor");
  library.def(
      "row_product_backward(Tensor gradient, Tensor x, Tensor y, bool for_x, bool for_y) -> (Tensor, Tensor)");
  library.def(
      "row_cosine_backward(Tensor gradient, Tensor x, Tensor y, float epsilon, bool for_x, bool for_y)"
      " -> (Tensor, Tensor)");
  library.def("cosine_matrix(Tensor x, Tensor y, float epsilon) -> Tensor");
  library.def("cosine_matrix.values(Tensor x, Tensor y, float epsilon) -> Tensor");
  library.def(
      "cosine_matrix_backward(Tensor gradient, Tensor x, Tensor y, float epsilon, bool for_x, bool for_y)"
      " -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) {
  library.impl("row_product", BD_BOX(&row_product));
  library.impl("row_product.values", BD_BOX(&row_product));
  library.impl("row_cosine", BD_BOX(&row_cosine));
  library.impl("row_cosine.values", BD_BOX(&row_cosine));
  library.impl("row_product_backward", BD_BOX(&row_product_backward));
  library.impl("row_cosine_backward", BD_BOX(&row_cosine_backward));
  library.impl("cosine_matrix", BD_BOX(&cosine_matrix));
  library.impl("cosine_matrix.values", BD_BOX(&cosine_matrix));
  library.impl("cosine_matrix_backward", BD_BOX(&cosine_matrix_backward));
}

}  // namespace batchdot

#define BD_EXPORT extern "C" __attribute__((visibility("default")))

// Make the operators single-threaded for all later calls from the calling thread.
BD_EXPORT void batchdot_set_single_threaded() { batchdot::single_threaded = true; }

// The name of the instruction set that is used.
BD_EXPORT const char* batchdot_instructions() { return batchdot::kernels().name; }
