// What a cosine matrix needs beside torch's product of matrices: its scale and bound, and unit vectors for
// its gradients.
//
// Included once for each instruction set (see kernels.h).

// The inverse of a row's norm, and the square of that norm.
template <class T>
INLINE Inverse inverse_norm(const T* x, int64_t size, double epsilon, double& square) {
  if constexpr (Digits<T>::value == 53) {
    Sum sum = sum_carefully(x, x, size), root;
    square = to_double(sum);
    return inverse_root(sum, epsilon, root);
  } else {
    square = sum_products(x, x, size).xx;
    return inverse_root(square, epsilon);
  }
}

template <class T>
INLINE Inverse inverse_norm(const T* x, int64_t size, double epsilon) {
  double square;
  return inverse_norm(x, size, epsilon, square);
}

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

// What the products of a row are scaled by in a cosine matrix; NaN where one of them may have overflowed, or
// lost digits to underflow.
template <class T>
INLINE typename Scaling<T>::Number scale_of(const T* x, int64_t size, double epsilon) {
  double square;
  Inverse inverse = inverse_norm(x, size, epsilon, square);
  if (square == 0) return 1;  // products with zeros are zero, whatever the floor
  bool sound = square >= std::ldexp(1.0, 2 * Range<T>::least) && square <= std::ldexp(1.0, 2 * Range<T>::most);
  return sound ? inverse.value * inverse.scale : NAN;
}

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
  using Number = typename Scaling<T>::Number;
  Space<T> x_space(task.x.stride == 1 ? 0 : task.size), y_space(task.y.stride == 1 ? 0 : task.size);
  Space<Number> y_scale(task.columns);
  const T* y = nullptr;
  auto y_row = [&](int64_t j) FORCED {
    return packed(y + j * task.y.row_stride, task.y.stride, task.size, y_space.data);
  };
  int64_t last_group = -1;
  bool sound = false;  // whether all rows of y in the group have a scale
  for (int64_t row = begin; row < end; ++row) {
    int64_t group = row / task.rows, i = row % task.rows;
    if (group != last_group) {
      y = (const T*)task.y.data + task.y.offset(group, task);
      sound = true;
      for (int64_t j = 0; j < task.columns; ++j) {
        y_scale.data[j] = scale_of(y_row(j), task.size, task.epsilon);
        sound = sound && y_scale.data[j] == y_scale.data[j];
      }
      last_group = group;
    }
    const T* x = (const T*)task.x.data + task.x.offset(group, task) + i * task.x.row_stride;
    x = packed(x, task.x.stride, task.size, x_space.data);
    Number x_scale = scale_of(x, task.size, task.epsilon);
    T* products = (T*)task.out.data + row * task.columns;
    scale_row(products, x_scale, y_scale.data, task.columns);
    for (int64_t j = 0; !(sound && x_scale == x_scale) && j < task.columns; ++j) {
      Number scale = x_scale * y_scale.data[j];
      if (scale != scale) store(products + j, cosine(x, y_row(j), task.size, task.epsilon).value);
    }
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
    Inverse inverse = inverse_norm(x, task.size, task.epsilon), one = {1, 1, false};
    double along = to_double(sum_carefully(x, y, task.size)) * inverse.value * inverse.scale;
    write_row(task, row, space.data, [&](T* out) FORCED {
      for (int64_t k = 0; k < task.size; k += LANES) {
        Block a = read_at(x, k, task.size), b = read_at(y, k, task.size);
        write_at(out, k, task.size, gradient_block<T>(a, inverse, b, one, along, 1));
      }
    });
  });
}
