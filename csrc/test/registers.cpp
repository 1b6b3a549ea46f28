// Compare operations on registers with the same on one number, by every instruction set that the processor has.
// Memory for a row is tried as well, and panels, whose sums are in registers.
//
//   g++ -std=c++17 -O1 -ffp-contract=off -fsanitize=address,undefined -Icsrc/test/shim -Icsrc/cpu
//       csrc/test/registers.cpp -o registers
//   ./registers
//
// Sanitizers find what no result shows: lanes that a register has not, memory beyond a row. Of whole kernels only
// AddressSanitizer is quick enough, on bits.cpp without optimization.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "aligned_buffer.h"
#include "cpu_features.h"
#include "dtypes.h"

namespace batchdot {

struct Expectations {
  const char* instructions = "";
  int64_t met = 0, failed = 0;

  // The same number, with its sign, or both NaN.
  void equal(const char* what, double found, double right) {
    bool same = (found == right && std::signbit(found) == std::signbit(right)) || (found != found && right != right);
    ++(same ? met : failed);
    if (!same && failed < 20) std::printf("%s, %s: %a, not %a\n", instructions, what, found, right);
  }
};

// Of every exponent that T has, and what is special.
template <class T>
static std::vector<T> some_numbers() {
  using Limits = std::numeric_limits<T>;
  std::mt19937_64 engine(1);
  std::vector<T> numbers = {0, T(-0.0), 1, -1, Limits::max(), -Limits::max(), Limits::min(), Limits::denorm_min(),
                            Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()};
  for (int repeat = 0; repeat < 4; ++repeat)
    for (int exponent = Limits::min_exponent - Limits::digits; exponent < Limits::max_exponent; ++exponent) {
      double digits = (double)(engine() >> 11) * 0x1p-53;
      numbers.push_back((T)std::ldexp(engine() % 2 ? digits : -digits, exponent));
    }
  return numbers;
}

template <class T>
static std::vector<T> all_of_16_bits() {
  std::vector<T> numbers(1 << 16);
  for (int i = 0; i < 1 << 16; ++i) {
    auto bits = (uint16_t)i;
    std::memcpy(&numbers[i], &bits, sizeof bits);
  }
  return numbers;
}

// Memory from the start of a cache line on. Sanitizers refuse a size that is no multiple of a line, as C11 allows.
static void check_buffers(Expectations& expect) {
  expect.instructions = "buffers";
  for (int64_t count = 0; count < 100; ++count) {
    AlignedBuffer<double> buffer(count);
    expect.equal("aligned", (double)((uintptr_t)buffer.data % 64), 0);
    expect.equal("allocated", buffer.data != nullptr, count != 0);
    for (int64_t i = 0; i < count; ++i) buffer.data[i] = 1;
  }
}

}  // namespace batchdot

#define BD_TARGET_INCLUDE "../test/registers-inl.h"
#include "foreach_target.h"

int main() {
  batchdot::Expectations expect;
  auto report = [&] { std::printf("%s: %lld comparisons so far\n", expect.instructions, (long long)expect.met); };
  batchdot::check_buffers(expect), report();
  batchdot::baseline::check_registers(expect), report();
#if defined(__x86_64__)
  batchdot::CpuFeatures features;
  if (features.avx2) batchdot::avx2::check_registers(expect), report();
  if (features.avx512) batchdot::avx512::check_registers(expect), report();
#endif
  return expect.failed != 0;
}
