// What stands between the products; patterns of a recorded step become these.

void require_dtype(const Tensor& x) {
  TORCH_CHECK((x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat) && x.stride(-1) == 1,
              "dense bfloat16 or float is computed, not ", x.scalar_type());
}

constexpr int64_t GRAIN = 16384;  // numbers of one thread at least

// weight * (x in float, over the root of its mean square, as `narrow`)
Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& epsilon, int64_t wide, int64_t narrow) {
  require_dtype(x);
  TORCH_CHECK(wide == (int64_t)at::kFloat && narrow == (int64_t)x.scalar_type() &&
                  weight.scalar_type() == x.scalar_type() && weight.is_contiguous() && weight.numel() == x.size(-1),
              "the norm is computed in float and given as its input");
  auto dense = x.contiguous();
  auto y = at::empty_like(dense);
  int64_t size = x.size(-1), rows = size ? x.numel() / size : 0;
  float small = epsilon.item<float>();
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (half)
        kernels().norm16(numbers(std::as_const(dense)) + row * size, numbers(weight), numbers(y) + row * size, size, small);
      else
        kernels().norm32(dense.const_data_ptr<float>() + row * size, weight.const_data_ptr<float>(),
                         y.mutable_data_ptr<float>() + row * size, size, small);
    }
  });
  return y;
}

// x (1, heads, rows, dim), cosine and sine (1, 1, rows, dim)
Tensor rotary(const Tensor& x, const Tensor& cosine, const Tensor& sine) {
  require_dtype(x);
  int64_t heads = x.size(1), rows = x.size(2), dim = x.size(3);
  TORCH_CHECK(x.dim() == 4 && x.size(0) == 1 && dim % 2 == 0 && cosine.numel() == rows * dim && sine.numel() == rows * dim &&
                  cosine.scalar_type() == x.scalar_type() && sine.scalar_type() == x.scalar_type(),
              "rotary embedding of ", x.sizes(), " by ", cosine.sizes());
  auto c = cosine.contiguous(), s = sine.contiguous();
  auto y = at::empty({1, rows, heads, dim}, x.options());
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / (heads * dim)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t head = 0; head < heads; ++head) {
        int64_t from = row * x.stride(2) + head * x.stride(1), to = (row * heads + head) * dim;
        if (half)
          kernels().rotate16(numbers(x) + from, numbers(std::as_const(c)) + row * dim, numbers(std::as_const(s)) + row * dim,
                             numbers(y) + to, dim / 2);
        else
          kernels().rotate32(x.const_data_ptr<float>() + from, c.const_data_ptr<float>() + row * dim,
                             s.const_data_ptr<float>() + row * dim, y.mutable_data_ptr<float>() + to, dim / 2);
      }
  });
  return y.transpose(1, 2);
}

Tensor silu_mul(const Tensor& gate, const Tensor& up) {
  require_dtype(gate);
  TORCH_CHECK(gate.sizes() == up.sizes() && up.scalar_type() == gate.scalar_type() && up.stride(-1) == 1, "gate ",
              gate.sizes(), " and ", up.sizes());
  int64_t size = gate.size(-1), rows = size ? gate.numel() / size : 0;
  // one stride from row to row, as parts of a joined product have it
  auto g = gate.view({rows, size}), u = up.view({rows, size});
  auto y = at::empty(gate.sizes(), gate.options());
  bool half = gate.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (half)
        kernels().gate16(numbers(std::as_const(g)) + row * g.stride(0), numbers(std::as_const(u)) + row * u.stride(0),
                         numbers(y) + row * size, size);
      else
        kernels().gate32(g.const_data_ptr<float>() + row * g.stride(0), u.const_data_ptr<float>() + row * u.stride(0),
                         y.mutable_data_ptr<float>() + row * size, size);
    }
  });
  return y;
}

// x (rows, size): the largest number of each row in float, and where it stands first
std::tuple<Tensor, Tensor> highest(const Tensor& x) {
  require_dtype(x);
  TORCH_CHECK(x.dim() == 2 && x.size(1) > 0, "rows of numbers are searched, not ", x.sizes());
  int64_t rows = x.size(0), size = x.size(1);
  auto values = at::empty({rows}, x.options().dtype(at::kFloat));
  auto indices = at::empty({rows}, x.options().dtype(at::kLong));
  float* value = values.mutable_data_ptr<float>();
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      index[row] = half ? kernels().highest16(numbers(x) + row * x.stride(0), size, value + row)
                        : kernels().highest32(x.const_data_ptr<float>() + row * x.stride(0), size, value + row);
  });
  return {values, indices};
}
