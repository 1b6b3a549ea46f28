// What a cosine matrix needs beside torch's product of matrices: its scale and bound, and unit vectors for
// its gradients.
//
// Included once for each instruction set (see kernels.h).

// What products are scaled in: a whole register of float, or as double.
template <class T>
struct Scaling {
  using Number = double;
  using Register = Doubles;
  INLINE_MEMBER static Register read(const T* from) { return Memory<T>::read(from); }
  INLINE_MEMBER static void write(T* to, Register a) { Memory<T>::write(to, a); }
};

template <>
struct Scaling<float> {
  using Number = float;
  using Register = Singles;
  INLINE_MEMBER static Register read(const float* from) {
    Register a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  INLINE_MEMBER static void write(float* to, Register a) { std::memcpy(to, &a, sizeof a); }
};

// The squared norms of the rows of an operand from one on.
template <class T>
INLINE void sum_squares(const T* rows, const Operand& of, int64_t count, int64_t size, double* squares) {
  int64_t j = 0;
  if constexpr (Digits<T>::value != 53) {
    double sums[MANY];
    for (; of.stride == 1 && size >= LANES && j + MANY <= count; j += MANY) {
      const T* row = rows + j * of.row_stride;
      sum_rows(row, of.row_stride, row, of.row_stride, size, sums);
      std::memcpy(squares + j, sums, sizeof sums);
    }
  }
  Space<T> space(of.stride == 1 ? 0 : size);
  for (; j < count; ++j) {
    const T* row = packed(rows + j * of.row_stride, of.stride, size, space.data);
    if constexpr (Digits<T>::value == 53)
      squares[j] = to_double(sum_carefully(row, row, size));
    else
      squares[j] = sum_products(row, row, size).xx;
  }
}

// What the products of rows are scaled by in a cosine matrix; NaN where one of them may have overflowed, or
// lost digits to underflow. Products with zeros are zero, whatever the floor.
template <class T>
struct Scales {
  using Number = typename Scaling<T>::Number;
  Space<double> squares;
  Space<Number> numbers;
  bool sound;  // whether none is NaN

  explicit Scales(int64_t most) : squares(most + WIDTH), numbers(most + WIDTH) {}

  INLINE_MEMBER void find(const T* rows, const Operand& of, int64_t count, int64_t size, double epsilon) {
    const Doubles least = all(std::ldexp(1.0, 2 * Range<T>::least)), most = all(std::ldexp(1.0, 2 * Range<T>::most));
    sum_squares(rows, of, count, size, squares.data);
    for (int64_t j = count; j < count + WIDTH; ++j) squares.data[j] = 0;
    Longs wrong = {};
    for (int64_t j = 0; j < count; j += WIDTH) {
      Doubles square = Memory<double>::read(squares.data + j);
      Longs zero = (Longs)(square == 0), good = zero | ((Longs)(square >= least) & (Longs)(square <= most));
      Doubles scale = zero ? all(1) : good ? inverse_root(square, epsilon) : all(NAN);
      Memory<Number>::write(numbers.data + j, scale);
      wrong |= ~good;
    }
    sound = true;
    for (int i = 0; i < WIDTH; ++i) sound = sound && !wrong[i];
  }
};

// Make cosines of the products of one row with others, in place.
template <class T, class Number>
INLINE void scale_row(T* products, Number x_scale, const Number* y_scale, int64_t count) {
  using Register = typename Scaling<T>::Register;
  constexpr int STEP = sizeof(Register) / sizeof(Number);
  int64_t j = 0;
  for (; j + STEP <= count; j += STEP) {
    Register scale;
    std::memcpy(&scale, y_scale + j, sizeof scale);
    Scaling<T>::write(products + j, bounded(Scaling<T>::read(products + j) * (scale * x_scale)));
  }
  for (; j < count; ++j) {
    Number value = (Number)products[j] * (y_scale[j] * x_scale);
    store(products + j, value > 1 ? 1 : value < -1 ? -1 : value);
  }
}

// Make cosines of matrices of products, in place. Those that no scale makes right are computed anew.
template <class T>
void scale_products(const Task& task, int64_t begin, int64_t end) {
  Scales<T> x_scales(task.rows), y_scales(task.columns);
  Space<T> x_space(task.x.stride == 1 ? 0 : task.size), y_space(task.y.stride == 1 ? 0 : task.size);
  for (int64_t row = begin; row < end;) {
    int64_t group = row / task.rows, first = row % task.rows;
    int64_t count = task.rows - first < end - row ? task.rows - first : end - row;
    const T* x = (const T*)task.x.data + task.x.offset(group, task) + first * task.x.row_stride;
    const T* y = (const T*)task.y.data + task.y.offset(group, task);
    T* products = (T*)task.out.data + row * task.columns;
    x_scales.find(x, task.x, count, task.size, task.epsilon);
    y_scales.find(y, task.y, task.columns, task.size, task.epsilon);
    for (int64_t i = 0; i < count; ++i)
      scale_row(products + i * task.columns, x_scales.numbers.data[i], y_scales.numbers.data, task.columns);
    for (int64_t i = 0; !(x_scales.sound && y_scales.sound) && i < count; ++i) {
      const T* x_row = packed(x + i * task.x.row_stride, task.x.stride, task.size, x_space.data);
      for (int64_t j = 0; j < task.columns; ++j) {
        auto scale = x_scales.numbers.data[i] * y_scales.numbers.data[j];
        if (scale == scale) continue;
        const T* y_row = packed(y + j * task.y.row_stride, task.y.stride, task.size, y_space.data);
        store(products + i * task.columns + j, cosine(x_row, y_row, task.size, task.epsilon).value);
      }
    }
    row += count;
  }
}

template <class T>
INLINE Inverse inverse_norm(const T* x, int64_t size, double epsilon) {
  if constexpr (Digits<T>::value == 53) {
    Sum root;
    return inverse_root(sum_carefully(x, x, size), epsilon, root);
  } else {
    return inverse_root(sum_products(x, x, size).xx, epsilon);
  }
}

template <class T>
void row_unit(const Task& task, int64_t begin, int64_t end) {
  Space<T> space(task.out.stride == 1 ? 0 : task.size);
  each_row<T>(task, begin, end, [&](const T* x, const T*, int64_t row) FORCED {
    Inverse inverse = inverse_norm(x, task.size, task.epsilon);
    write_row(task, row, space.data, [&](T* out) FORCED {
      for (int64_t k = 0; k < task.size; k += LANES)
        write_at(out, k, task.size, scaled_block<T>(read_at(x, k, task.size), inverse));
    });
  });
}

// y is the gradient of the unit vectors: (y - (y·u) u) / |x|, where u is the unit vector of x.
template <class T>
void row_unit_backward(const Task& task, int64_t begin, int64_t end) {
  Space<T> space(task.out.stride == 1 ? 0 : task.size);
  each_row<T>(task, begin, end, [&](const T* x, const T* y, int64_t row) FORCED {
    Inverse inverse, one = {1, 1, false};
    double along;
    if constexpr (Digits<T>::value == 53) {
      inverse = inverse_norm(x, task.size, task.epsilon);
      along = to_double(sum_carefully(x, y, task.size));
    } else {  // y was rounded to T by the product it comes from: a sum in double loses nothing beside that
      Products sums = sum_products(x, y, task.size);
      inverse = inverse_root(sums.xx, task.epsilon);
      along = sums.xy;
    }
    along *= inverse.value * inverse.scale;
    write_row(task, row, space.data, [&](T* out) FORCED {
      for (int64_t k = 0; k < task.size; k += LANES) {
        Block a = read_at(x, k, task.size), b = read_at(y, k, task.size);
        write_at(out, k, task.size, gradient_block<T>(a, inverse, b, one, along, 1));
      }
    });
  });
}
