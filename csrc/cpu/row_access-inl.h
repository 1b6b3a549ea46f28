// How kernels walk over the rows of a problem, and over the packs of a row.

#include <cstdint>
#include <cstring>

#include "aligned_buffer.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_ACCESS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_ACCESS_INL_H_
#undef BATCHDOT_CPU_ROW_ACCESS_INL_H_
#else
#define BATCHDOT_CPU_ROW_ACCESS_INL_H_
#endif

#include "memory-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// --- a row ----------------------------------------------------------------------------------------------------

// Elements k to k + kLanes of a row; those beyond its size are zero.
template <class Number = double, class T>
BD_INLINE PackOf<Number> load_at(const T* row, int64_t k, int64_t size) {
  return size - k < kLanes ? load_partial<Number>(row + k, size - k) : load_pack<Number>(row + k);
}

template <class T, class Number>
BD_INLINE void store_at(T* row, int64_t k, int64_t size, const PackOf<Number>& pack) {
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

// Prefetch the memory after a pack into the nearest cache: hardware fetches rows that follow each other into a farther
// one. 384 bytes take about 30 cycles, twice as long as that takes to answer. Of rows beyond the caches of an AMD EPYC
// (Zen 4) this took the same time as no prefetching; 3 KB and 8 KB ahead took 1.0 to 1.4 times that.
template <class T>
BD_INLINE void prefetch(const T* pack) {
  constexpr int kLine = 64, kAhead = 384;
  for (int byte = 0; byte < int(kLanes * sizeof(T)); byte += kLine)
    __builtin_prefetch((const char*)pack + kAhead + byte);
}

// kLanes elements: a row of fewer, after zeros.
template <class T>
struct Padded {
  T elements[kLanes];

  BD_MEMBER_INLINE const T* fill(const T* row, int64_t size) {
    std::memset(elements, 0, sizeof elements);
    std::memcpy(elements + kLanes - size, row, size * sizeof(T));
    return elements;
  }
};

// The first register of a last pack that has some of its `count` elements.
BD_INLINE int first_of_tail(int64_t count) { return (kLanes - (int)count) / kWidth; }

// Call body(i, a, b) for registers a of x and b of y, from begin to end; i < kRegisters is the register's place in its
// pack. A row has kLanes elements or more: its last pack ends where the row ends, and what was in the pack before is
// masked to zero; registers of nothing else are left out.
template <class T, class U, class Body>
BD_INLINE void for_each_register(const T* x, const U* y, int64_t begin, int64_t end, Body body) {
  int64_t k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    prefetch(x + k);
    if ((const void*)x != (const void*)y) prefetch(y + k);
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i)
      body(i, Memory<T>::load(x + k + i * kWidth), Memory<U>::load(y + k + i * kWidth));
  }
  if (k == end) return;
  const int first = first_of_tail(end - k);
  const int64_t* mask = kTailMask + (end - k);
  k = end - kLanes;
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i)
    if (i >= first)
      body(i, masked(Memory<T>::load(x + k + i * kWidth), mask + i * kWidth),
           masked(Memory<U>::load(y + k + i * kWidth), mask + i * kWidth));
}

// The same with body(i, products).
template <class T, class Body>
BD_INLINE void for_each_product(const T* x, const T* y, int64_t begin, int64_t end, Body body) {
  auto products = [&](int64_t k, int i) BD_LAMBDA_INLINE {
    return product(load_factors(x + k + i * kWidth, Factor<T>()), load_factors(y + k + i * kWidth, Factor<T>()));
  };
  int64_t k = begin;
  for (; k + kLanes <= end; k += kLanes) {
    prefetch(x + k);
    prefetch(y + k);
#pragma GCC unroll 8
    for (int i = 0; i < kRegisters; ++i) body(i, products(k, i));
  }
  if (k == end) return;
  const int first = first_of_tail(end - k);
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i)
    if (i >= first) body(i, masked(products(end - kLanes, i), kTailMask + (end - k) + i * kWidth));
}

// --- the rows of a problem --------------------------------------------------------------------------------------

// Where the rows of a group are; that of y is packed.
template <class T>
struct Group {
  const T *x, *y;

  BD_MEMBER_INLINE Group(const RowProblem& problem, int64_t group, T* buffer)
      : x((const T*)problem.x.data + group_offset(problem, problem.x, group)),
        y(packed((const T*)problem.y.data + group_offset(problem, problem.y, group), problem.y.stride, problem.size,
                 buffer)) {}
};

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
