// What stands between the products; patterns of a recorded step become these.

void require_dense_rows(const Tensor& x) { TORCH_CHECK(x.stride(-1) == 1, "numbers of a row stand beside each other"); }

constexpr int64_t GRAIN = 16384;  // numbers of one thread at least

// weight * (x in float, over the root of its mean square, as `narrow`)
Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& epsilon, int64_t wide, int64_t narrow) {
  TORCH_CHECK(wide == (int64_t)at::kFloat && narrow == (int64_t)x.scalar_type() &&
                  weight.scalar_type() == x.scalar_type() && weight.is_contiguous() && weight.numel() == x.size(-1),
              "the norm is computed in float and given as its input");
  auto dense = x.contiguous();
  auto y = at::empty_like(dense);
  int64_t size = x.size(-1), rows = size ? x.numel() / size : 0;
  float small = epsilon.item<float>();
  by_dtype(x, [&](auto number) {
    using T = decltype(number);
    const T *from = read<T>(dense), *by = read<T>(weight);
    T* to = write<T>(y);
    at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        kernels().of<T>().norm(from + row * size, by, to + row * size, size, small);
    });
  });
  return y;
}

// x (1, heads, rows, dim), cosine and sine (1, 1, rows, dim)
Tensor rotary(const Tensor& x, const Tensor& cosine, const Tensor& sine) {
  require_dense_rows(x);
  int64_t heads = x.size(1), rows = x.size(2), dim = x.size(3);
  TORCH_CHECK(x.dim() == 4 && x.size(0) == 1 && dim % 2 == 0 && cosine.numel() == rows * dim &&
                  sine.numel() == rows * dim && cosine.scalar_type() == x.scalar_type() &&
                  sine.scalar_type() == x.scalar_type(),
              "rotary embedding of ", x.sizes(), " by ", cosine.sizes());
  auto dense_cosine = cosine.contiguous(), dense_sine = sine.contiguous();
  auto y = at::empty({1, rows, heads, dim}, x.options());
  by_dtype(x, [&](auto number) {
    using T = decltype(number);
    const T *from = read<T>(x), *c = read<T>(dense_cosine), *s = read<T>(dense_sine);
    T* to = write<T>(y);
    at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / (heads * dim)), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        for (int64_t head = 0; head < heads; ++head)
          kernels().of<T>().rotate(from + row * x.stride(2) + head * x.stride(1), c + row * dim, s + row * dim,
                                   to + (row * heads + head) * dim, dim / 2);
    });
  });
  return y.transpose(1, 2);
}

Tensor silu_mul(const Tensor& gate, const Tensor& up) {
  require_dense_rows(gate);
  require_dense_rows(up);
  TORCH_CHECK(gate.sizes() == up.sizes() && up.scalar_type() == gate.scalar_type(), "gate ", gate.sizes(), " and ",
              up.sizes());
  int64_t size = gate.size(-1), rows = size ? gate.numel() / size : 0;
  // one stride from row to row, as parts of a joined product have it
  auto gates = gate.view({rows, size}), ups = up.view({rows, size});
  auto y = at::empty(gate.sizes(), gate.options());
  by_dtype(gate, [&](auto number) {
    using T = decltype(number);
    const T *g = read<T>(gates), *u = read<T>(ups);
    T* to = write<T>(y);
    at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        kernels().of<T>().gate(g + row * gates.stride(0), u + row * ups.stride(0), to + row * size, size);
    });
  });
  return y;
}

// x (rows, size): the largest number of each row in float, and where it stands first
std::tuple<Tensor, Tensor> highest(const Tensor& x) {
  require_dense_rows(x);
  TORCH_CHECK(x.dim() == 2 && x.size(1) > 0, "rows of numbers are searched, not ", x.sizes());
  int64_t rows = x.size(0), size = x.size(1);
  auto values = at::empty({rows}, x.options().dtype(at::kFloat));
  auto indices = at::empty({rows}, x.options().dtype(at::kLong));
  float* value = write<float>(values);
  int64_t* index = write<int64_t>(indices);
  by_dtype(x, [&](auto number) {
    using T = decltype(number);
    const T* from = read<T>(x);
    at::parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        index[row] = kernels().of<T>().highest(from + row * x.stride(0), size, value + row);
    });
  });
  return {values, indices};
}
