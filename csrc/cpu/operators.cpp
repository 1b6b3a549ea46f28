// The operators: from tensors to a task, and from a task to threads.
//
// Only torch's stable interface is used, and the C functions that its compiled packages (AOTInductor)
// call, so that one binary serves every torch from 2.10 on. Shapes, dtypes and devices were checked by
// whoever calls; what is checked here keeps memory safe.

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "row_problem.h"

using torch::stable::Tensor;

// A thread is worth waking for so many elements, about 10 µs of work.
constexpr int64_t GRAIN = 32768;

// Whether this thread wakes no other: it is one of several that compute at the same time.
static thread_local bool alone = false;

// What a tensor is, asked for once: each question goes through a C function of torch.
struct Facts {
  int64_t rank;
  int64_t *sizes, *strides;
  int32_t dtype;
  void* data;

  explicit Facts(const Tensor& tensor) {
    AtenTensorHandle handle = tensor.get();
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(handle, &rank));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(handle, &sizes));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(handle, &strides));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(handle, &dtype));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(handle, &data));
  }

  // Where the dtype's kernel is in a table, -1 for none.
  int kernel() const {
    if (dtype == aoti_torch_dtype_float32()) return 0;
    if (dtype == aoti_torch_dtype_float64()) return 1;
    if (dtype == aoti_torch_dtype_float16()) return 2;
    if (dtype == aoti_torch_dtype_bfloat16()) return 3;
    return -1;
  }

  int64_t count() const {
    int64_t count = 1;
    for (int64_t axis = 0; axis < rank; ++axis) count *= sizes[axis];
    return count;
  }
};

// Memory that is written for the first time costs a page fault for every 4 KiB: 22 ms for 32 MiB where
// that was measured, 4 ms in huge pages. Linux gives those to who asks.
static void ask_for_huge_pages(const Tensor& tensor) {
#if defined(__linux__)
  constexpr uintptr_t PAGE = 4096;
  constexpr int64_t LARGE = 4 << 20;
  Facts facts(tensor);
  int64_t bytes = facts.count() * (int64_t)aoti_torch_dtype_element_size(facts.dtype);
  uintptr_t begin = ((uintptr_t)facts.data + PAGE - 1) / PAGE * PAGE, end = ((uintptr_t)facts.data + bytes) / PAGE * PAGE;
  if (bytes >= LARGE) madvise((void*)begin, end - begin, MADV_HUGEPAGE);  // a hint: it may be refused
#endif
}

static Tensor empty(int64_t rank, const int64_t* sizes, int32_t dtype) {
  int64_t strides[MOST_AXES], stride = 1;
  for (int64_t axis = rank - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= sizes[axis] > 1 ? sizes[axis] : 1;
  }
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(rank, sizes, strides, dtype, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// As large as another and laid out like it, where that is without gaps or overlaps.
static Tensor empty_as(const Tensor& other) {
  Tensor tensor = torch::stable::empty_like(other);
  ask_for_huge_pages(tensor);
  return tensor;
}

static Tensor packed_as(const Facts& other, bool wanted) {
  const int64_t none[1] = {0};
  Tensor tensor = wanted ? empty(other.rank, other.sizes, other.dtype) : empty(1, none, other.dtype);
  ask_for_huge_pages(tensor);
  return tensor;
}

static Operand operand(const Facts& facts) {
  Operand result;
  result.data = facts.data;
  result.stride = facts.strides[facts.rank - 1];
  result.row_stride = 0;
  for (int axis = 0; axis + 1 < facts.rank; ++axis) result.strides[axis] = facts.strides[axis];
  return result;
}

// Drop group axes of size 1, and join those that every operand steps through alike.
static void join_axes(Task& task) {
  int kept = 0;
  for (int axis = 0; axis < task.axes; ++axis) {
    if (task.sizes[axis] == 1) continue;
    bool joins = kept > 0;
    for (Operand* o : {&task.x, &task.y, &task.out})
      joins = joins && o->strides[kept - 1] == o->strides[axis] * task.sizes[axis];
    int to = joins ? kept - 1 : kept++;
    task.sizes[to] = joins ? task.sizes[to] * task.sizes[axis] : task.sizes[axis];
    for (Operand* o : {&task.x, &task.y, &task.out}) o->strides[to] = o->strides[axis];
  }
  task.axes = kept;
}

static void check_rows(const Facts& x, const Facts& y) {
  STD_TORCH_CHECK(x.rank > 0 && x.rank == y.rank, "batchdot: rows of tensors of different rank");
  STD_TORCH_CHECK(x.dtype == y.dtype && x.kernel() >= 0, "batchdot: no kernel for rows of such dtypes");
  STD_TORCH_CHECK(x.sizes[x.rank - 1] == y.sizes[y.rank - 1], "batchdot: rows of different sizes");
}

// The task of rows of x, each with a row of y. The rows of a group share one where y has size 1 and x
// has not. `out` is where results as large as x go; others are packed.
static Task task_of(const Facts& x, const Facts& y, const Facts& out, double epsilon) {
  Task task;
  int rank = (int)x.rank;
  check_rows(x, y);
  bool shared = rank > 1 && y.sizes[rank - 2] == 1 && x.sizes[rank - 2] != 1;
  task.x = operand(x);
  task.y = operand(y);
  task.out = operand(out);
  task.epsilon = epsilon;
  task.size = x.sizes[rank - 1];
  task.rows = shared ? x.sizes[rank - 2] : 1;
  task.x.row_stride = shared ? x.strides[rank - 2] : 0;
  task.axes = rank - 1 - shared;
  task.groups = 1;
  for (int axis = 0; axis < task.axes; ++axis) {
    STD_TORCH_CHECK(x.sizes[axis] == y.sizes[axis], "batchdot: different numbers of rows");
    task.groups *= task.sizes[axis] = x.sizes[axis];
  }
  join_axes(task);
  return task;
}

static void run(const Kernel (&table)[4], const Facts& x, const Task& task, int64_t count, int64_t elements_each) {
  Kernel kernel = table[x.kernel()];
  int64_t grain = GRAIN / (elements_each + 1) + 1;
  if (count == 0) return;
  if (alone || count <= grain)
    kernel(task, 0, count);
  else
    torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { kernel(task, begin, end); });
}

// One number for each row of x.
static Tensor number_each(const Kernel (&table)[4], const Tensor& x_tensor, const Tensor& y_tensor, double epsilon,
                          bool keepdim) {
  Facts x(x_tensor), y(y_tensor);
  Task task = task_of(x, y, x, epsilon);
  int64_t sizes[MOST_AXES];
  for (int64_t axis = 0; axis < x.rank; ++axis) sizes[axis] = axis + 1 < x.rank ? x.sizes[axis] : 1;
  Tensor out = empty(keepdim ? x.rank : x.rank - 1, sizes, x.dtype);
  task.out.data = out.data_ptr();
  run(table, x, task, task.groups * task.rows, task.size);
  return out;
}

static Tensor row_product(const Tensor& x, const Tensor& y, bool keepdim) {
  return number_each(kernels().product, x, y, 0, keepdim);
}

static Tensor row_cosine(const Tensor& x, const Tensor& y, double epsilon, bool keepdim) {
  return number_each(kernels().cosine, x, y, epsilon, keepdim);
}

// `gradient` is packed and has a number for each row of x. A gradient that is not asked for is empty.
static std::tuple<Tensor, Tensor> gradients(const Kernel (&table)[4], const Tensor& gradient, const Tensor& x_tensor,
                                            const Tensor& y_tensor, double epsilon, bool for_x, bool for_y) {
  Facts x(x_tensor), y(y_tensor), g(gradient);
  Task task = task_of(x, y, x, epsilon);
  STD_TORCH_CHECK(gradient.is_contiguous() && g.count() == task.groups * task.rows && g.dtype == x.dtype,
                  "batchdot: the gradient of rows should have a number for each, packed, of their dtype");
  Tensor x_gradient = packed_as(x, for_x), y_gradient = packed_as(y, for_y);
  task.gradient = g.data;
  task.x_gradient = for_x ? x_gradient.data_ptr() : nullptr;
  task.y_gradient = for_y ? y_gradient.data_ptr() : nullptr;
  run(table, x, task, task.groups, task.rows * task.size);
  return {x_gradient, y_gradient};
}

static std::tuple<Tensor, Tensor> row_product_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                       bool for_x, bool for_y) {
  return gradients(kernels().product_backward, gradient, x, y, 0, for_x, for_y);
}

static std::tuple<Tensor, Tensor> row_cosine_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                      double epsilon, bool for_x, bool for_y) {
  return gradients(kernels().cosine_backward, gradient, x, y, epsilon, for_x, for_y);
}

// The task of rows of x that each meet all the rows of y in their group.
static Task task_of_matrices(const Facts& x, const Facts& y, double epsilon) {
  check_rows(x, y);
  STD_TORCH_CHECK(x.rank == 2 || x.rank == 3, "batchdot: matrices should have 2 or 3 axes");
  STD_TORCH_CHECK(x.rank == 2 || x.sizes[0] == y.sizes[0], "batchdot: different numbers of matrices");
  Task task;
  task.x = operand(x);
  task.y = operand(y);
  task.x.row_stride = x.strides[x.rank - 2];
  task.y.row_stride = y.strides[y.rank - 2];
  task.axes = (int)x.rank - 2;
  task.sizes[0] = task.groups = x.rank == 3 ? x.sizes[0] : 1;
  task.rows = x.sizes[x.rank - 2];
  task.columns = y.sizes[y.rank - 2];
  task.size = x.sizes[x.rank - 1];
  task.epsilon = epsilon;
  return task;
}

// The product of matrices by torch's own multiplication.
static void multiply(const Tensor& out, const Tensor& left, const Tensor& right) {
  auto product = out.dim() == 3 ? aoti_torch_cpu_bmm_out : aoti_torch_cpu_mm_out;
  STABLE_TORCH_ERROR_CODE_CHECK(product(out.get(), left.get(), right.get()));
}

static Tensor transposed(const Tensor& matrices) { return torch::stable::transpose(matrices, -2, -1); }

static Tensor cosine_matrix(const Tensor& x_tensor, const Tensor& y_tensor, double epsilon) {
  Facts x(x_tensor), y(y_tensor);
  Task task = task_of_matrices(x, y, epsilon);
  const int64_t sizes[3] = {task.groups, task.rows, task.columns};
  Tensor out = empty(x.rank, sizes + 3 - x.rank, x.dtype);
  ask_for_huge_pages(out);
  multiply(out, x_tensor, transposed(y_tensor));
  task.out.data = out.data_ptr();
  run(kernels().scale_products, x, task, task.groups * task.rows, task.columns + task.size);
  return out;
}

static Tensor unit(const Tensor& tensor, double epsilon) {
  Tensor out = empty_as(tensor);
  Facts x(tensor);
  Task task = task_of(x, x, Facts(out), epsilon);
  run(kernels().unit, x, task, task.groups, task.size);
  return out;
}

// Through the unit vectors of one factor: the gradient of a product of units, then that of the units.
static Tensor gradient_of_units(const Tensor& gradient, const Tensor& x_tensor, const Tensor& y, double epsilon,
                                bool wanted) {
  Facts x(x_tensor);
  Tensor out = packed_as(x, wanted);
  if (!wanted) return out;
  multiply(out, gradient, unit(y, epsilon));
  Facts of_units(out);
  Task task = task_of(x, of_units, of_units, epsilon);
  run(kernels().unit_backward, x, task, task.groups, task.size);
  return out;
}

static std::tuple<Tensor, Tensor> cosine_matrix_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                         double epsilon, bool for_x, bool for_y) {
  task_of_matrices(Facts(x), Facts(y), epsilon);  // checks
  return {gradient_of_units(gradient, x, y, epsilon, for_x),
          gradient_of_units(transposed(gradient), y, x, epsilon, for_y)};
}

// Derivatives are a rule in Python (kernels/_operators.py), which costs 5 µs a call although nobody asks
// for one; the overload `values` has none.
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
  library.impl("row_product", TORCH_BOX(&row_product));
  library.impl("row_product.values", TORCH_BOX(&row_product));
  library.impl("row_cosine", TORCH_BOX(&row_cosine));
  library.impl("row_cosine.values", TORCH_BOX(&row_cosine));
  library.impl("row_product_backward", TORCH_BOX(&row_product_backward));
  library.impl("row_cosine_backward", TORCH_BOX(&row_cosine_backward));
  library.impl("cosine_matrix", TORCH_BOX(&cosine_matrix));
  library.impl("cosine_matrix.values", TORCH_BOX(&cosine_matrix));
  library.impl("cosine_matrix_backward", TORCH_BOX(&cosine_matrix_backward));
}

// From now on this thread computes by itself what it is asked for.
extern "C" __attribute__((visibility("default"))) void batchdot_compute_alone() { alone = true; }

// The name of the instruction set that is used.
extern "C" __attribute__((visibility("default"))) const char* batchdot_instructions() { return kernels().name; }
