// What is computed of each row: products, cosines, and the gradients of those.
//
// Included once for each instruction set (see kernels.h).

// The inverse of a norm, as two factors: that of the largest norms of doubles is not a normal double.
struct Inverse {
  double value, scale;
  bool floored;  // whether the norm is the floor, a constant
};

struct Cosine {
  double value;
  Inverse x, y;
};

INLINE Inverse inverse_root(double square, double epsilon) {
  bool floored = square < epsilon;
  return {1 / std::sqrt(floored ? epsilon : square), 1, floored};
}

// Of a register of squares.
INLINE Doubles inverse_root(Doubles square, double epsilon) {
  return 1 / root(square < epsilon ? all(epsilon) : square);
}

INLINE Inverse inverse_root(const Sum& square, double epsilon, Sum& root) {
  bool floored = to_double(square) < epsilon;
  root = square_root(floored ? Sum{epsilon} : square);
  int half = root.exponent / 2;
  return {std::ldexp(1 / (root.high + root.low), half - root.exponent), std::ldexp(1.0, -half), floored};
}

template <class T>
INLINE Cosine cosine(const T* x, const T* y, int64_t size, double epsilon) {
  Cosine result;
  if constexpr (Digits<T>::value == 53) {
    Sum xy = sum_carefully(x, y, size), xx = sum_carefully(x, x, size), yy = sum_carefully(y, y, size);
    Sum x_norm, y_norm;
    result.x = inverse_root(xx, epsilon, x_norm);
    result.y = inverse_root(yy, epsilon, y_norm);
    result.value = to_double(quotient(scaled(xy), product(x_norm, y_norm)));
    if (!std::isfinite(xx.high) || !std::isfinite(yy.high) || !std::isfinite(xy.high)) result.value = NAN;
  } else {
    Products sums = sum_products(x, y, size);
    // sum(|x·y|) is at most |x|·|y|.
    double part = tolerance<T>(size);
    if (!(sums.xy * sums.xy >= part * part * sums.xx * sums.yy)) sums.xy = to_double(sum_carefully(x, y, size));
    result.x = inverse_root(sums.xx, epsilon);
    result.y = inverse_root(sums.yy, epsilon);
    result.value = sums.xy * result.x.value * result.y.value;
  }
  if (result.value > 1) result.value = 1;
  if (result.value < -1) result.value = -1;
  return result;
}

template <class T>
INLINE Block scaled_block(Block x, const Inverse& inverse) {
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i) {
    x.part[i] *= inverse.value;
    if (Digits<T>::value == 53) x.part[i] *= inverse.scale;
  }
  return x;
}

// The gradient to x: (v/|v| - cosine · x/|x|) · gradient/|x|, where the norm of x is not the floor.
template <class T>
INLINE Block gradient_block(const Block& x, const Inverse& of_x, const Block& v, const Inverse& of_v, double cosine,
                            double gradient) {
  Block unit = scaled_block<T>(x, of_x), other = scaled_block<T>(v, of_v);
  double part = of_x.floored ? 0 : cosine;
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i) other.part[i] = (other.part[i] - part * unit.part[i]) * gradient;
  return scaled_block<T>(other, of_x);
}

INLINE void add_block(double* to, const Block& a) {
  Block sum = read_block(to);
#pragma GCC unroll 8
  for (int i = 0; i < REGISTERS; ++i) sum.part[i] += a.part[i];
  write_block(to, sum);
}

template <class T>
INLINE Block read_at(const T* row, int64_t k, int64_t size) {
  return size - k < LANES ? read_some(row + k, size - k) : read_block(row + k);
}

template <class T>
INLINE void write_at(T* row, int64_t k, int64_t size, const Block& block) {
  if (size - k < LANES)
    write_some(row + k, size - k, block);
  else
    write_block(row + k, block);
}

// A row of an operand as it is where its elements touch, or packed.
template <class T>
INLINE const T* packed(const T* row, int64_t stride, int64_t size, T* space) {
  if (stride == 1) return row;
  for (int64_t k = 0; k < size; ++k) space[k] = row[k * stride];
  return space;
}

// Call body(row of x, row of y, number of the row) for the rows from begin to end.
template <class T, class Body>
INLINE void each_row(const Task& task, int64_t begin, int64_t end, Body body) {
  if (begin == end) return;
  Space<T> x_space(task.x.stride == 1 ? 0 : task.size), y_space(task.y.stride == 1 ? 0 : task.size);
  int64_t group = begin / task.rows, i = begin % task.rows;
  for (int64_t row = begin; row < end; ++group, i = 0) {
    const T* x = (const T*)task.x.data + task.x.offset(group, task);
    const T* y = (const T*)task.y.data + task.y.offset(group, task);
    y = packed(y, task.y.stride, task.size, y_space.data);
    for (; i < task.rows && row < end; ++i, ++row)
      body(packed(x + i * task.x.row_stride, task.x.stride, task.size, x_space.data), y, row);
  }
}

// Call body(where to write a row as large as x) and see that it gets to its place.
template <class T, class Body>
INLINE void write_row(const Task& task, int64_t row, T* space, Body body) {
  T* out = (T*)task.out.data + task.out.offset(row, task);
  if (task.out.stride == 1) return body(out);
  body(space);
  for (int64_t k = 0; k < task.size; ++k) out[k * task.out.stride] = space[k];
}

// The product of two rows, in a dtype narrower than double.
template <class T>
INLINE double product(const T* x, const T* y, int64_t size) {
  Product p = sum_product(x, y, size);
  return std::fabs(p.sum) >= tolerance<T>(size) * p.size ? p.sum : to_double(sum_carefully(x, y, size));
}

// The products of rows of x with rows of y, several at a time. What `part` of the largest elements leaves in
// doubt, careful(i) computes again.
template <class T, class U, class Careful>
INLINE void multiply_rows(const T* x, int64_t x_stride, const U* y, int64_t y_stride, int64_t size, int64_t count,
                          double part, T* out, Careful careful) {
  int64_t i = 0;
  auto multiply = [&](auto& sums) FORCED {
    double enough = part * sum_rows(x + i * x_stride, x_stride, y + i * y_stride, y_stride, size, sums);
#pragma GCC unroll 4
    for (double sum : sums) {
      store(out + i, std::fabs(sum) >= enough ? sum : careful(i));
      ++i;
    }
  };
  double many[MANY], one[1];
  while (i + MANY <= count) multiply(many);
  while (i < count) multiply(one);
}

// Rows that each meet a row of their own, in two matrices.
template <class T>
INLINE void multiply_pairs(const Task& task, int64_t begin, int64_t end) {
  int64_t size = task.size, x_stride = task.x.strides[0], y_stride = task.y.strides[0];
  const T* x = (const T*)task.x.data + begin * x_stride;
  const T* y = (const T*)task.y.data + begin * y_stride;
  multiply_rows(x, x_stride, y, y_stride, size, end - begin, tolerance<T>(size) * size, (T*)task.out.data + begin,
                [&](int64_t i) { return product(x + i * x_stride, y + i * y_stride, size); });
}

// Rows that meet the same row of y meet it as doubles, which are converted once.
template <class T>
INLINE void multiply_groups(const Task& task, int64_t begin, int64_t end) {
  int64_t size = task.size, stride = task.x.row_stride, group = begin / task.rows, i = begin % task.rows;
  Space<double> wide(size);
  Space<T> space(task.y.stride == 1 ? 0 : size);
  for (int64_t row = begin; row < end; ++group, i = 0) {
    const T* x = (const T*)task.x.data + task.x.offset(group, task) + i * stride;
    const T* y = packed((const T*)task.y.data + task.y.offset(group, task), task.y.stride, size, space.data);
    double part = tolerance<T>(size) * size * widen_row(y, size, wide.data);
    int64_t count = task.rows - i < end - row ? task.rows - i : end - row;
    multiply_rows(x, stride, wide.data, 0, size, count, part, (T*)task.out.data + row,
                  [&](int64_t i) { return product(x + i * stride, y, size); });
    row += count;
  }
}

template <class T>
void row_product(const Task& task, int64_t begin, int64_t end) {
  constexpr int64_t LONG = 256;  // of longer rows, several at a time save nothing
  bool several = task.x.stride == 1 && task.size >= LANES;
  if constexpr (Digits<T>::value == 53) {
    each_row<T>(task, begin, end, [&](const T* x, const T* y, int64_t row) FORCED {
      store((T*)task.out.data + row, to_double(sum_carefully(x, y, task.size)));
    });
  } else if (several && task.rows > 1) {
    multiply_groups<T>(task, begin, end);
  } else if (several && task.size <= LONG && task.y.stride == 1 && task.axes == 1) {
    multiply_pairs<T>(task, begin, end);
  } else {
    each_row<T>(task, begin, end, [&](const T* x, const T* y, int64_t row) FORCED {
      store((T*)task.out.data + row, product(x, y, task.size));
    });
  }
}

// The cosines of rows that each meet a row of their own, in two matrices: their roots and quotients in whole
// registers. The bits are those of cosine.
template <class T>
INLINE void cosines_of_pairs(const Task& task, int64_t begin, int64_t end) {
  constexpr int SOME = 8;
  int64_t size = task.size;
  double part = tolerance<T>(size);
  for (int64_t row = begin; row < end; row += SOME) {
    int count = end - row < SOME ? (int)(end - row) : SOME;
    double xy[SOME] = {}, xx[SOME] = {}, yy[SOME] = {};
    for (int i = 0; i < count; ++i) {
      const T* x = (const T*)task.x.data + (row + i) * task.x.strides[0];
      const T* y = (const T*)task.y.data + (row + i) * task.y.strides[0];
      Products sums = sum_products(x, y, size);
      bool enough = sums.xy * sums.xy >= part * part * sums.xx * sums.yy;
      xy[i] = enough ? sums.xy : to_double(sum_carefully(x, y, size));
      xx[i] = sums.xx;
      yy[i] = sums.yy;
    }
    for (int i = 0; i < SOME; i += WIDTH) {
      Doubles x = Memory<double>::read(xx + i), y = Memory<double>::read(yy + i);
      Doubles value = Memory<double>::read(xy + i) * inverse_root(x, task.epsilon) * inverse_root(y, task.epsilon);
      Memory<double>::write(xy + i, value);  // narrowed, it is at most 1
    }
    for (int i = 0; i < count; ++i) store((T*)task.out.data + row + i, xy[i]);
  }
}

template <class T>
void row_cosine(const Task& task, int64_t begin, int64_t end) {
  if constexpr (Digits<T>::value != 53)
    if (task.rows == 1 && task.axes == 1 && task.x.stride == 1 && task.y.stride == 1)
      return cosines_of_pairs<T>(task, begin, end);
  each_row<T>(task, begin, end, [&](const T* x, const T* y, int64_t row) FORCED {
    store((T*)task.out.data + row, cosine(x, y, task.size, task.epsilon).value);
  });
}

// Write gradients of x and y, from groups begin to end: that of y may have to be summed over the rows of
// a group. rules(x, y, row) returns what makes of a block of each a block of the gradients.
template <class T, class Rules>
INLINE void write_gradients(const Task& task, int64_t begin, int64_t end, Rules rules) {
  bool sums = task.rows != 1 && task.y_gradient;  // of no rows as well
  Space<double> total(sums ? task.size + LANES : 0);
  for (int64_t group = begin; group < end; ++group) {
    if (sums) std::memset(total.data, 0, (task.size + LANES) * sizeof(double));
    each_row<T>(task, group * task.rows, (group + 1) * task.rows, [&](const T* x, const T* y, int64_t row) FORCED {
      auto rule = rules(x, y, row);
      T* x_gradient = (T*)task.x_gradient + row * task.size;
      T* y_gradient = (T*)task.y_gradient + row * task.size;
      for (int64_t k = 0; k < task.size; k += LANES) {
        Block a = read_at(x, k, task.size), b = read_at(y, k, task.size);
        if (task.x_gradient) write_at(x_gradient, k, task.size, rule.of_x(a, b));
        if (!task.y_gradient) continue;
        if (sums)
          add_block(total.data + k, rule.of_y(a, b));
        else
          write_at(y_gradient, k, task.size, rule.of_y(a, b));
      }
    });
    for (int64_t k = 0; sums && k < task.size; ++k) store((T*)task.y_gradient + group * task.size + k, total.data[k]);
  }
}

template <class T>
struct ProductRule {
  Inverse factor;  // the gradient of the product, by which the other row is multiplied

  INLINE_MEMBER Block of_x(const Block&, const Block& y) const { return scaled_block<T>(y, factor); }
  INLINE_MEMBER Block of_y(const Block& x, const Block&) const { return scaled_block<T>(x, factor); }
};

template <class T>
struct CosineRule {
  Cosine cosine;
  double gradient;

  INLINE_MEMBER Block of_x(const Block& x, const Block& y) const {
    return gradient_block<T>(x, cosine.x, y, cosine.y, cosine.value, gradient);
  }
  INLINE_MEMBER Block of_y(const Block& x, const Block& y) const {
    return gradient_block<T>(y, cosine.y, x, cosine.x, cosine.value, gradient);
  }
};

template <class T>
void row_product_backward(const Task& task, int64_t begin, int64_t end) {
  write_gradients<T>(task, begin, end, [&](const T*, const T*, int64_t row) FORCED {
    return ProductRule<T>{{(double)((const T*)task.gradient)[row], 1, false}};
  });
}

template <class T>
void row_cosine_backward(const Task& task, int64_t begin, int64_t end) {
  write_gradients<T>(task, begin, end, [&](const T* x, const T* y, int64_t row) FORCED {
    return CosineRule<T>{cosine(x, y, task.size, task.epsilon), (double)((const T*)task.gradient)[row]};
  });
}
