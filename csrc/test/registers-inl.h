// What csrc/test/registers.cpp checks, compiled for each instruction set as the kernels are.

#include "float_sums-inl.h"
#include "lanes-inl.h"
#include "matrix_scores-inl.h"
#include "memory-inl.h"
#include "row_access-inl.h"
#include "simd-inl.h"
#include "target-inl.h"

BD_BEFORE_NAMESPACE();
namespace batchdot {
namespace BD_NAMESPACE {

// `count` elements of T come back from memory of just that size, as doubles and as T, with zeros in other lanes.
template <class T>
static void check_memory(Expectations& expect, const std::vector<T>& values) {
  for (size_t first = 0, count = 1; first + count <= values.size(); first += count, count = count % kLanes + 1) {
    std::vector<T> from(values.begin() + first, values.begin() + first + count), to(count);
    Pack pack = load_at(from.data(), 0, (int64_t)count);
    double lanes[kLanes];
    std::memcpy(lanes, &pack, sizeof lanes);
    for (int i = 0; i < kLanes; ++i) expect.equal("load", lanes[i], i < (int)count ? (double)from[i] : 0);
    store_at(to.data(), 0, (int64_t)count, pack);
    for (size_t i = 0; i < count; ++i) expect.equal("store", (double)to[i], (double)from[i]);
  }
  std::vector<T> whole(values.begin(), values.begin() + kWidth);
  auto factors = load_factors(whole.data(), Factor<T>());
  for (int i = 0; i < kWidth; ++i) expect.equal("factors", factors[i], (double)whole[i]);
}

// A double is rounded as batchdot::store rounds it.
template <class T>
static void check_rounding(Expectations& expect, const std::vector<double>& values) {
  for (size_t first = 0; first + kLanes <= values.size(); first += kLanes) {
    std::vector<T> to(kLanes);
    store_pack(to.data(), load_pack(values.data() + first));
    for (int i = 0; i < kLanes; ++i) {
      T right;
      store(&right, values[first + i]);
      expect.equal("rounding", (double)to[i], (double)right);
    }
  }
}

static void check_arithmetic(Expectations& expect, const std::vector<double>& values) {
  for (size_t first = 0; first + 2 * kWidth <= values.size(); first += kWidth) {
    auto a = Memory<double>::load(values.data() + first), b = Memory<double>::load(values.data() + first + kWidth);
    Simd<double> roots = root(a), product = a * b, error = product_error(a, b, product), within = bounded(a);
    for (int i = 0; i < kWidth; ++i) {
      expect.equal("root", roots[i], std::sqrt(a[i]));
      expect.equal("bounded", within[i], a[i] > 1 ? 1 : a[i] < -1 ? -1 : a[i]);
      if (std::isfinite(product[i])) expect.equal("error", error[i], std::fma(a[i], b[i], -product[i]));
    }
  }
  for (int lane = -1; lane < kWidth; ++lane) {
    Simd<double> number = {};
    for (int i = 0; i < kWidth; ++i) number[i] = i == lane ? 1 : 0;
    expect.equal("everywhere", holds_everywhere((Simd<int64_t>)(number == 0)), lane < 0);
  }
}

// Panels have memory of just their size, and rows that are missing are zero. Products of small integers are exact.
template <class T>
static void check_panels(Expectations& expect) {
  for (int64_t count = 1; count <= 2 * kPanel + 1; count += 3)
    for (int64_t size = 0; size <= 9; ++size) {
      int64_t panels = (count + kPanel - 1) / kPanel, queries = count % kGroup + 1;
      auto number = [](int64_t row, int64_t k) { return double((row * 5 + k * 3) % 7 - 3); };
      std::vector<T> rows(count * size);
      for (int64_t i = 0; i < count * size; ++i) rows[i] = T(number(i / size, i % size));
      std::vector<float> items(panels * kPanel * size), group(kGroup * size), scores(kGroup * panels * kPanel);
      pack_rows<T>(rows.data(), size, count, size, kPanel, items.data());
      pack_rows<T>(rows.data(), size, std::min(queries, count), size, kGroup, group.data());
      score_panels(group.data(), items.data(), panels, size, scores.data(), panels * kPanel);
      for (int64_t query = 0; query < kGroup; ++query)
        for (int64_t item = 0; item < panels * kPanel; ++item) {
          double right = 0;
          for (int64_t k = 0; k < size && query < std::min(queries, count) && item < count; ++k)
            right += number(query, k) * number(item, k);
          expect.equal("panels", scores[query * panels * kPanel + item] + 0.0, right + 0.0);
        }
    }
}

// Two elements in a word, and lanes that move.
static void check_words(Expectations& expect, const std::vector<BFloat16>& values) {
  constexpr int kStep = FloatSums::kStep;
  for (size_t first = 0; first + kStep <= values.size(); first += kStep) {
    const BFloat16* from = values.data() + first;
    Words<2 * kWidth> words(from);
    Floats even = words.even(), odd = words.odd(), third = multiply_add_floats(even, odd, even);
    Simd<float> halves = sum_halves(odd);
    for (int i = 0; i < 2 * kWidth; ++i) {
      expect.equal("even", even[i], (double)from[2 * i]);
      expect.equal("odd", odd[i], (double)from[2 * i + 1]);
      float product = even[i] * odd[i];  // exact where it is a normal number
      if (std::isnormal(product)) expect.equal("multiply and add", third[i], product + even[i]);
      if (i < kWidth) expect.equal("halves", halves[i], odd[i] + odd[i + kWidth]);
    }
    auto low = Memory<BFloat16>::load(from), high = Memory<BFloat16>::load(from + kWidth);
    auto lower = shuffled<InTurns<false>>(low, high), upper = shuffled<InTurns<true>>(low, high);
    for (int i = 0; i < kWidth; ++i) {
      expect.equal("in turns", lower[i], i % 2 ? high[i / 2] : low[i / 2]);
      expect.equal("in turns", upper[i], i % 2 ? high[(i + kWidth) / 2] : low[(i + kWidth) / 2]);
    }
  }
}

// A sum is certain where neither end of what it may be rounds elsewhere, and it is finite.
static void check_certainty(Expectations& expect) {
  const double midpoint = 1 + 0x1p-8, unit = 0x1p-24;
  struct Case {
    double sum, magnitude;
    bool certain;
  } cases[] = {
      {1, 1, true},
      {midpoint, 1, false},
      {midpoint + 2 * unit, 1, false},
      {midpoint + 5 * unit, 1, true},
      {-midpoint + 2 * unit, 1, false},
      {-midpoint - 5 * unit, 1, true},
      {0, 0, true},
      {0, unit, false},
      {0x1p-144, 0x1p-144, true},  // 16 products lose 2^-145
      {0x1p-146, 0x1p-146, false},
      {INFINITY, 0x1p127, false},
      {NAN, 1, false},
      {1, INFINITY, false},
      {1, NAN, false},
      {0x1p130, 0x1p130, true},
  };
  for (const Case& one : cases) {
    Simd<int64_t> certain = are_certain(broadcast(one.sum), 3, 16, broadcast(one.magnitude));
    for (int i = 0; i < kWidth; ++i) expect.equal("certain", certain[i] != 0, one.certain);
  }
}

static void check_registers(Expectations& expect) {
  expect.instructions = BD_NAME;
  check_memory(expect, some_numbers<double>());
  check_memory(expect, some_numbers<float>());
  check_memory(expect, all_of_16_bits<Half>());
  check_memory(expect, all_of_16_bits<BFloat16>());
  std::vector<double> numbers = some_numbers<double>();
  check_rounding<float>(expect, numbers);
  check_rounding<Half>(expect, numbers);
  check_rounding<BFloat16>(expect, numbers);
  check_arithmetic(expect, numbers);
  check_panels<float>(expect);
  check_panels<double>(expect);
  check_panels<Half>(expect);
  check_panels<BFloat16>(expect);
  check_words(expect, all_of_16_bits<BFloat16>());
  check_certainty(expect);
}

}  // namespace BD_NAMESPACE
}  // namespace batchdot
BD_AFTER_NAMESPACE();
