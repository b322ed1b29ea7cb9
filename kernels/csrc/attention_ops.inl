// Attention over the engine's cache, of rows of many sequences in one call. The cache's tensors are told beside the step,
// as adapters are: tensors in a recorded step are compared with each other, which takes minutes for a large cache.

std::unordered_map<int64_t, std::unordered_map<int64_t, std::pair<Tensor, Tensor>>> caches;

// keys and values: (slots, context, kv_heads, dim)
void set_cache(int64_t cache, int64_t layer, const Tensor& keys, const Tensor& values) {
  std::lock_guard<std::mutex> held(guard);
  caches[cache][layer] = {keys, values};
}

std::pair<Tensor, Tensor> cache_of(int64_t cache, int64_t layer) {
  std::lock_guard<std::mutex> held(guard);
  auto known = caches.find(cache);
  TORCH_CHECK(known != caches.end() && known->second.count(layer), "no cache for layer ", layer);
  return known->second[layer];
}

template <class T>
void store(const Tensor& from, Tensor& cache, const int64_t* slots, const int64_t* positions, int64_t rows) {
  int64_t heads = from.size(1), dim = from.size(2), context = cache.size(1);
  const T* source = read<T>(from);
  T* target = write<T>(cache);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head)
      std::memcpy(target + ((slots[row] * context + positions[row]) * heads + head) * dim,
                  source + row * from.stride(0) + head * from.stride(1), dim * sizeof(T));
}

bool can_attend(int64_t dim) { return kernels().wide.attend({}, 0, 0, 0, dim); }

// A part of the work that one thread does: query vectors [first, last) of one key head, counted over the rows of a run
// (rows that follow each other in one sequence, of which the first is `row`) and the heads that share the key head.
struct Piece {
  int64_t row, kv_head, first, last;
};

constexpr int64_t QUERIES = 16;  // of one piece at most

std::vector<Piece> pieces_of(const int64_t* slots, const int64_t* positions, int64_t rows, int64_t heads,
                             int64_t kv_heads) {
  std::vector<Piece> pieces;
  for (int64_t row = 0, next; row < rows; row = next) {
    next = row + 1;
    while (next < rows && slots[next] == slots[row] && positions[next] == positions[row] + next - row) ++next;
    int64_t queries = (next - row) * (heads / kv_heads);
    for (int64_t head = 0; head < kv_heads; ++head)
      for (int64_t first = 0; first < queries; first += QUERIES)
        pieces.push_back({row, head, first, std::min(first + QUERIES, queries)});
  }
  return pieces;
}

// query (rows, heads, dim), key and value (rows, kv_heads, dim)
Tensor attend(const Tensor& query, const Tensor& key, const Tensor& value, int64_t cache, int64_t layer,
              const Tensor& slots, const Tensor& positions, double scale, int64_t window, double softcap,
              const std::optional<Tensor>& sinks) {
  auto [keys, values] = cache_of(cache, layer);
  int64_t rows = query.size(0), heads = query.size(1), dim = query.size(2), kv_heads = key.size(1);
  for (const Tensor& each : {key, value, keys, values})
    TORCH_CHECK(each.scalar_type() == query.scalar_type(), "attention computes one dtype");
  TORCH_CHECK(query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1 && keys.is_contiguous() &&
                  values.is_contiguous() && value.size(2) == dim && keys.size(2) == kv_heads && keys.size(3) == dim &&
                  slots.numel() == rows && positions.numel() == rows,
              "attention of ", query.sizes(), " over ", keys.sizes());
  auto all_slots = slots.contiguous(), all_positions = positions.contiguous();
  const int64_t *slot = read<int64_t>(all_slots), *position = read<int64_t>(all_positions);
  for (int64_t row = 0; row < rows; ++row)
    TORCH_CHECK(slot[row] >= 0 && slot[row] < keys.size(0) && position[row] >= 0 && position[row] < keys.size(1),
                "row ", row, " has no cell in the cache");
  Tensor wide_sinks;
  if (sinks) wide_sinks = sinks->to(at::kFloat).contiguous();
  auto output = at::empty({rows, heads, dim}, query.options());
  auto pieces = pieces_of(slot, position, rows, heads, kv_heads);
  std::atomic<bool> built{true};
  by_dtype(query, [&, keys = keys, values = values](auto number) mutable {
    using T = decltype(number);
    store<T>(key, keys, slot, position, rows);
    store<T>(value, values, slot, position, rows);
    const T *queries = read<T>(query), *all_keys = read<T>(keys), *all_values = read<T>(values);
    T* to = write<T>(output);
    at::parallel_for(0, pieces.size(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t index = begin; index < end; ++index) {
        const Piece& piece = pieces[index];
        int64_t cell = slot[piece.row] * keys.stride(0);
        modelyard::Attention<T> what{queries + piece.row * query.stride(0),
                                     query.stride(0),
                                     query.stride(1),
                                     all_keys + cell,
                                     all_values + cell,
                                     keys.stride(1),
                                     keys.stride(2),
                                     to + piece.row * heads * dim,
                                     heads,
                                     kv_heads,
                                     position[piece.row],
                                     window,
                                     (float)scale,
                                     (float)softcap,
                                     sinks ? read<float>(wide_sinks) : nullptr};
        if (!kernels().of<T>().attend(what, piece.kv_head, piece.first, piece.last, dim)) built = false;
      }
    });
  });
  TORCH_CHECK(built, "attention over heads of ", dim, " numbers is not built");
  return output;
}

void forget(int64_t number) {
  std::lock_guard<std::mutex> held(guard);
  layers.erase(number);
  steps.erase(number);
  caches.erase(number);
}
