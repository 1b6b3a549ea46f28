// Dot products and cosines of several pairs of rows at a time: stage 1 of dot-inl.h, with the same bits.
//
// As many rows as a register has lanes are summed one after another, so that their lanes are joined, and their sums
// judged, rounded and stored, in one register. Notation as in dot-inl.h.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_SEVERAL_ROWS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_SEVERAL_ROWS_INL_H_
#undef BATCHDOT_CPU_SEVERAL_ROWS_INL_H_
#else
#define BATCHDOT_CPU_SEVERAL_ROWS_INL_H_
#endif

#include "dot-inl.h"
#include "lanes-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// --- which rows ------------------------------------------------------------------------------------------------

// Whether several pairs of rows are computed at a time: those of kLanes to kChunk elements, and shorter ones that
// touch.
BD_INLINE bool takes_several_pairs(const RowProblem& problem) {
  int64_t size = problem.size;
  if (problem.rows != 1 || problem.axes != 1 || problem.x.stride != 1 || problem.y.stride != 1) return false;
  if (size >= kLanes) return size <= kChunk;
  return size > 0 && problem.x.strides[0] == size && problem.y.strides[0] == size;
}

// The same of groups of rows of x that share a row of y.
BD_INLINE bool takes_several_of_groups(const RowProblem& problem) {
  int64_t size = problem.size;
  if (problem.rows == 1 || problem.x.stride != 1) return false;
  if (size >= kLanes) return size <= kChunk;
  return 0 < size && size <= kTiny && problem.x.row_stride == size;
}

// Call body(std::integral_constant<int, size>()) for 1 to kTiny.
template <int SIZE = 1, class Body>
BD_INLINE void with_tiny_size(int64_t size, Body body) {
  if (size == SIZE) return body(std::integral_constant<int, SIZE>());
  if constexpr (SIZE < kTiny) with_tiny_size<SIZE + 1>(size, body);
}

// --- their sums -----------------------------------------------------------------------------------------------

// The largest absolute value of elements, found by their bits: those of positive numbers are ordered as the numbers
// are, and those of infinity and NaN are above them. COUNT of them are compared at a time.
template <class T>
constexpr int kFit = kWidth * 8 / (int)sizeof(T);
template <class T, int COUNT = kLanes < kFit<T> ? kLanes : kFit<T>>
struct LargestMagnitude {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int16_t>;
  using Register = Simd<Bits, COUNT>;

  Register bits;

  // GCC 12 stores a member that is initialized rather than assigned in two halves, and waits until it can load them.
  BD_MEMBER_INLINE LargestMagnitude() { bits = Register{}; }

  BD_MEMBER_INLINE void add(const T* from) {
    Register a;
    std::memcpy(&a, from, sizeof a);
    a &= std::numeric_limits<Bits>::max();
    bits = bits > a ? bits : a;
  }

  BD_MEMBER_INLINE void add_pack(const T* from) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += COUNT) add(from + i);
  }

  BD_MEMBER_INLINE double value() const {
    Bits most = join_lanes<COUNT, Bits>(bits, [](auto a, auto b) BD_LAMBDA_INLINE { return a > b ? a : b; });
    T largest;
    std::memcpy(&largest, &most, sizeof largest);
    return (double)largest;
  }
};

// Write a row of kLanes elements or more as factors, and return the largest magnitude of them.
template <class T>
BD_INLINE double write_factors(const T* row, int64_t size, Factor<T>* to) {
  LargestMagnitude<T> largest;
  auto write = [&](int64_t k) BD_LAMBDA_INLINE {
    largest.add_pack(row + k);
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += kWidth) {
      auto factors = load_factors(row + k + i, Factor<T>());
      std::memcpy(to + k + i, &factors, sizeof factors);
    }
  };
  for (int64_t k = 0; k + kLanes <= size; k += kLanes) write(k);
  write(size - kLanes);
  return largest.value();
}

// The lanes of the dot products of ROWS rows of x, each with a row of y, or all with one row of y made factors. Each is
// joined to a register, whose sum has the bits of dot_with_bound. The largest magnitudes of x, and of y unless that is
// factors, join those of other rows. Rows are of kTiny to kChunk elements; kLanes - 1 elements before a row of fewer
// than kLanes are read. Products are formed in F, Factor<T> or double.
template <int ROWS, class F, class T, class U>
BD_INLINE void dot_registers(const T* x, int64_t x_stride, const U* y, int64_t size, LargestMagnitude<T>& x_largest,
                             LargestMagnitude<T>& y_largest, Simd<double>* sums) {
  static_assert(ROWS == 1 || !std::is_same_v<T, U>, "pairs of rows share nothing");
  Pack sum[ROWS] = {};
  auto add = [&](int64_t k, int first, auto body) BD_LAMBDA_INLINE {
    if constexpr (std::is_same_v<T, U>) {
      prefetch(y + k);
      y_largest.add_pack(y + k);
    }
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) {
      const T* from = x + row * x_stride + k;
      prefetch(from);
      x_largest.add_pack(from);
#pragma GCC unroll 8
      for (int i = 0; i < kRegisters; ++i)
        if (i >= first)
          body(i, sum[row].part[i], load_factors(from + i * kWidth, F()), load_factors(y + k + i * kWidth, F()));
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= size; k += kLanes)
    add(k, 0, [](int, auto& to, auto a, auto b) BD_LAMBDA_INLINE { to = add_product(a, b, to); });
  const int64_t* mask = kTailMask + (size - k);
  if (k < size)
    add(size - kLanes, first_of_tail(size - k), [&](int i, auto& to, auto a, auto b) BD_LAMBDA_INLINE {
      to += masked(product(a, b), mask + i * kWidth);
    });
#pragma GCC unroll 4
  for (int row = 0; row < ROWS; ++row) sums[row] = sum_registers(sum[row]);
}

// The dot products of `count` pairs of rows, kWidth at most, as dot_registers has them. Sets `largest` to the largest
// magnitude in x times that in y: K times that bounds M, less closely than dot_with_bound and in less time.
template <class F, class T>
BD_INLINE Simd<double> dot_rows(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t size, int count,
                                double& largest) {
  LargestMagnitude<T> x_largest, y_largest;
  Simd<double> rows[kWidth];
  for (int i = count; i < kWidth; ++i) rows[i] = Simd<double>{};
  for (int i = 0; i < count; ++i)
    dot_registers<1, F>(x + i * x_stride, 0, y + i * y_stride, size, x_largest, y_largest, rows + i);
  largest = x_largest.value() * y_largest.value();
  return sum_each(rows);
}

// dot_and_norms of pairs of rows, as dot_rows.
struct RegistersOfNorms {
  Simd<double> xy, xx, yy;
};

template <class T>
BD_INLINE RegistersOfNorms dot_and_norms_of_rows(const T* x, int64_t x_stride, const T* y, int64_t y_stride,
                                                 int64_t size, int count) {
  Simd<double> xy[kWidth], xx[kWidth], yy[kWidth];
  for (int i = count; i < kWidth; ++i) xy[i] = xx[i] = yy[i] = Simd<double>{};
  for (int i = 0; i < count; ++i) {
    LanesOfNorms lanes = lanes_of_norms(x + i * x_stride, y + i * y_stride, 0, size);
    xy[i] = sum_registers(lanes.xy);
    xx[i] = sum_registers(lanes.xx);
    yy[i] = sum_registers(lanes.yy);
  }
  return {sum_each(xy), sum_each(xx), sum_each(yy)};
}

// Whether for_each_several takes the rows.
BD_INLINE bool takes_several(const RowProblem& problem) {
  return problem.size >= kLanes && (takes_several_pairs(problem) || takes_several_of_groups(problem));
}

// Call body(x, stride of x, y, stride of y, count, number of the first row) for the rows from begin to end, kWidth of
// them or fewer at a time. Rows that share one of y have a stride of 0 there.
template <class T, class Body>
BD_INLINE void for_each_several(const RowProblem& problem, int64_t begin, int64_t end, Body body) {
  const int64_t rows_each = problem.rows, x_stride = rows_each == 1 ? problem.x.strides[0] : problem.x.row_stride;
  const int64_t y_stride = rows_each == 1 ? problem.y.strides[0] : 0;
  AlignedBuffer<T> buffer(problem.y.stride == 1 ? 0 : problem.size);
  for (int64_t row = begin, last; row < end; row = last) {
    const int64_t i = row % rows_each;
    Group<T> at(problem, row / rows_each, buffer.data);
    last = rows_each == 1 || row - i + rows_each > end ? end : row - i + rows_each;
    const T *x = at.x + i * x_stride, *y = at.y;
    for (int count; row < last; row += count, x += count * x_stride, y += count * y_stride) {
      count = last - row < kWidth ? (int)(last - row) : kWidth;
      body(x, x_stride, y, y_stride, count, row);
    }
  }
}

// Call body(row of x, row of y, dot_and_norms, number of the row) for the rows from begin to end, which are packed.
template <class T, class Body>
BD_INLINE void for_each_row_with_norms(const RowProblem& problem, int64_t begin, int64_t end, Body body) {
  int64_t size = problem.size;
  if (!takes_several(problem))
    return for_each_row<T>(problem, begin, end, [&](const T* x, const T* y, int64_t row) BD_LAMBDA_INLINE {
      body(x, y, dot_and_norms(x, y, size), row);
    });
  for_each_several<T>(
      problem, begin, end,
      [&](const T* x, int64_t x_stride, const T* y, int64_t y_stride, int count, int64_t row) BD_LAMBDA_INLINE {
        RegistersOfNorms sums = dot_and_norms_of_rows(x, x_stride, y, y_stride, size, count);
        for (int i = 0; i < count; ++i)
          body(x + i * x_stride, y + i * y_stride, DotAndNorms{sums.xy[i], sums.xx[i], sums.yy[i]}, row + i);
      });
}

// --- what is accurate -----------------------------------------------------------------------------------------

// The cancellation threshold for a bound on M in place of M. It is raised by more than what M may have been rounded by,
// so that every sum that passes here also passes in dot(): which of the two computes a row changes no bit.
template <class T>
BD_INLINE double threshold_of_bound(int64_t size) {
  return cancellation_threshold<T>(sum_depth(size)) * (1 + 0x1p-20);
}

// is_accurate of a register of sums, of which each has to exceed `least`.
template <class T>
BD_INLINE Simd<int64_t> are_accurate(Simd<double> sums, Simd<double> least) {
  auto accurate = (Simd<int64_t>)(absolute(sums) >= least);
  if constexpr (kMayLeaveFloat<T>) accurate &= (Simd<int64_t>)(absolute(sums) < broadcast(INFINITY));
  return accurate;
}

// Sums of pairs and groups of rows in double, as dot_with_bound and dot_and_norms have them. FloatSums
// (float_sums-inl.h) has the same members.
template <class T>
struct DoubleSums {
  using Number = Factor<T>;
  using Largest = LargestMagnitude<T>;
  static constexpr int kRows = 2, kPadding = 0;

  // Returns a number whose product with the largest magnitude of a row of x bounds M.
  BD_INLINE double write_shared(const T* y, int64_t size, Number* to) {
    return (double)size * write_factors(y, size, to);
  }

  template <int ROWS>
  BD_INLINE void add(const T* x, int64_t x_stride, const Number* y, int64_t size, Largest& largest,
                     Simd<double>* sums) {
    dot_registers<ROWS, Number>(x, x_stride, y, size, largest, largest, sums);
  }

  BD_INLINE Simd<double> sum_pairs(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t size,
                                   int count, Simd<double>& magnitude) {
    double largest;
    auto sums = dot_rows<Number>(x, x_stride, y, y_stride, size, count, largest);
    magnitude = broadcast((double)size * largest);
    return sums;
  }

  BD_INLINE Simd<int64_t> are_right(Simd<double> sums, int64_t size, Simd<double> magnitude) {
    return are_accurate<T>(sums, threshold_of_bound<T>(size) * magnitude + underflow_floor<T>(size));
  }

  BD_INLINE RegistersOfNorms norms_of_pairs(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t size,
                                            int count) {
    return dot_and_norms_of_rows(x, x_stride, y, y_stride, size, count);
  }

  BD_INLINE Simd<int64_t> are_right_cosines(Simd<double>, const RegistersOfNorms& sums, int64_t size, double) {
    return (Simd<int64_t>)is_accurate_cosine<T>(sums, size);
  }
};

// Store the numbers of `count` rows, or those of recompute(i) where they are not accurate.
template <class T, class Recompute>
BD_INLINE void write_accurate(T* out, int count, Simd<double> values, Simd<int64_t> accurate, Recompute recompute) {
  T stored[kWidth];
  Memory<T>::store(count == kWidth ? out : stored, values);
  if (count < kWidth) std::memcpy(out, stored, count * sizeof(T));
  if (holds_everywhere(accurate)) return;
  int64_t good[kWidth];
  std::memcpy(good, &accurate, sizeof good);
  for (int i = 0; i < count; ++i)
    if (!good[i]) store(out + i, recompute(i));
}

// dot, not inlined: it is called for few rows, and inlining would cost the loop over all rows registers.
template <class T>
BD_NOINLINE double recompute_dot(const T* x, const T* y, int64_t size) {
  return dot(x, y, size);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_SEVERAL_ROWS_INL_H_
