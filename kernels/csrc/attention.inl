// Attention of rows over the keys and values of their own sequence.

// Q query vectors of one key head at once. Vector i stands at row first + i / group, so it sees the keys before ends[i].
template <class T, int VECTORS, int Q>
INLINE void attend_tile(const float* query, const T* keys, const T* values, int64_t stride, int64_t begin,
                        const int64_t* begins, const int64_t* ends, int64_t end, float softcap, const float* const* sinks,
                        float* scores, int64_t pitch, float* output) {
  constexpr int64_t DIM = VECTORS * WIDTH;
  constexpr int64_t KEYS = 4;
  alignas(64) float widened[KEYS * DIM];
  for (int64_t p = begin; p < end; p += KEYS) {
    const float* key[KEYS];
#pragma GCC unroll 4
    for (int i = 0; i < KEYS; ++i) {
      const T* from = keys + std::min(p + i, end - 1) * stride;
      if constexpr (sizeof(T) == 4) {
        key[i] = from;
      } else {
        key[i] = widened + i * DIM;
        for (int d = 0; d < VECTORS; ++d) put(widened + i * DIM + d * WIDTH, get(from + d * WIDTH));
      }
    }
    for (int q = 0; q < Q; ++q) {
      floats totals[KEYS] = {};
#pragma GCC unroll 32
      for (int d = 0; d < VECTORS; ++d) {
        floats part = get(query + q * DIM + d * WIDTH);
#pragma GCC unroll 4
        for (int i = 0; i < KEYS; ++i) totals[i] += part * get(key[i] + d * WIDTH);
      }
      quad four = sums(totals[0], totals[1], totals[2], totals[3]);
      std::memcpy(scores + q * pitch + p - begin, &four, sizeof(four));
    }
  }
  float scales[Q];
  for (int q = 0; q < Q; ++q) {
    float* row = scores + q * pitch;
    int64_t from = begins[q] - begin, to = ends[q] - begin;
    if (softcap > 0)
      for (int64_t p = from; p < to; ++p) row[p] = softcap * std::tanh(row[p] / softcap);
    float most = sinks ? *sinks[q] : -INFINITY;
    for (int64_t p = from; p < to; ++p) most = row[p] > most ? row[p] : most;
    for (int64_t p = 0; p < from; ++p) row[p] = -INFINITY;
    for (int64_t p = to; p < pitch; ++p) row[p] = -INFINITY;
    floats total{};
    for (int64_t p = 0; p < pitch; p += WIDTH) {
      floats weight = exponential(get(row + p) - most);
      // exp(-87) is no zero
      weight = get(row + p) == -INFINITY ? floats{} : weight;
      total += weight;
      put(row + p, weight);
    }
    scales[q] = 1.0f / (sum(total) + (sinks ? std::exp(*sinks[q] - most) : 0.0f));
  }
  // a few vectors of the output at a time, so that they stay in registers
  constexpr int PART = Q * 4 <= 12 ? 4 : 2;
  for (int d = 0; d < VECTORS; d += PART) {
    floats totals[Q][PART] = {};
    for (int64_t p = begin; p < end; ++p) {
      const T* value = values + p * stride;
#pragma GCC unroll 4
      for (int i = 0; i < PART; ++i) {
        if (d + i < VECTORS) {
          floats part = get(value + (d + i) * WIDTH);
#pragma GCC unroll 8
          for (int q = 0; q < Q; ++q) totals[q][i] += part * scores[q * pitch + p - begin];
        }
      }
    }
    for (int q = 0; q < Q; ++q)
      for (int i = 0; i < PART && d + i < VECTORS; ++i)
        put(output + q * DIM + (d + i) * WIDTH, totals[q][i] * scales[q]);
  }
}

template <class T, int VECTORS, int Q>
void attend_some(const modelyard::Attention<T>& what, int64_t kv_head, int64_t vector) {
  constexpr int64_t DIM = VECTORS * WIDTH;
  int64_t group = what.heads / what.kv_heads;
  alignas(64) float query[Q * DIM], output[Q * DIM];
  int64_t begins[Q], ends[Q], begin = INT64_MAX, end = 0;
  const float* sinks[Q];
  for (int q = 0; q < Q; ++q) {
    int64_t row = (vector + q) / group, head = kv_head * group + (vector + q) % group;
    const T* from = what.query + row * what.query_row + head * what.query_head;
    for (int64_t d = 0; d < DIM; d += WIDTH) put(query + q * DIM + d, get(from + d) * what.scale);
    ends[q] = what.position + row + 1;
    begins[q] = what.window > 0 && ends[q] > what.window ? ends[q] - what.window : 0;
    begin = std::min(begin, begins[q]);
    end = std::max(end, ends[q]);
    sinks[q] = what.sinks ? what.sinks + head : nullptr;
  }
  int64_t pitch = (end - begin + WIDTH - 1) / WIDTH * WIDTH;
  static thread_local std::vector<float> scores;
  if ((int64_t)scores.size() < Q * pitch) scores.resize(Q * pitch);
  attend_tile<T, VECTORS, Q>(query, what.keys + kv_head * what.cache_head,
                             what.values + kv_head * what.cache_head, what.cache_row, begin, begins, ends, end,
                             what.softcap, what.sinks ? sinks : nullptr, scores.data(), pitch, output);
  for (int q = 0; q < Q; ++q) {
    int64_t row = (vector + q) / group, head = kv_head * group + (vector + q) % group;
    T* to = what.output + (row * what.heads + head) * DIM;
    for (int64_t d = 0; d < DIM; d += WIDTH) put(to + d, get(output + q * DIM + d));
  }
}

// Query vectors [first, last) of one key head, counted over its rows and the heads that share it.
template <class T, int VECTORS>
void attend_head(const modelyard::Attention<T>& what, int64_t kv_head, int64_t first, int64_t last) {
  int64_t vector = first;
  for (; vector + 4 <= last; vector += 4) attend_some<T, VECTORS, 4>(what, kv_head, vector);
  for (; vector + 3 <= last; vector += 3) attend_some<T, VECTORS, 3>(what, kv_head, vector);
  for (; vector < last; ++vector) attend_some<T, VECTORS, 1>(what, kv_head, vector);
}

template <class T>
bool attend(const modelyard::Attention<T>& what, int64_t kv_head, int64_t first, int64_t last, int64_t dim) {
  switch (dim) {
#define HEAD(D)                                                                          \
  case D:                                                                                \
    attend_head<T, D / WIDTH>(what, kv_head, first, last);                               \
    return true;
    HEAD(16) HEAD(32) HEAD(64) HEAD(80) HEAD(96) HEAD(128) HEAD(256)
#undef HEAD
    default:
      return false;
  }
}
