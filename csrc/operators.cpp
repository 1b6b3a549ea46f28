// The operators: from tensors to a task, and from a task to threads.
//
// Only torch's stable interface is used, so that one binary serves every torch from 2.10 on. Shapes,
// dtypes and devices were checked by whoever calls; what is checked here keeps memory safe.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <tuple>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "task.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// A thread is worth waking for so many elements, about 10 µs of work.
constexpr int64_t GRAIN = 32768;

// Where a dtype's kernel is in a table, -1 for none.
static int index_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return 0;
    case ScalarType::Double: return 1;
    case ScalarType::Half: return 2;
    case ScalarType::BFloat16: return 3;
    default: return -1;
  }
}

// Memory that is written for the first time costs a page fault for every 4 KiB: 22 ms for 32 MiB where
// that was measured, 4 ms in huge pages. Linux gives those to who asks.
static void ask_for_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t PAGE = 4096;
  uintptr_t begin = ((uintptr_t)data + PAGE - 1) / PAGE * PAGE, end = ((uintptr_t)data + bytes) / PAGE * PAGE;
  if (bytes >= (4 << 20)) madvise((void*)begin, end - begin, MADV_HUGEPAGE);  // a hint: it may be refused
#endif
}

static Tensor empty(int64_t rank, const int64_t* sizes, const Tensor& like) {
  int64_t strides[MOST_AXES], stride = 1;
  for (int64_t axis = rank - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= sizes[axis] > 1 ? sizes[axis] : 1;
  }
  int32_t dtype;
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(like.get(), &dtype));
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(rank, sizes, strides, dtype, aoti_torch_device_type_cpu(), 0, &handle));
  Tensor tensor(handle);
  ask_for_huge_pages(tensor.data_ptr(), tensor.numel() * (int64_t)aoti_torch_dtype_element_size(dtype));
  return tensor;
}

// As large as another and laid out like it, where that is without gaps or overlaps.
static Tensor empty_as(const Tensor& other) {
  Tensor tensor = torch::stable::empty_like(other);
  int32_t dtype;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(other.get(), &dtype));
  ask_for_huge_pages(tensor.data_ptr(), tensor.numel() * (int64_t)aoti_torch_dtype_element_size(dtype));
  return tensor;
}

static Operand operand(const Tensor& tensor) {
  Operand result;
  auto strides = tensor.strides();
  int rank = (int)strides.size();
  result.data = tensor.data_ptr();
  result.stride = strides[rank - 1];
  result.row_stride = 0;
  for (int axis = 0; axis + 1 < rank; ++axis) result.strides[axis] = strides[axis];
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

// The task of rows of x, each with a row of y. The rows of a group share one where y has size 1 and x
// has not. `out` is given where results are as large as x, and found by strides.
static Task task_of(const Tensor& x, const Tensor& y, double epsilon, const Tensor* out = nullptr) {
  Task task;
  auto sizes = x.sizes(), others = y.sizes();
  int rank = (int)sizes.size();
  STD_TORCH_CHECK(rank > 0 && rank == (int)others.size(), "batchdot: rows of tensors of different rank");
  STD_TORCH_CHECK(index_of(x) >= 0 && index_of(x) == index_of(y), "batchdot: no kernel for rows of such dtypes");
  STD_TORCH_CHECK(sizes[rank - 1] == others[rank - 1], "batchdot: rows of different sizes");
  bool shared = rank > 1 && others[rank - 2] == 1 && sizes[rank - 2] != 1;
  task.x = operand(x);
  task.y = operand(y);
  task.out = operand(out ? *out : x);
  task.epsilon = epsilon;
  task.size = sizes[rank - 1];
  task.rows = shared ? sizes[rank - 2] : 1;
  task.x.row_stride = shared ? task.x.strides[rank - 2] : 0;
  task.axes = rank - 1 - shared;
  task.groups = 1;
  for (int axis = 0; axis < task.axes; ++axis) {
    STD_TORCH_CHECK(sizes[axis] == others[axis], "batchdot: different numbers of rows");
    task.groups *= task.sizes[axis] = sizes[axis];
  }
  join_axes(task);
  return task;
}

static void run(const Kernel (&table)[4], const Tensor& x, const Task& task, int64_t count, int64_t elements_each) {
  Kernel kernel = table[index_of(x)];
  int64_t grain = GRAIN / (elements_each + 1) + 1;
  if (count == 0) return;
  if (count <= grain)
    kernel(task, 0, count);
  else
    torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { kernel(task, begin, end); });
}

// One number for each row of x.
static Tensor number_each(const Kernel (&table)[4], const Tensor& x, const Tensor& y, double epsilon, bool keepdim) {
  Task task = task_of(x, y, epsilon);
  int64_t sizes[MOST_AXES], rank = x.dim();
  for (int64_t axis = 0; axis < rank; ++axis) sizes[axis] = axis + 1 < rank ? x.size(axis) : 1;
  Tensor out = empty(keepdim ? rank : rank - 1, sizes, x);
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
static std::tuple<Tensor, Tensor> row_cosine_backward(const Tensor& gradient, const Tensor& x, const Tensor& y,
                                                      double epsilon, bool for_x, bool for_y) {
  Task task = task_of(x, y, epsilon);
  STD_TORCH_CHECK(gradient.is_contiguous() && gradient.numel() == task.groups * task.rows &&
                      index_of(gradient) == index_of(x),
                  "batchdot: the gradient of rows should have a number for each, packed, of their dtype");
  const int64_t none[1] = {0};
  Tensor x_gradient = for_x ? empty(x.dim(), x.sizes().data(), x) : empty(1, none, x);
  Tensor y_gradient = for_y ? empty(y.dim(), y.sizes().data(), y) : empty(1, none, y);
  task.gradient = gradient.data_ptr();
  task.x_gradient = for_x ? x_gradient.data_ptr() : nullptr;
  task.y_gradient = for_y ? y_gradient.data_ptr() : nullptr;
  run(kernels().cosine_backward, x, task, task.groups, task.rows * task.size);
  return {x_gradient, y_gradient};
}

static Tensor row_unit(const Tensor& x, double epsilon) {
  Tensor out = empty_as(x);
  run(kernels().unit, x, task_of(x, x, epsilon, &out), x.size(-1) ? x.numel() / x.size(-1) : 0, x.size(-1));
  return out;
}

static Tensor row_unit_backward(const Tensor& gradient, const Tensor& x, double epsilon) {
  Tensor out = empty_as(x);
  run(kernels().unit_backward, x, task_of(x, gradient, epsilon, &out), x.size(-1) ? x.numel() / x.size(-1) : 0,
      x.size(-1));
  return out;
}

// Derivatives are a rule in Python (kernels/_operators.py), which costs 5 µs a call although nobody asks
// for one; the overload `values` has none.
STABLE_TORCH_LIBRARY(batchdot, library) {
  library.def("row_product(Tensor x, Tensor y, bool keepdim) -> Tensor");
  library.def("row_product.values(Tensor x, Tensor y, bool keepdim) -> Tensor");
  library.def("row_cosine(Tensor x, Tensor y, float epsilon, bool keepdim) -> Tensor");
  library.def("row_cosine.values(Tensor x, Tensor y, float epsilon, bool keepdim) -> Tensor");
  library.def(
      "row_cosine_backward(Tensor gradient, Tensor x, Tensor y, float epsilon, bool for_x, bool for_y)"
      " -> (Tensor, Tensor)");
  library.def("row_unit(Tensor x, float epsilon) -> Tensor");
  library.def("row_unit.values(Tensor x, float epsilon) -> Tensor");
  library.def("row_unit_backward(Tensor gradient, Tensor x, float epsilon) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(batchdot, CPU, library) {
  library.impl("row_product", TORCH_BOX(&row_product));
  library.impl("row_product.values", TORCH_BOX(&row_product));
  library.impl("row_cosine", TORCH_BOX(&row_cosine));
  library.impl("row_cosine.values", TORCH_BOX(&row_cosine));
  library.impl("row_cosine_backward", TORCH_BOX(&row_cosine_backward));
  library.impl("row_unit", TORCH_BOX(&row_unit));
  library.impl("row_unit.values", TORCH_BOX(&row_unit));
  library.impl("row_unit_backward", TORCH_BOX(&row_unit_backward));
}

// The name of the instruction set that is used.
extern "C" __attribute__((visibility("default"))) const char* batchdot_instructions() { return kernels().name; }
