// Attention over the engine's cache, of rows of many sequences in one call. The cache's tensors are told beside the step,
// as adapters are: tensors in a recorded step are compared with each other, which takes minutes for a large cache.

template <class T>
void store(const Tensor& from, Tensor& cache, const int64_t* slots, const int64_t* positions, int64_t rows) {
  int64_t heads = from.size(1), dim = from.size(2), context = cache.size(1);
  const T* source = reinterpret_cast<const T*>(from.const_data_ptr());
  T* target = reinterpret_cast<T*>(cache.mutable_data_ptr());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head)
      std::memcpy(target + ((slots[row] * context + positions[row]) * heads + head) * dim,
                  source + row * from.stride(0) + head * from.stride(1), dim * sizeof(T));
}

bool can_attend(int64_t dim) { return kernels().attend32({}, 0, 0, 0, dim); }

struct Run {
  int64_t first, rows;
};

// Rows that follow each other in one sequence.
std::vector<Run> runs_of(const int64_t* slots, const int64_t* positions, int64_t rows) {
  std::vector<Run> runs;
  for (int64_t row = 0; row < rows; ++row) {
    if (row && slots[row] == slots[row - 1] && positions[row] == positions[row - 1] + 1)
      ++runs.back().rows;
    else
      runs.push_back({row, 1});
  }
  return runs;
}

struct Piece {
  int64_t run, kv_head, first, last;
};

constexpr int64_t QUERIES = 16;  // of one piece of work at most

// query (rows, heads, dim), key and value (rows, kv_heads, dim), caches (slots, context, kv_heads, dim)
Tensor attend(const Tensor& query, const Tensor& key, const Tensor& value, Tensor keys, Tensor values,
              const Tensor& slots, const Tensor& positions, double scale, int64_t window, double softcap,
              const std::optional<Tensor>& sinks) {
  int64_t rows = query.size(0), heads = query.size(1), dim = query.size(2), kv_heads = key.size(1);
  auto dtype = query.scalar_type();
  TORCH_CHECK((dtype == at::kBFloat16 || dtype == at::kFloat) && keys.scalar_type() == dtype &&
                  values.scalar_type() == dtype && key.scalar_type() == dtype && value.scalar_type() == dtype,
              "attention computes one dtype, bfloat16 or float");
  TORCH_CHECK(query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1 && keys.is_contiguous() &&
                  values.is_contiguous() && value.size(2) == dim && keys.size(2) == kv_heads && keys.size(3) == dim &&
                  slots.numel() == rows && positions.numel() == rows,
              "attention of ", query.sizes(), " over ", keys.sizes());
  auto all_slots = slots.contiguous(), all_positions = positions.contiguous();
  const int64_t *slot = all_slots.const_data_ptr<int64_t>(), *position = all_positions.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row)
    TORCH_CHECK(slot[row] >= 0 && slot[row] < keys.size(0) && position[row] >= 0 && position[row] < keys.size(1),
                "row ", row, " has no cell in the cache");
  bool narrow = dtype == at::kBFloat16;
  if (narrow) {
    store<bf16>(key, keys, slot, position, rows);
    store<bf16>(value, values, slot, position, rows);
  } else {
    store<float>(key, keys, slot, position, rows);
    store<float>(value, values, slot, position, rows);
  }
  Tensor wide_sinks;
  if (sinks) wide_sinks = sinks->to(at::kFloat).contiguous();
  auto output = at::empty({rows, heads, dim}, query.options());
  int64_t size = query.element_size(), group = heads / kv_heads;
  auto runs = runs_of(slot, position, rows);
  std::vector<Piece> pieces;
  for (size_t run = 0; run < runs.size(); ++run)
    for (int64_t head = 0; head < kv_heads; ++head)
      for (int64_t first = 0; first < runs[run].rows * group; first += QUERIES)
        pieces.push_back({(int64_t)run, head, first, std::min(first + QUERIES, runs[run].rows * group)});
  std::atomic<bool> built{true};
  at::parallel_for(0, pieces.size(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const Piece& piece = pieces[index];
      const Run& run = runs[piece.run];
      const char* q = static_cast<const char*>(query.const_data_ptr());
      int64_t cell = slot[run.first] * keys.stride(0) * size;
      modelyard::Attention what{
          q + run.first * query.stride(0) * size,
          query.stride(0),
          query.stride(1),
          static_cast<const char*>(keys.const_data_ptr()) + cell,
          static_cast<const char*>(values.const_data_ptr()) + cell,
          keys.stride(1),
          keys.stride(2),
          static_cast<char*>(output.mutable_data_ptr()) + run.first * heads * dim * size,
          run.rows,
          heads,
          kv_heads,
          position[run.first],
          window,
          (float)scale,
          (float)softcap,
          sinks ? wide_sinks.const_data_ptr<float>() : nullptr,
      };
      bool known = narrow ? kernels().attend16(what, piece.kv_head, piece.first, piece.last, dim)
                          : kernels().attend32(what, piece.kv_head, piece.first, piece.last, dim);
      if (!known) built = false;
    }
  });
  TORCH_CHECK(built, "attention over heads of ", dim, " numbers is not built");
  return output;
}

std::unordered_map<int64_t, std::unordered_map<int64_t, std::pair<Tensor, Tensor>>> caches;

void set_cache(int64_t cache, int64_t layer, const Tensor& keys, const Tensor& values) {
  std::lock_guard<std::mutex> held(guard);
  caches[cache][layer] = {keys, values};
}

Tensor attend_to_cache(const Tensor& query, const Tensor& key, const Tensor& value, int64_t cache, int64_t layer,
                       const Tensor& slots, const Tensor& positions, double scale, int64_t window, double softcap,
                       const std::optional<Tensor>& sinks) {
  std::pair<Tensor, Tensor> tensors;
  {
    std::lock_guard<std::mutex> held(guard);
    auto known = caches.find(cache);
    TORCH_CHECK(known != caches.end() && known->second.count(layer), "no cache for layer ", layer);
    tensors = known->second[layer];
  }
  return attend(query, key, value, tensors.first, tensors.second, slots, positions, scale, window, softcap, sinks);
}

void forget(int64_t number) {
  std::lock_guard<std::mutex> held(guard);
  layers.erase(number);
  steps.erase(number);
  caches.erase(number);
}
