// Tensors: what operators read of them, and how new ones are made.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "row_problem.h"

namespace batchdot {

using torch::stable::Tensor;

// Metadata of a tensor, read once: each field costs a call of a C function of torch.
struct TensorInfo {
  int64_t rank;
  int64_t *sizes, *strides;
  int32_t dtype;
  void* data;

  explicit TensorInfo(const Tensor& tensor) {
    AtenTensorHandle handle = tensor.get();
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(handle, &rank));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(handle, &sizes));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(handle, &strides));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(handle, &dtype));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(handle, &data));
  }

  // The dtype's place in a table of kernels, -1 for none.
  int kernel_index() const {
    if (dtype == aoti_torch_dtype_float32()) return 0;
    if (dtype == aoti_torch_dtype_float64()) return 1;
    if (dtype == aoti_torch_dtype_float16()) return 2;
    if (dtype == aoti_torch_dtype_bfloat16()) return 3;
    return -1;
  }

  // Whether it is one number in all places, as the gradient of a sum is.
  bool is_one_number() const {
    for (int64_t axis = 0; axis < rank; ++axis)
      if (sizes[axis] > 1 && strides[axis] != 0) return false;
    return true;
  }

  int64_t count() const {
    int64_t count = 1;
    for (int64_t axis = 0; axis < rank; ++axis) count *= sizes[axis];
    return count;
  }
};

// Memory that is written for the first time costs a page fault for every 4 KiB: 22 ms for 32 MiB where that was
// measured, 4 ms in huge pages, which Linux gives on request.
inline void request_huge_pages(const Tensor& tensor, int64_t count, int32_t dtype) {
#if defined(__linux__)
  constexpr uintptr_t kPage = 4096;
  constexpr int64_t kLarge = 4 << 20;
  if (count < kLarge / 8) return;  // 8 bytes are the most of an element
  int64_t bytes = count * (int64_t)aoti_torch_dtype_element_size(dtype);
  if (bytes < kLarge) return;
  auto data = (uintptr_t)tensor.data_ptr();
  uintptr_t begin = (data + kPage - 1) / kPage * kPage, end = (data + bytes) / kPage * kPage;
  madvise((void*)begin, end - begin, MADV_HUGEPAGE);  // a hint: it may be refused
#endif
}

inline Tensor empty(int64_t rank, const int64_t* sizes, int32_t dtype) {
  int64_t strides[kMaxAxes], stride = 1;
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
inline Tensor empty_as(const Tensor& other) {
  Tensor tensor = torch::stable::empty_like(other);
  TensorInfo info(other);
  request_huge_pages(tensor, info.count(), info.dtype);
  return tensor;
}

inline Tensor packed_as(const TensorInfo& other, bool wanted) {
  const int64_t none[1] = {0};
  Tensor tensor = wanted ? empty(other.rank, other.sizes, other.dtype) : empty(1, none, other.dtype);
  if (wanted) request_huge_pages(tensor, other.count(), other.dtype);
  return tensor;
}

inline Tensor transposed(const Tensor& matrices) { return torch::stable::transpose(matrices, -2, -1); }

}  // namespace batchdot
