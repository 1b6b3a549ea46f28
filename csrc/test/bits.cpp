// Print a digest of the bits that every kernel computes, to compare processors and instruction sets.
//
//   g++ -std=c++17 -O3 -ffp-contract=off -Icsrc/test/shim -Icsrc/cpu csrc/test/bits.cpp csrc/cpu/dispatch.cpp -o bits
//   ./bits
//
// A line for each dtype, kernel, size of a row, layout and kind of numbers. BATCHDOT_INSTRUCTIONS chooses the
// instruction set. Every NaN counts as the same: IEEE 754 leaves open which one an operation returns.

#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "dispatch.h"
#include "dtypes.h"
#include "row_problem.h"

namespace {

using batchdot::BFloat16;
using batchdot::Half;
using batchdot::Operand;
using batchdot::RowProblem;

constexpr int64_t kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 64, 100, 1000, 8193};
constexpr double kEpsilon = 1e-12;

enum Kind { kOrdinary, kCancelling, kExtreme };
constexpr const char* kKinds[] = {"ordinary", "cancelling", "extreme"};

// Digits and exponents by integer arithmetic alone: the same numbers everywhere. (The distributions of the standard
// library differ between implementations.)
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : engine_(seed) {}

  uint64_t below(uint64_t n) { return engine_() % n; }

  // A number in (-2^(exponent + 1), 2^(exponent + 1)) of 53 digits.
  double number(int exponent) {
    auto digits = (double)(int64_t)(engine_() >> 11 | (uint64_t)1 << 52);
    return std::ldexp(engine_() % 2 ? digits : -digits, exponent - 52);
  }

 private:
  std::mt19937_64 engine_;
};

template <class T>
T converted(double value) {
  T result;
  batchdot::store(&result, value);
  return result;
}

template <class T>
double extreme(Numbers& numbers) {
  double most = (double)std::numeric_limits<T>::max(), least = 4 / most;
  const double values[] = {0.0,  -0.0, most, -most, least, -least, least / 64, most / 3, 1e-3, 1.0, INFINITY, NAN,
                           1e-7, 3.0};
  uint64_t which = numbers.below(40);  // an infinity or a NaN in one row of many
  if (which >= sizeof values / sizeof *values) which = numbers.below(10);
  return values[which];
}

// Rows of x and y. Cancelling ones have products in pairs of opposite sign, but for a small rest.
template <class T>
void fill(std::vector<T>& x, std::vector<T>& y, int64_t size, Kind kind, Numbers& numbers) {
  for (size_t i = 0; i < x.size(); ++i) {
    int64_t k = (int64_t)i % size;
    if (kind == kExtreme) {
      x[i] = converted<T>(extreme<T>(numbers));
      y[i] = converted<T>(extreme<T>(numbers));
    } else if (kind == kOrdinary || k % 2 == 0) {
      x[i] = converted<T>(numbers.number((int)numbers.below(3) - 2));
      y[i] = converted<T>(numbers.number((int)numbers.below(3) - 2));
    } else {
      x[i] = x[i - 1];
      y[i] = converted<T>(-(double)y[i - 1] * (k == 1 ? 1 + std::ldexp(1.0, -batchdot::kDigits<T> + 1) : 1));
    }
  }
}

uint64_t digest(uint64_t state, const void* data, size_t bytes) {  // FNV-1a
  for (size_t i = 0; i < bytes; ++i) state = (state ^ ((const uint8_t*)data)[i]) * 1099511628211u;
  return state;
}

template <class T>
void print(const char* dtype, const char* output, int64_t size, const char* layout, Kind kind,
           const std::vector<T>& values) {
  uint64_t state = 14695981039346656037u;
  for (T value : values) {
    bool is_nan = (double)value != (double)value;
    state = is_nan ? digest(state, "NaN", 3) : digest(state, &value, sizeof value);
  }
  std::printf("%s %s K=%" PRId64 " %s %s %016" PRIx64 "\n", dtype, output, size, layout, kKinds[kind], state);
}

// Rows of x, which are packed or two elements apart, with as many rows of y or one that they share.
template <class T>
void measure(const char* dtype, int table, int64_t size, bool shared, int64_t stride, Kind kind) {
  const batchdot::Kernels& kernels = batchdot::kernels();
  constexpr int64_t kRows = 21;  // several at a time, and a rest
  const char* layout = shared ? (stride == 1 ? "shared" : "shared-strided") : (stride == 1 ? "pairs" : "pairs-strided");
  Numbers numbers(1000003u * (uint64_t)size + 7 * (uint64_t)kind + 31 * (uint64_t)table);
  std::vector<T> x(kRows * size), y(kRows * size), gradient(kRows);
  fill(x, y, size, kind, numbers);
  for (T& value : gradient) value = converted<T>(numbers.number(0));
  std::vector<T> spread_x(x.size() * stride), spread_y(y.size() * stride);
  for (size_t i = 0; i < x.size(); ++i) spread_x[i * stride] = x[i], spread_y[i * stride] = y[i];

  RowProblem problem = {};
  problem.x = {spread_x.data(), {size * stride}, shared ? size * stride : 0, stride};
  problem.y = {spread_y.data(), {size * stride}, 0, stride};
  problem.out = {nullptr, {1}, 0, 1};
  problem.axes = shared ? 0 : 1;
  problem.sizes[0] = problem.groups = shared ? 1 : kRows;
  problem.rows = shared ? kRows : 1;
  problem.size = size;
  problem.epsilon = kEpsilon;
  auto show = [&](const char* output, const std::vector<T>& values) {
    print(dtype, output, size, layout, kind, values);
  };

  std::vector<T> out(kRows), x_gradient(x.size()), y_gradient(shared ? size : y.size());
  problem.out.data = out.data();
  kernels.product[table](problem, 0, kRows);
  show("product", out);
  if (shared && stride == 1) {  // as columns of a matrix
    std::vector<T> matrix(x.size()), of_columns(kRows);
    for (size_t i = 0; i < x.size(); ++i) matrix[i % size * kRows + i / size] = x[i];
    RowProblem columns = problem;
    columns.x = {matrix.data(), {0}, 1, kRows};
    columns.out.data = of_columns.data();
    kernels.product[table](columns, 0, kRows);
    print(dtype, "product", size, "shared-columns", kind, of_columns);
  }
  kernels.cosine[table](problem, 0, kRows);
  show("cosine", out);
  problem.gradient = gradient.data();
  problem.x_gradient = x_gradient.data();
  problem.y_gradient = y_gradient.data();
  kernels.product_backward[table](problem, 0, problem.groups);
  show("product-x-gradient", x_gradient);
  show("product-y-gradient", y_gradient);
  kernels.cosine_backward[table](problem, 0, problem.groups);
  show("cosine-x-gradient", x_gradient);
  show("cosine-y-gradient", y_gradient);

  if (shared) {  // as a matrix: every row of x with every row of y, products by a sum in order
    std::vector<T> matrix(kRows * kRows);
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kRows; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < size; ++k) sum += (double)x[i * size + k] * (double)y[j * size + k];
        matrix[i * kRows + j] = converted<T>(sum);
      }
    problem.y.row_stride = size * stride;
    problem.columns = kRows;
    problem.out.data = matrix.data();
    kernels.scale_products[table](problem, 0, kRows);
    show("cosine-matrix", matrix);
    return;
  }
  std::vector<T> spread_out(x.size() * stride), unit(x.size());
  auto show_spread = [&](const char* output) {
    for (size_t i = 0; i < unit.size(); ++i) unit[i] = spread_out[i * stride];
    show(output, unit);
  };
  problem.out = {spread_out.data(), {size * stride}, 0, stride};
  kernels.unit[table](problem, 0, kRows);
  show_spread("unit");
  kernels.unit_backward[table](problem, 0, kRows);
  show_spread("unit-gradient");
}

template <class T>
void measure_all(const char* dtype, int table) {
  for (int64_t size : kSizes)
    for (Kind kind : {kOrdinary, kCancelling, kExtreme})
      for (bool shared : {false, true})
        for (int64_t stride : {1, 2}) measure<T>(dtype, table, size, shared, stride, kind);
}

}  // namespace

int main() {
  std::printf("%s\n", batchdot::kernels().name);
  measure_all<float>("float32", 0);
  measure_all<double>("float64", 1);
  measure_all<Half>("float16", 2);
  measure_all<BFloat16>("bfloat16", 3);
}
