// Measure the errors of dot products and cosines of rows, in ulp, and fail where one is above the bound.
//
//   g++ -std=c++17 -O2 -ffp-contract=off -Icsrc/test/shim -Icsrc/cpu csrc/test/ulp.cpp csrc/cpu/dispatch.cpp -o ulp
//   ./ulp [rows of each kind, 200 if not given] [seed]
//
// Needs no torch: the kernels take plain memory. BATCHDOT_INSTRUCTIONS chooses the instruction set. For each dtype
// and kernel it prints the worst error, the kind of rows that had it, and their products where they are few.

#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "dispatch.h"
#include "dtypes.h"
#include "exact_results.h"
#include "row_problem.h"
#include "rows.h"

namespace ulp {

constexpr double kBound = 0.51;

// What a kernel makes of rows: each of x with its own row of y, or all with the first of y. `stride` is between the
// elements of a row; where it is 0, the rows of x are columns of a matrix.
template <class T>
std::vector<T> run(batchdot::Kernel kernel, const std::vector<T>& x, const std::vector<T>& y, int64_t rows,
                   int64_t size, double epsilon, bool shared, int64_t stride) {
  bool columns = stride == 0;
  if (columns) stride = 1;
  std::vector<T> out(rows), spread_x(x.size() * stride), spread_y(y.size() * stride);
  for (size_t i = 0; i < x.size(); ++i) spread_x[i * stride] = x[i], spread_y[i * stride] = y[i];
  for (size_t i = 0; columns && i < x.size(); ++i) spread_x[i % size * rows + i / size] = x[i];
  batchdot::RowProblem problem = {};
  problem.x = {spread_x.data(), {size * stride}, shared ? size * stride : 0, stride};
  if (columns) problem.x.row_stride = 1, problem.x.stride = rows;
  problem.y = {spread_y.data(), {size * stride}, 0, stride};
  problem.out = {out.data(), {1}, 0, 1};
  problem.axes = shared ? 0 : 1;
  problem.sizes[0] = problem.groups = shared ? 1 : rows;
  problem.rows = shared ? rows : 1;
  problem.size = size;
  problem.epsilon = epsilon;
  kernel(problem, 0, rows);
  return out;
}

struct Worst {
  double error = -1;
  std::string witness;
};

template <class T>
std::string describe(const char* kind, const T* x, const T* y, int64_t size, double got) {
  char text[128];
  std::snprintf(text, sizeof text, "%s, K = %" PRId64 ", got %a", kind, size, got);
  std::string line = text;
  int terms = 0;
  for (int64_t k = 0; k < size; ++k) terms += (double)x[k] != 0 && (double)y[k] != 0;
  for (int64_t k = 0; k < size && terms <= 8; ++k) {
    if ((double)x[k] == 0 || (double)y[k] == 0) continue;
    std::snprintf(text, sizeof text, ", [%" PRId64 "] %a*%a", k, (double)x[k], (double)y[k]);
    line += text;
  }
  return line;
}

// Whether two results have the same bits; every NaN counts as the same.
template <class T>
bool agree(T a, T b) {
  bool is_nan = std::isnan((double)a);
  return is_nan ? std::isnan((double)b) : std::memcmp(&a, &b, sizeof a) == 0;
}

// Run every way of computing the same rows, which have to agree to the bit.
template <class T>
void measure(const char* kind, const std::vector<T>& x, const std::vector<T>& y, int64_t rows, int64_t size,
             Worst& dot, Worst& cosine, bool& agrees) {
  const batchdot::Kernels& kernels = batchdot::kernels();
  constexpr int kNumber = Format<T>::kNumber;
  for (bool of_cosines : {false, true}) {
    batchdot::Kernel kernel = of_cosines ? kernels.cosine[kNumber] : kernels.product[kNumber];
    double epsilon = of_cosines ? 5e-324 : 0;
    std::vector<T> out = run(kernel, x, y, rows, size, epsilon, false, 1);
    std::vector<T> apart = run(kernel, x, y, rows, size, epsilon, false, 2);
    Worst& worst = of_cosines ? cosine : dot;
    for (int64_t row = 0; row < rows; ++row) {
      const T *a = &x[row * size], *b = &y[row * size];
      std::vector<T> twice_x(a, a + size), y_row(b, b + size), twice_y = y_row;
      twice_x.insert(twice_x.end(), a, a + size);
      twice_y.insert(twice_y.end(), b, b + size);
      std::vector<T> shared = run(kernel, twice_x, twice_y, 2, size, epsilon, true, 1);
      std::vector<T> columns = run(kernel, twice_x, twice_y, 2, size, epsilon, true, 0);
      for (T other : {apart[row], shared[0], shared[1], columns[0], columns[1]})
        agrees = agrees && agree(out[row], other);
      Quad exact = of_cosines ? exact_cosine(a, b, size, epsilon) : exact_dot(a, b, size);
      double error = error_in_ulp<T>((double)out[row], exact);
      if (error > worst.error || std::isnan(error))
        worst = {std::isnan(error) ? INFINITY : error, describe(kind, a, b, size, (double)out[row])};
    }
  }
}

template <class T>
bool report(const char* kernel, const Worst& worst) {
  bool holds = worst.error <= kBound;
  std::printf("%-8s %-8s %-7s worst %.6f ulp  %s%s\n", batchdot::kernels().name, Format<T>::kName, kernel,
              worst.error, worst.witness.c_str(), holds ? "" : "  ABOVE THE BOUND");
  return holds;
}

template <class T>
bool measure_dtype(int64_t count) {
  Worst dot, cosine;
  bool agrees = true;
  for (const Kind<T>& kind : kKinds<T>)
    for (int64_t size : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 64, 128, 257, 1000, 8191, 8209, 20000}) {
      int64_t rows = size > 1000 ? 1 + count / 200 : size > 64 ? 1 + count / 10 : count;
      std::vector<T> x(rows * size), y(rows * size);
      for (int64_t row = 0; row < rows; ++row) kind.fill(&x[row * size], &y[row * size], size);
      measure(kind.name, x, y, rows, size, dot, cosine, agrees);
    }
  if (!agrees) std::printf("%s: kernels of the same rows disagree\n", Format<T>::kName);
  bool dot_holds = report<T>("dot", dot), cosine_holds = report<T>("cosine", cosine);
  return dot_holds && cosine_holds && agrees;
}

// Rows that were once wrong: rounded twice to a subnormal number, (2^51 + 0.7) units of the smallest one.
bool measure_known() {
  std::vector<double> x = {0x1p-537, 0x1p-537}, y = {0x1p-486, 0.7 * 0x1p-537};
  Worst dot, cosine;
  bool agrees = true;
  measure("rounded twice", x, y, 1, 2, dot, cosine, agrees);
  return report<double>("dot", dot) && agrees;
}

}  // namespace ulp

int main(int argc, char** argv) {
  using namespace ulp;
  int64_t count = argc > 1 ? std::atoll(argv[1]) : 200;
  generator.seed(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
  bool holds = measure_known();
  holds = measure_dtype<float>(count) && holds;
  holds = measure_dtype<double>(count) && holds;
  holds = measure_dtype<Half>(count) && holds;
  holds = measure_dtype<BFloat16>(count) && holds;
  return holds ? 0 : 1;
}
