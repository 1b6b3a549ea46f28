// Measure the errors of dot products and cosines of rows, in ulp, and fail where one is above the bound.
//
//   g++ -std=c++17 -O2 -ffp-contract=off -Icsrc/test/shim -Icsrc/cpu csrc/test/ulp.cpp csrc/cpu/dispatch.cpp -o ulp
//   ./ulp [rows of each kind, 200 if not given] [seed]
//
// Needs no torch: the kernels take plain memory. BATCHDOT_INSTRUCTIONS chooses the instruction set. For each dtype
// and kernel it prints the worst error, the kind of rows that had it, and their products where they are few.
// The exact results are formed apart from the code under test: sums of integers of 4,500 bits, and quotients and
// roots in 113 bits.

#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"
#include "dtypes.h"
#include "row_problem.h"

namespace {

using batchdot::BFloat16;
using batchdot::Half;

constexpr double kBound = 0.51;

#if defined(__SIZEOF_FLOAT128__)
using Quad = __float128;
#else
using Quad = long double;  // 113 bits on aarch64
static_assert(sizeof(long double) == 16, "needs a float of 113 bits");
#endif

// --- the exact results -----------------------------------------------------------------------------------------

Quad scale(Quad a, int exponent) {
  for (; exponent > 0; --exponent) a *= 2;
  for (; exponent < 0; ++exponent) a /= 2;
  return a;
}

// A two's complement integer in units of 2^-2200, wide enough for sums of products of doubles.
class Integer {
 public:
  void add_product(double a, double b) {
    int a_exponent, b_exponent;
    auto x = (int64_t)std::ldexp(std::frexp(a, &a_exponent), 53);
    auto y = (int64_t)std::ldexp(std::frexp(b, &b_exponent), 53);
    if (x == 0 || y == 0) return;
    __int128 product = (__int128)x * y;
    add(product < 0, product < 0 ? -(unsigned __int128)product : (unsigned __int128)product,
        a_exponent + b_exponent - 106 + kUnit);
  }

  // The integer times the unit, within 2^-112.
  Quad value() const {
    Integer a = *this;
    bool negative = words_[kWords - 1] >> 31;
    if (negative) a.negate();
    Quad sum = 0;
    int taken = 0;
    for (int i = kWords - 1; i >= 0 && taken < 5; --i) {
      if (a.words_[i] || taken) ++taken;
      if (a.words_[i]) sum += scale((Quad)a.words_[i], 32 * i - kUnit);
    }
    return negative ? -sum : sum;
  }

 private:
  static constexpr int kUnit = 2200, kWords = 144;

  void add(bool negative, unsigned __int128 magnitude, int position) {
    if (position < 0) std::abort();
    uint64_t carry = 0, borrow = 0;
    int shift = position % 32;
    // The magnitude, shifted by less than a word, in words.
    uint32_t pieces[6];
    for (int i = 0; i < 6; ++i) {
      uint32_t low = i < 4 ? (uint32_t)(magnitude >> (32 * i)) : 0;
      uint32_t before = i > 0 && i < 5 ? (uint32_t)(magnitude >> (32 * (i - 1))) : 0;
      pieces[i] = shift ? low << shift | before >> (32 - shift) : low;
    }
    for (int i = 0, word = position / 32; word < kWords; ++i, ++word) {
      uint64_t piece = i < 6 ? pieces[i] : 0;
      if (negative) {
        uint64_t difference = (uint64_t)words_[word] - piece - borrow;
        words_[word] = (uint32_t)difference;
        borrow = difference >> 63;
      } else {
        uint64_t sum = (uint64_t)words_[word] + piece + carry;
        words_[word] = (uint32_t)sum;
        carry = sum >> 32;
      }
    }
  }

  void negate() {
    uint64_t carry = 1;
    for (uint32_t& word : words_) {
      carry += (uint32_t)~word;
      word = (uint32_t)carry;
      carry >>= 32;
    }
  }

  uint32_t words_[kWords] = {};
};

template <class T>
Quad exact_dot(const T* x, const T* y, int64_t size) {
  Integer sum;
  for (int64_t k = 0; k < size; ++k) sum.add_product((double)x[k], (double)y[k]);
  return sum.value();
}

// Newton's iteration from a double, which doubles its digits each time.
Quad square_root(Quad a) {
  if (a == 0) return 0;
  int exponent = 0;
  while (a >= 4) a /= 4, ++exponent;
  while (a < 1) a *= 4, --exponent;
  Quad root = std::sqrt((double)a);
  for (int i = 0; i < 3; ++i) root = (root + a / root) / 2;
  return scale(root, exponent);
}

template <class T>
Quad exact_cosine(const T* x, const T* y, int64_t size, double epsilon) {
  Quad xy = exact_dot(x, y, size), xx = exact_dot(x, x, size), yy = exact_dot(y, y, size);
  if (xx < epsilon) xx = epsilon;
  if (yy < epsilon) yy = epsilon;
  return xy / (square_root(xx) * square_root(yy));
}

template <class T>
struct Format;  // the exponents of the smallest normal number and of the largest number
template <>
struct Format<double> {
  static constexpr int kLeast = -1022, kMost = 1023, kNumber = 1;
  static constexpr const char* kName = "float64";
};
template <>
struct Format<float> {
  static constexpr int kLeast = -126, kMost = 127, kNumber = 0;
  static constexpr const char* kName = "float32";
};
template <>
struct Format<Half> {
  static constexpr int kLeast = -14, kMost = 15, kNumber = 2;
  static constexpr const char* kName = "float16";
};
template <>
struct Format<BFloat16> {
  static constexpr int kLeast = -126, kMost = 127, kNumber = 3;
  static constexpr const char* kName = "bfloat16";
};

// The error of a result in ulp of T at the exact one. An exact result beyond the largest number may be infinite.
template <class T>
double error_in_ulp(double got, Quad exact) {
  Quad magnitude = exact < 0 ? -exact : exact;
  int exponent = Format<T>::kLeast;
  Quad power = scale(1, exponent);
  while (magnitude >= 2 * power) power *= 2, ++exponent;
  Quad ulp = scale(power, 1 - batchdot::kDigits<T>);
  Quad infinity = scale(1, Format<T>::kMost + 1);
  if (std::isinf(got)) {
    if (magnitude >= infinity && (got < 0) == (exact < 0)) return 0;
    return std::fabs((double)((got < 0 ? -infinity : infinity) - exact) / (double)ulp);
  }
  Quad error = ((Quad)got - exact) / ulp;
  return std::fabs((double)error);
}

// --- the kernels under test ------------------------------------------------------------------------------------

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
        agrees = agrees && ((double)other == (double)out[row] || std::isnan((double)other));
      Quad exact = of_cosines ? exact_cosine(a, b, size, epsilon) : exact_dot(a, b, size);
      double error = error_in_ulp<T>((double)out[row], exact);
      if (error > worst.error || std::isnan(error))
        worst = {std::isnan(error) ? INFINITY : error, describe(kind, a, b, size, (double)out[row])};
    }
  }
}

// --- rows ------------------------------------------------------------------------------------------------------

std::mt19937_64 generator;

double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }
double normal() { return std::normal_distribution<double>()(generator); }
int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }
double sign() { return integer(0, 1) ? 1 : -1; }

template <class T>
T to(double value) {
  T result;
  batchdot::store(&result, value);
  return std::isfinite((double)result) ? result : T(1);
}

template <class T>
void fill_normal(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(normal()), y[k] = to<T>(normal());
}

template <class T>
void fill_positive(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(uniform(0, 1)), y[k] = to<T>(uniform(0, 1));
}

template <class T>
T any_number() {
  return to<T>(std::ldexp(sign() * uniform(0.5, 1), integer(Format<T>::kLeast - 10, Format<T>::kMost)));
}

// Products beyond float, whose sums are not: 4·2^127, and its opposite in two.
template <class T>
void fill_overflowing(T* x, T* y, int64_t size) {
  fill_normal(x, y, size);
  if (size < 3) return;
  int half = Format<T>::kMost / 2 + 1;
  for (int64_t k = 0; k < size; ++k) x[k] = to<T>(std::ldexp((double)x[k], half - 6));
  for (int64_t k = 0; k < 3; ++k) x[k] = y[k] = to<T>(std::ldexp(1.0, half));
  x[1] = x[2] = to<T>(-std::ldexp(1 - std::ldexp(1.0, -integer(1, batchdot::kDigits<T>)), half - 1));
}

// Every exponent of T, so that products and sums overflow and underflow.
template <class T>
void fill_scales(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) x[k] = any_number<T>(), y[k] = any_number<T>();
}

// Results in and about the subnormal numbers of T.
template <class T>
void fill_tiny(T* x, T* y, int64_t size) {
  int half = (Format<T>::kLeast + integer(-batchdot::kDigits<T> - 2, 2)) / 2;
  for (int64_t k = 0; k < size; ++k) {
    x[k] = to<T>(std::ldexp(normal(), half + integer(-3, 0)));
    y[k] = to<T>(std::ldexp(normal(), half - integer(-3, 0)));
  }
}

// Halves that cancel to any number of digits.
template <class T>
void fill_cancelling(T* x, T* y, int64_t size) {
  fill_normal(x, y, size);
  int64_t half = size / 2;
  double change = std::ldexp(1.0, -integer(1, batchdot::kDigits<T>));
  for (int64_t k = 0; k < half; ++k) {
    x[half + k] = x[k];
    y[half + k] = to<T>(-(double)y[k] * (integer(0, 3) ? 1 : 1 + change * integer(-2, 2)));
  }
  if (size % 2) x[size - 1] = to<T>(std::ldexp(normal(), -integer(0, 3 * batchdot::kDigits<T>)));
}

// A number and what brings the sum to a midpoint between two numbers of T, but for very little: the errors of the
// sum decide where it rounds to.
template <class T>
void fill_midpoint(T* x, T* y, int64_t size) {
  for (int64_t k = 0; k < size; ++k) {
    x[k] = to<T>(uniform(0.5, 1));
    y[k] = to<T>(sign() * uniform(0.5, 1));
  }
  constexpr int kTail = 6;
  if (size < kTail + 1) return;
  for (int64_t k = size - kTail; k < size; ++k) x[k] = T(0), y[k] = T(1);
  // Half an ulp beyond the number nearest to the sum; each of the tail adds the digits that the last left over.
  auto start = (double)exact_dot(x, y, size);
  auto number = (double)to<T>(start);
  int exponent;
  std::frexp(number, &exponent);
  Quad middle = (Quad)number + scale(sign(), exponent - batchdot::kDigits<T> - 1);
  for (int64_t k = size - kTail; k < size; ++k) x[k] = to<T>((double)(middle - exact_dot(x, y, size)));
  x[size - 1] = to<T>((double)x[size - 1] + std::ldexp(sign(), exponent - integer(50, 60)));
}

// What a sum in double loses most of: in the lane of the first product, every later one is lost next to it, until its
// opposite ends the row. What is left is a midpoint of T but for a little, on the side that the lost products are not.
template <class T>
void fill_lost(T* x, T* y, int64_t size) {
  constexpr int kTop = Format<T>::kMost / 2;  // the first product is 4^kTop
  for (int64_t k = 0; k < size; ++k) x[k] = y[k] = T(0);
  int64_t last = (size - 1) / 16 * 16;
  if (last < 48) return;
  for (int64_t k = 16; k < last; k += 16) {
    x[k] = to<T>(std::ldexp(0.984375, kTop - 27));
    y[k] = to<T>(std::ldexp(1.0, kTop - 26));
  }
  x[0] = y[0] = y[last] = to<T>(std::ldexp(1.0, kTop));
  x[last] = to<T>(-std::ldexp(1.0, kTop));
  auto rest = (double)to<T>(std::exp2(2 * kTop + 1 - uniform(5, 48)));
  int exponent;
  std::frexp(rest, &exponent);
  x[1] = to<T>(rest), y[1] = T(1);
  x[2] = to<T>(std::ldexp(1.0, exponent - batchdot::kDigits<T> - 1)), y[2] = T(1);
  x[3] = to<T>(-std::ldexp(1.0, exponent - batchdot::kDigits<T> - 20)), y[3] = T(1);
}

// Products that grow together and cancel in another order, beside a midpoint of T but for a little: what is left is as
// small as a threshold that knows the largest product, and not their number, would let pass.
template <class T>
void fill_halves(T* x, T* y, int64_t size) {
  int64_t half = size / 2 - 1;
  for (int64_t k = 0; k < size; ++k) x[k] = y[k] = T(0);
  if (half < 8) return;
  for (int64_t k = 0; k < half; ++k) x[k] = to<T>(uniform(0.5, 1)), y[k] = to<T>(uniform(0.5, 1));
  for (int64_t k = 0; k < half; ++k) {
    x[half + k] = x[(k + 5) % half];
    y[half + k] = to<T>(-(double)y[(k + 5) % half]);
  }
  auto rest = (double)to<T>(std::exp2(-uniform(6, 48)));
  int exponent;
  std::frexp(rest, &exponent);
  // Factors of a middle size, which T has where it does not have the product.
  int middle = exponent - batchdot::kDigits<T> - 1;
  x[size - 2] = to<T>(rest), y[size - 2] = T(1);
  x[size - 1] = to<T>(std::ldexp(1.0, middle / 2));
  y[size - 1] = to<T>(std::ldexp(1 - std::ldexp(1.0, -integer(5, batchdot::kDigits<T> - 1)), middle - middle / 2));
}

// Factors of double that Dekker's splitting overflows for, with terms whose errors cancel.
template <class T>
void fill_splitting(T* x, T* y, int64_t size) {
  int large = Format<T>::kMost - integer(0, 40);
  for (int64_t k = 0; k < size; ++k) {
    double value = std::ldexp(sign() * uniform(0.5, 1), integer(0, 40));
    x[k] = to<T>(std::ldexp(1.0, large));
    y[k] = to<T>(std::ldexp(k % 2 ? -value : value, -large));
  }
}

template <class T>
struct Kind {
  const char* name;
  void (*fill)(T* x, T* y, int64_t size);
};

template <class T>
bool report(const char* kernel, const Worst& worst) {
  bool holds = worst.error <= kBound;
  std::printf("%-8s %-8s %-7s worst %.6f ulp  %s%s\n", batchdot::kernels().name, Format<T>::kName, kernel,
              worst.error, worst.witness.c_str(), holds ? "" : "  ABOVE THE BOUND");
  return holds;
}

template <class T>
bool measure_dtype(int64_t count) {
  const Kind<T> kinds[] = {
      {"normal", fill_normal<T>},         {"positive", fill_positive<T>}, {"all scales", fill_scales<T>},
      {"tiny", fill_tiny<T>},             {"cancelling", fill_cancelling<T>},
      {"midpoint", fill_midpoint<T>},     {"lost", fill_lost<T>},         {"halves", fill_halves<T>},
      {"splitting", fill_splitting<T>},
      {"overflowing", fill_overflowing<T>},
  };
  Worst dot, cosine;
  bool agrees = true;
  for (const Kind<T>& kind : kinds)
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

}  // namespace

int main(int argc, char** argv) {
  int64_t count = argc > 1 ? std::atoll(argv[1]) : 200;
  generator.seed(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
  bool holds = measure_known();
  holds = measure_dtype<float>(count) && holds;
  holds = measure_dtype<double>(count) && holds;
  holds = measure_dtype<Half>(count) && holds;
  holds = measure_dtype<BFloat16>(count) && holds;
  return holds ? 0 : 1;
}
