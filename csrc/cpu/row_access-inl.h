// How kernels walk over the rows of a problem, and over the packs of a row.

#include <cstdint>

#include "aligned_buffer.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_ACCESS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_ACCESS_INL_H_
#undef BATCHDOT_CPU_ROW_ACCESS_INL_H_
#else
#define BATCHDOT_CPU_ROW_ACCESS_INL_H_
#endif

#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// Elements k to k + kLanes of a row; those beyond its size are zero.
template <class T>
BD_INLINE Pack load_at(const T* row, int64_t k, int64_t size) {
  return size - k < kLanes ? load_partial(row + k, size - k) : load_pack(row + k);
}

template <class T>
BD_INLINE void store_at(T* row, int64_t k, int64_t size, const Pack& pack) {
  if (size - k < kLanes)
    store_partial(row + k, size - k, pack);
  else
    store_pack(row + k, pack);
}

// The row itself where its elements touch, or a packed copy of it in `buffer`.
template <class T>
BD_INLINE const T* packed(const T* row, int64_t stride, int64_t size, T* buffer) {
  if (stride == 1) return row;
  for (int64_t k = 0; k < size; ++k) buffer[k] = row[k * stride];
  return buffer;
}

// Call body(row of x, row of y, number of the row) for the rows from begin to end, which are packed.
template <class T, class Body>
BD_INLINE void for_each_row(const RowProblem& problem, int64_t begin, int64_t end, Body body) {
  if (begin == end) return;
  AlignedBuffer<T> x_buffer(problem.x.stride == 1 ? 0 : problem.size);
  AlignedBuffer<T> y_buffer(problem.y.stride == 1 ? 0 : problem.size);
  int64_t group = begin / problem.rows, i = begin % problem.rows;
  for (int64_t row = begin; row < end; ++group, i = 0) {
    const T* x = (const T*)problem.x.data + group_offset(problem, problem.x, group);
    const T* y = (const T*)problem.y.data + group_offset(problem, problem.y, group);
    y = packed(y, problem.y.stride, problem.size, y_buffer.data);
    for (; i < problem.rows && row < end; ++i, ++row)
      body(packed(x + i * problem.x.row_stride, problem.x.stride, problem.size, x_buffer.data), y, row);
  }
}

// Call body(where to write a row of `out`, packed), and copy the row to its place where that is not packed.
template <class T, class Body>
BD_INLINE void write_row(const RowProblem& problem, int64_t row, T* buffer, Body body) {
  T* out = (T*)problem.out.data + group_offset(problem, problem.out, row);
  if (problem.out.stride == 1) return body(out);
  body(buffer);
  for (int64_t k = 0; k < problem.size; ++k) out[k * problem.out.stride] = buffer[k];
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_ACCESS_INL_H_
