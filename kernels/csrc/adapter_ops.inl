// What a layer's adapters are, and which rows of a step use which, is said beside the step: a recorded step so stays good
// when adapters come and go.

struct Adapters {
  Tensor down, up;  // (slots * ranks, in), (slots * ranks, out)
  int64_t ranks;
};

struct Rows {
  std::vector<int64_t> slots;  // -1: none
  std::vector<float> strengths;
  bool any = false;
};

std::mutex guard;
std::unordered_map<int64_t, Adapters> layers;
std::unordered_map<int64_t, Rows> steps;

void set_adapters(int64_t layer, const std::optional<Tensor>& down, const std::optional<Tensor>& up, int64_t ranks) {
  std::lock_guard<std::mutex> held(guard);
  if (down && up)
    layers[layer] = {*down, *up, ranks};
  else
    layers.erase(layer);
}

void set_rows(int64_t step, const Tensor& slots, const Tensor& strengths) {
  Rows rows;
  auto each = slots.contiguous();
  auto strong = strengths.to(at::kFloat).contiguous();
  rows.slots.assign(each.const_data_ptr<int64_t>(), each.const_data_ptr<int64_t>() + each.numel());
  rows.strengths.assign(strong.const_data_ptr<float>(), strong.const_data_ptr<float>() + strong.numel());
  for (int64_t slot : rows.slots) rows.any |= slot >= 0;
  std::lock_guard<std::mutex> held(guard);
  steps[step] = std::move(rows);
}

template <class T>
void add_adapters(const Adapters& adapters, const Rows& step, const T* x, T* y, int64_t in, int64_t out) {
  int64_t rows = step.slots.size(), ranks = adapters.ranks;
  const T *down = read<T>(adapters.down), *up = read<T>(adapters.up);
  std::vector<float> low(rows * ranks);
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / (ranks * in)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (step.slots[row] < 0) continue;
      const T* matrix = down + step.slots[row] * ranks * in;
      for (int64_t r = 0; r < ranks; ++r)
        low[row * ranks + r] = step.strengths[row] * kernels().of<T>().dot(x + row * in, matrix + r * in, in);
    }
  });
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / (ranks * out)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      if (step.slots[row] >= 0)
        kernels().of<T>().add(y + row * out, low.data() + row * ranks, up + step.slots[row] * ranks * out, out, ranks, out);
  });
}

Tensor add_lora(const Tensor& x, Tensor y, int64_t layer, int64_t step) {
  Adapters adapters;
  const Rows* rows;
  {
    std::lock_guard<std::mutex> held(guard);
    auto found = steps.find(step);
    auto known = layers.find(layer);
    if (found == steps.end() || !found->second.any || known == layers.end()) return y;
    adapters = known->second;
    rows = &found->second;
  }
  int64_t in = x.size(-1), out = y.size(-1);
  TORCH_CHECK(x.numel() / in == (int64_t)rows->slots.size() && y.is_contiguous() && x.scalar_type() == y.scalar_type() &&
                  adapters.down.size(1) == in && adapters.up.size(1) == out,
              "a step of ", rows->slots.size(), " rows and inputs ", x.sizes());
  auto dense = x.contiguous();
  by_dtype(x, [&](auto number) {
    using T = decltype(number);
    add_adapters<T>(adapters, *rows, read<T>(dense), write<T>(y), in, out);
  });
  return y;
}
