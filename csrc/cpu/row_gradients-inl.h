// How gradients of rows are written: each by a rule of its own, or summed over the rows that share one.

#include <cstdint>
#include <cstring>

#include "aligned_buffer.h"
#include "dtypes.h"
#include "row_problem.h"

#if defined(BATCHDOT_CPU_ROW_GRADIENTS_INL_H_) == defined(BD_TARGET_TOGGLE)
#ifdef BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#undef BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#else
#define BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
#endif

#include "memory-inl.h"
#include "row_access-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

BD_INLINE void add_to(double* to, const Pack& a) {
  Pack sum = load_pack(to);
#pragma GCC unroll 8
  for (int i = 0; i < kRegisters; ++i) sum.part[i] += a.part[i];
  store_pack(to, sum);
}

// Write gradients of x and y for groups begin to end. for_each_rule(first, last, write) calls write(x, y, row, rule)
// for the rows from first to last. A rule has functions from packs of both rows to a pack of each gradient, and a
// simple one writes whole rows. The gradient of a row of y that several rows of x share is their sum, formed in double.
template <class T, class Rule, class ForEachRule>
BD_INLINE void write_gradients(const RowProblem& problem, int64_t begin, int64_t end, ForEachRule for_each_rule) {
  int64_t size = problem.size;
  bool sums = problem.rows != 1 && problem.y_gradient;  // a sum of no rows is zero
  AlignedBuffer<double> total(sums ? size + kLanes : 0);
  auto write = [&](const T* x, const T* y, int64_t row, const Rule& rule) BD_LAMBDA_INLINE {
    T* x_gradient = problem.x_gradient ? (T*)problem.x_gradient + row * size : nullptr;
    T* y_gradient = problem.y_gradient && !sums ? (T*)problem.y_gradient + row * size : nullptr;
    if constexpr (Rule::kMayBeSimple)
      if (rule.simple) {
        if (x_gradient) rule.write_x(x, y, size, x_gradient);
        if (y_gradient) rule.write_y(x, y, size, y_gradient);
        if (!sums) return;
        x_gradient = nullptr;
      }
    for (int64_t k = 0; k < size; k += kLanes) {
      Pack a = load_at(x, k, size), b = load_at(y, k, size);
      if (x_gradient) store_at(x_gradient, k, size, rule.stored(rule.of_x(a, b)));
      if (y_gradient) store_at(y_gradient, k, size, rule.stored(rule.of_y(a, b)));
      if (sums) add_to(total.data + k, rule.of_y(a, b));
    }
  };
  if (!sums) return for_each_rule(begin * problem.rows, end * problem.rows, write);
  for (int64_t group = begin; group < end; ++group) {
    std::memset(total.data, 0, (size + kLanes) * sizeof(double));
    for_each_rule(group * problem.rows, (group + 1) * problem.rows, write);
    for (int64_t k = 0; k < size; k += kLanes)
      store_at((T*)problem.y_gradient + group * size, k, size, Rule::stored_sum(load_pack(total.data + k)));
  }
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();

#endif  // BATCHDOT_CPU_ROW_GRADIENTS_INL_H_
