// Sums over rows, as exact as the dtype of the result can show: within 0.01 ulp before rounding.
//
// Included once for each instruction set (see kernels.h). A sum is formed in double, where the
// products of all narrower dtypes are exact; where cancellation leaves too few digits of that, or for
// rows of double, with Ogita, Rump and Oishi's Dot2 (SIAM J. Sci. Comput. 26, 2005), which sums the
// rounding errors as well; and where that is not enough, or double overflows or underflows, exactly.
// Each step knows what it may have got wrong, and the next is taken only where that could show.

constexpr int64_t CHUNK = 8192;  // elements summed in one go: the error of a sum grows with them

// Bound on the relative error of LANES sums and what joins them, in units of 2^-53.
INLINE double rounding_steps(int64_t size) {
  return double((size < CHUNK ? size : CHUNK) / LANES + size / CHUNK + 8);
}

// The largest part of sum(|x·y|) that may be left of a sum in double with 0.01 ulp to spare.
template <class T>
INLINE double tolerance(int64_t size) {
  return rounding_steps(size) * 100 * (1.0 / (INT64_C(1) << (53 - Digits<T>::value)));
}

// Ask for what is read soon after a block: rows mostly follow each other. Machines that guess so themselves
// guess late: matrices of 64 columns, 26 MB, took 1.45 times as long as reading them, and 1.05 times so.
template <class T>
INLINE void prefetch(const T* block) {
  constexpr int LINE = 64, AHEAD = 3072;
  for (int byte = 0; byte < int(LANES * sizeof(T)); byte += LINE) __builtin_prefetch((const char*)block + AHEAD + byte);
}

// Those lanes that a mask has (see LAST).
INLINE Doubles kept(Doubles a, const int64_t* mask) {
  Longs bits;
  std::memcpy(&bits, mask, sizeof bits);
  return (Doubles)((Longs)a & bits);
}

// Call body(i, of x, of y) for the registers of each block, i of REGISTERS. Of the last block, what a
// block before had is zero: it ends where the row does, for a row of LANES elements or more.
template <class T, class U, class Body>
INLINE void each_register(const T* x, const U* y, int64_t begin, int64_t end, Body body) {
  int64_t k = begin;
  for (; k + LANES <= end; k += LANES) {
    prefetch(x + k);
    if ((const void*)x != (const void*)y) prefetch(y + k);
#pragma GCC unroll 8
    for (int i = 0; i < REGISTERS; ++i) body(i, Memory<T>::read(x + k + i * WIDTH), Memory<U>::read(y + k + i * WIDTH));
  }
  if (k == end) return;
  const int64_t* mask = LAST + (end - k);
  k = end - LANES;
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i)
    body(i, kept(Memory<T>::read(x + k + i * WIDTH), mask + i * WIDTH),
         kept(Memory<U>::read(y + k + i * WIDTH), mask + i * WIDTH));
}

INLINE int64_t end_of_chunk(int64_t begin, int64_t size) { return size - begin > CHUNK ? begin + CHUNK : size; }

struct Product {
  double sum = 0, size = 0;  // of the products, and of their absolute values
};

template <class T, class U>
INLINE Product sum_product(const T* x, const U* y, int64_t size) {
  Product result;
  for (int64_t k = 0; size < LANES && k < size; ++k) {
    double product = (double)x[k] * (double)y[k];
    result.sum += product;
    result.size += std::fabs(product);
  }
  if (size < LANES) return result;
  for (int64_t begin = 0; begin < size; begin += CHUNK) {
    Block sum = {}, magnitude = {};
    each_register(x, y, begin, end_of_chunk(begin, size), [&](int i, Doubles a, Doubles b) FORCED {
      Doubles product = a * b;
      sum.part[i] += product;
      magnitude.part[i] += absolute(product);
    });
    result.sum += sum_lanes(sum);
    result.size += sum_lanes(magnitude);
  }
  return result;
}

// The largest absolute value of elements, found by their bits: those of positive numbers are ordered as the
// numbers are, and those of what is not finite are above them.
template <class T>
struct Largest {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int16_t>;
  static constexpr int COUNT = LANES < WIDTH * 8 / (int)sizeof(T) ? LANES : WIDTH * 8 / (int)sizeof(T);
  using Register = typename Lanes<Bits, COUNT>::Register;

  Register bits;

  // What is initialized rather than assigned GCC 12 stores in two halves, and waits until it can load them.
  INLINE_MEMBER Largest() { bits = Register{}; }

  INLINE_MEMBER void add_block(const T* from) {
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += COUNT) {
      Register a;
      std::memcpy(&a, from + i, sizeof a);
      a &= std::numeric_limits<Bits>::max();
      bits = bits > a ? bits : a;
    }
  }

  INLINE_MEMBER double value() const {
    Bits most = join_lanes<COUNT, Bits>(bits, [](auto a, auto b) FORCED { return a > b ? a : b; });
    T largest;
    std::memcpy(&largest, &most, sizeof largest);
    return (double)largest;
  }
};

// Write a row of LANES elements or more as doubles, and return the largest of them.
template <class T>
INLINE double widen_row(const T* row, int64_t size, double* to) {
  Largest<T> largest;
  auto widen_block = [&](int64_t k) FORCED {
    largest.add_block(row + k);
    write_block(to + k, read_block(row + k));
  };
  for (int64_t k = 0; k + LANES <= size; k += LANES) widen_block(k);
  widen_block(size - LANES);
  return largest.value();
}

constexpr int MANY = WIDTH == 8 ? 4 : WIDTH == 4 ? 2 : 1;  // rows at a time, as there are registers for

// A block of which a mask, where there is one, keeps some lanes.
template <class T>
INLINE Block read_kept(const T* from, const int64_t* mask) {
  Block a = read_block(from);
#pragma GCC unroll 8
  for (int i = 0; mask && i < REGISTERS; ++i) a.part[i] = kept(a.part[i], mask + i * WIDTH);
  return a;
}

// The sums of the products of some rows, of LANES elements or more, each with a row of its own or all with one
// of double; returns the largest element of those rows of x, times that of y where it has rows of its own. The
// bits are those of sum_product, whose bound is closer and takes longer.
template <int ROWS, class T, class U>
INLINE double sum_rows(const T* x, int64_t x_stride, const U* y, int64_t y_stride, int64_t size, double (&sums)[ROWS]) {
  constexpr bool OWN = std::is_same_v<T, U>;
  Largest<T> x_largest, y_largest;
  for (int64_t begin = 0; begin < size; begin += CHUNK) {
    Block sum[ROWS] = {};
    int64_t k = begin, end = end_of_chunk(begin, size);
    auto add = [&](int64_t k, const int64_t* mask) FORCED {
      Block b = read_kept(y + k, mask);
#pragma GCC unroll 4
      for (int row = 0; row < ROWS; ++row) {
        const T* from = x + row * x_stride + k;
        prefetch(from);
        x_largest.add_block(from);
        if constexpr (OWN) {
          const T* other = y + row * y_stride + k;
          prefetch(other);
          y_largest.add_block(other);
          b = read_kept(other, mask);
        }
#pragma GCC unroll 8
        for (int i = 0; i < REGISTERS; ++i)
          sum[row].part[i] = multiply_add(Memory<T>::read(from + i * WIDTH), b.part[i], sum[row].part[i]);
      }
    };
    for (; k + LANES <= end; k += LANES) add(k, nullptr);
    if (k < end) add(end - LANES, LAST + (end - k));
#pragma GCC unroll 4
    for (int row = 0; row < ROWS; ++row) sums[row] = sum_lanes(sum[row]) + (begin == 0 ? 0 : sums[row]);
  }
  return OWN ? x_largest.value() * y_largest.value() : x_largest.value();
}

struct Products {
  double xy = 0, xx = 0, yy = 0;
};

template <class T>
INLINE Products sum_products(const T* x, const T* y, int64_t size) {
  Products result;
  for (int64_t k = 0; size < LANES && k < size; ++k) {
    double a = x[k], b = y[k];
    result.xy += a * b;
    result.xx += a * a;
    result.yy += b * b;
  }
  if (size < LANES) return result;
  for (int64_t begin = 0; begin < size; begin += CHUNK) {
    Block xy = {}, xx = {}, yy = {};
    each_register(x, y, begin, end_of_chunk(begin, size), [&](int i, Doubles a, Doubles b) FORCED {
      xy.part[i] = multiply_add(a, b, xy.part[i]);
      xx.part[i] = multiply_add(a, a, xx.part[i]);
      yy.part[i] = multiply_add(b, b, yy.part[i]);
    });
    result.xy += sum_lanes(xy);
    result.xx += sum_lanes(xx);
    result.yy += sum_lanes(yy);
  }
  return result;
}

struct Compensated {
  double high = 0, low = 0, errors = 0;  // the sum, its rounding errors, and their absolute values
};

template <class T>
INLINE Compensated sum_compensated(const T* x, const T* y, int64_t size) {
  Compensated result;
  T x_filled[LANES] = {}, y_filled[LANES] = {};
  if (size < LANES) {
    x = (const T*)std::memcpy(x_filled, x, size * sizeof(T));
    y = (const T*)std::memcpy(y_filled, y, size * sizeof(T));
    size = LANES;
  }
  for (int64_t begin = 0; begin < size; begin += CHUNK) {
    Block high = {}, low = {}, errors = {};
    each_register(x, y, begin, end_of_chunk(begin, size), [&](int i, Doubles a, Doubles b) FORCED {
      Doubles product = a * b, before = high.part[i];
      Doubles after = before + product, shifted = after - before;
      Doubles error = (before - (after - shifted)) + (product - shifted);
      high.part[i] = after;
      errors.part[i] += absolute(error);
      if (Digits<T>::value == 53) {
        Doubles lost = product_error(a, b, product);
        errors.part[i] += absolute(lost);
        error += lost;
      }
      low.part[i] += error;
    });
    double lane[LANES];
    std::memcpy(lane, &high, sizeof lane);
    for (int i = 0; i < LANES; ++i) {
      double error;
      result.high = two_sum(result.high, lane[i], error);
      result.low += error;
      result.errors += std::fabs(error);
    }
    result.low += sum_lanes(low);
    result.errors += sum_lanes(errors);
  }
  return result;
}

// The sum of the products of two rows; inf or nan as IEEE arithmetic has it where an element is not finite.
template <class T>
NEVER_INLINE Sum sum_exactly(const T* x, const T* y, int64_t size) {
  double plain = 0;
  bool finite = true;
  for (int64_t k = 0; k < size; ++k) {
    double a = x[k], b = y[k];
    plain += a * b;
    finite = finite && std::isfinite(a) && std::isfinite(b);
  }
  if (!finite) return {plain};
  ExactSum exact;
  for (int64_t k = 0; k < size; ++k) exact.add(x[k], y[k]);
  return exact.value();
}

template <class T>
NEVER_INLINE Sum sum_carefully(const T* x, const T* y, int64_t size) {
  Compensated c = sum_compensated(x, y, size);
  double sum = std::fabs(c.high + c.low);
  bool enough = sum >= c.errors * tolerance<T>(size) && sum < INFINITY;
  // Products of doubles may have been lost to underflow, without a trace in the errors.
  if (Digits<T>::value == 53) enough = enough && sum > 0x1p-900;
  return enough ? Sum{c.high, c.low} : sum_exactly(x, y, size);
}
