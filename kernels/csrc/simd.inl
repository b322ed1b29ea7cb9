// The kernels themselves, for vectors of WIDTH floats: included by one translation unit for each instruction set, after
// the pragma that chooses it. GCC's and Clang's vector extensions; no intrinsics but where a file says so.

namespace {

typedef float floats __attribute__((vector_size(WIDTH * 4)));
typedef uint32_t words __attribute__((vector_size(WIDTH * 4)));
typedef int32_t ints __attribute__((vector_size(WIDTH * 4)));
typedef uint16_t halves __attribute__((vector_size(WIDTH * 2)));

constexpr int64_t BLOCK = 2 * WIDTH;

#define INLINE inline __attribute__((always_inline))

template <class V, class T>
INLINE V load(const T* from) {
  V vector;
  std::memcpy(&vector, from, sizeof(V));
  return vector;
}

INLINE floats all(float value) { return value - floats{}; }

INLINE floats get(const float* from) { return load<floats>(from); }
INLINE floats get(const modelyard::bf16* from) {
  return (floats)(__builtin_convertvector(load<halves>(from), words) << 16);
}

INLINE void put(float* to, floats vector) { std::memcpy(to, &vector, sizeof(vector)); }
INLINE void put(modelyard::bf16* to, floats vector) {
  // round to nearest, ties to even; NaN stays NaN
  words bits = (words)vector;
  words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  words is_nan = (words)(vector != vector);
  halves narrow = __builtin_convertvector((rounded & ~is_nan) | (is_nan & 0x7fc0u), halves);
  std::memcpy(to, &narrow, sizeof(narrow));
}

typedef float quad __attribute__((vector_size(16)));

// Sums of neighbours of a and of b, within each 16 bytes: those of a first.
INLINE floats pairs(floats a, floats b) {
#if WIDTH == 8
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#endif
}

// The sums of four vectors.
INLINE quad sums(floats a, floats b, floats c, floats d) {
  floats parts = pairs(pairs(a, b), pairs(c, d));
  quad total{};
#pragma GCC unroll 4
  for (int i = 0; i < WIDTH / 4; ++i) {
    quad part;
    std::memcpy(&part, (const char*)&parts + i * sizeof(part), sizeof(part));
    total += part;
  }
  return total;
}

INLINE float sum(floats vector) { return sums(vector, vector, vector, vector)[0]; }

// e to the power of x for x <= 0, to 1e-7 (Cephes' expf)
INLINE floats exponential(floats x) {
  x = x < -87.0f ? all(-87.0f) : x;
  floats shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest integer
  ints power = (ints)shifted - 0x4b400000;
  floats whole = shifted - 12582912.0f;
  floats rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  floats series = all(1.9875691500e-4f);
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  floats result = series * rest * rest + rest + 1.0f;
  return result * (floats)((power + 127) << 23);
}

void to_float(const modelyard::bf16* from, float* to, int64_t size) {
  int64_t i = 0;
  for (; i + WIDTH <= size; i += WIDTH) put(to + i, get(from + i));
  for (; i < size; ++i) {
    uint32_t bits = (uint32_t)from[i] << 16;
    std::memcpy(to + i, &bits, 4);
  }
}

template <class T>
INLINE float value_of(T number) {
  if constexpr (sizeof(T) == 4) {
    return number;
  } else {
    uint32_t bits = (uint32_t)number << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
}

template <class T>
INLINE T stored(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (value != value) return 0x7fc0;
    return (T)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

template <class T>
INLINE floats rounded(floats vector) {
  if constexpr (sizeof(T) == 4) {
    return vector;
  } else {
    modelyard::bf16 numbers[WIDTH];
    put(numbers, vector);
    return get(numbers);
  }
}

// Calls `compute` for each vector of `size` numbers, with the index of its first; the last one is a copy filled up
// with zeros.
template <class T, int INPUTS, class Compute>
INLINE void by_vectors(const T* const (&inputs)[INPUTS], T* output, int64_t size, Compute compute) {
  int64_t i = 0;
  floats vectors[INPUTS];
  for (; i + WIDTH <= size; i += WIDTH) {
#pragma GCC unroll 4
    for (int k = 0; k < INPUTS; ++k) vectors[k] = get(inputs[k] + i);
    put(output + i, compute(vectors));
  }
  if (i < size) {
    T rest[WIDTH];
    for (int k = 0; k < INPUTS; ++k) {
      std::memset(rest, 0, sizeof(rest));
      std::memcpy(rest, inputs[k] + i, (size - i) * sizeof(T));
      vectors[k] = get(rest);
    }
    put(rest, compute(vectors));
    std::memcpy(output + i, rest, (size - i) * sizeof(T));
  }
}

// Numbers are rounded where PyTorch's own operators round them.

template <class T>
void norm(const T* x, const T* weight, T* y, int64_t size, float epsilon) {
  floats squares{};
  int64_t i = 0;
  for (; i + WIDTH <= size; i += WIDTH) squares += get(x + i) * get(x + i);
  float total = sum(squares);
  for (; i < size; ++i) total += value_of(x[i]) * value_of(x[i]);
  float factor = 1.0f / std::sqrt(total / size + epsilon);
  by_vectors<T, 2>({x, weight}, y, size, [&](const floats* each) { return rounded<T>(each[0] * factor) * each[1]; });
}

// y = x * cosine + (-second half of x, first half of x) * sine
template <class T>
void rotate(const T* x, const T* cosine, const T* sine, T* y, int64_t half) {
  by_vectors<T, 4>({x, x + half, cosine, sine}, y, half, [](const floats* each) {
    return rounded<T>(each[0] * each[2]) - rounded<T>(each[1] * each[3]);
  });
  by_vectors<T, 4>({x + half, x, cosine + half, sine + half}, y + half, half, [](const floats* each) {
    return rounded<T>(each[0] * each[2]) + rounded<T>(each[1] * each[3]);
  });
}

// y = gate * sigmoid(gate) * up
template <class T>
void gate(const T* gates, const T* up, T* y, int64_t size) {
  by_vectors<T, 2>({gates, up}, y, size, [](const floats* each) {
    floats x = each[0], power = exponential(x < 0.0f ? x : -x);
    floats sigmoid = (x < 0.0f ? power : all(1.0f)) / (power + 1.0f);
    return rounded<T>(x * sigmoid) * each[1];
  });
}

// Index of the first of the largest numbers; the value is NaN where one of them is.
template <class T>
int64_t highest(const T* x, int64_t size, float* value) {
  constexpr int64_t PART = 64 * WIDTH;
  float best = -INFINITY;
  int64_t at = 0;
  ints unordered{};
  for (int64_t first = 0; first < size; first += PART) {
    int64_t last = std::min(first + PART, size), i = first;
    floats most = all(-INFINITY);
    for (; i + WIDTH <= last; i += WIDTH) {
      floats numbers = get(x + i);
      most = numbers > most ? numbers : most;
      unordered |= numbers != numbers;
    }
    float part = -INFINITY;
    for (int lane = 0; lane < WIDTH; ++lane) part = most[lane] > part ? most[lane] : part;
    for (; i < last; ++i) {
      float number = value_of(x[i]);
      part = number > part ? number : part;
      if (number != number) unordered[0] = -1;
    }
    if (part > best) {
      best = part;
      at = first;
    }
  }
  while (at + 1 < size && !(value_of(x[at]) == best)) ++at;
  for (int lane = 0; lane < WIDTH; ++lane)
    if (unordered[lane]) best = NAN;
  *value = best;
  return at;
}

template <class T>
float dot(const T* a, const T* b, int64_t size) {
  floats first{}, second{};
  int64_t i = 0;
  for (; i + 2 * WIDTH <= size; i += 2 * WIDTH) {
    first += get(a + i) * get(b + i);
    second += get(a + i + WIDTH) * get(b + i + WIDTH);
  }
  float total = sum(first + second);
  for (; i < size; ++i) total += value_of(a[i]) * value_of(b[i]);
  return total;
}

template <class T>
void add(T* y, const float* low, const T* up, int64_t stride, int64_t ranks, int64_t size) {
  int64_t i = 0;
  for (; i + 2 * WIDTH <= size; i += 2 * WIDTH) {
    floats first{}, second{};
    for (int64_t r = 0; r < ranks; ++r) {
      first += low[r] * get(up + r * stride + i);
      second += low[r] * get(up + r * stride + i + WIDTH);
    }
    put(y + i, get(y + i) + first);
    put(y + i + WIDTH, get(y + i + WIDTH) + second);
  }
  for (; i < size; ++i) {
    float total = 0;
    for (int64_t r = 0; r < ranks; ++r) total += low[r] * value_of(up[r * stride + i]);
    y[i] = stored<T>(value_of(y[i]) + total);
  }
}

// Writes a block of outputs of one row; `count` of them exist.
INLINE void finish(floats low, floats high, const float* bias, modelyard::bf16* y, int64_t count) {
  if (bias) {
    if (count == BLOCK) {
      low += get(bias);
      high += get(bias + WIDTH);
    } else {
      for (int64_t i = 0; i < count; ++i) (i < WIDTH ? low[i] : high[i - WIDTH]) += bias[i];
    }
  }
  if (count == BLOCK) {
    put(y, low);
    put(y + WIDTH, high);
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] = stored<modelyard::bf16>(i < WIDTH ? low[i] : high[i - WIDTH]);
  }
}

#ifndef PAIRED
constexpr int64_t DEPTH = 1;
constexpr int ROWS = WIDTH == 8 ? 6 : 12;

// Output i and output i + WIDTH of a block share a word: a shift and a mask make floats of both.
void pack(const modelyard::bf16* weight, int64_t out, int64_t in, modelyard::bf16* packed) {
  int64_t blocks = (out + BLOCK - 1) / BLOCK;
  std::memset(packed, 0, blocks * BLOCK * in * sizeof(*packed));
  for (int64_t o = 0; o < out; ++o) {
    int64_t at = o % BLOCK, place = at < WIDTH ? 2 * at : 2 * (at - WIDTH) + 1;
    modelyard::bf16* to = packed + (o / BLOCK) * in * BLOCK + place;
    for (int64_t i = 0; i < in; ++i) to[i * BLOCK] = weight[o * in + i];
  }
}

template <int M>
INLINE void tile(const float* x, int64_t in, const modelyard::bf16* w, const float* bias, modelyard::bf16* y,
                 int64_t out, int64_t count) {
  constexpr int CHAINS = M == 1 ? 4 : M <= 3 && WIDTH == 8 ? 2 : M <= 4 ? 2 : 1;
  floats low[CHAINS][M] = {}, high[CHAINS][M] = {};
  int64_t k = 0;
  for (; k + CHAINS <= in; k += CHAINS) {
#pragma GCC unroll 4
    for (int c = 0; c < CHAINS; ++c) {
      const modelyard::bf16* at = w + (k + c) * BLOCK;
      __builtin_prefetch(at + 1024);
      words both = load<words>(at);
      floats first = (floats)(both << 16), second = (floats)(both & 0xffff0000u);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        floats number = all(x[m * in + k + c]);
        low[c][m] += first * number;
        high[c][m] += second * number;
      }
    }
  }
  for (; k < in; ++k) {
    words both = load<words>(w + k * BLOCK);
    floats first = (floats)(both << 16), second = (floats)(both & 0xffff0000u);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      low[0][m] += first * x[m * in + k];
      high[0][m] += second * x[m * in + k];
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int c = 1; c < CHAINS; ++c) {
      low[0][m] += low[c][m];
      high[0][m] += high[c][m];
    }
    finish(low[0][m], high[0][m], bias, y + m * out, count);
  }
}

#define ROWS_OF(x, x16) x
#define INPUT float
#else
#include "paired.inl"
#define ROWS_OF(x, x16) x16
#define INPUT modelyard::bf16
#endif

template <int M>
void rows(const INPUT* x, int64_t in, const modelyard::bf16* w, const float* bias, modelyard::bf16* y, int64_t out,
          int64_t count) {
  tile<M>(x, in, w, bias, y, out, count);
}

using RowsFunction = void (*)(const INPUT*, int64_t, const modelyard::bf16*, const float*, modelyard::bf16*, int64_t,
                              int64_t);

template <int... M>
constexpr auto rows_table(std::integer_sequence<int, M...>) {
  return std::array<RowsFunction, sizeof...(M)>{rows<M + 1>...};
}

void linear(const float* x, const modelyard::bf16* x16, int64_t count, const modelyard::bf16* packed, int64_t out,
            int64_t in, const float* bias, modelyard::bf16* y, int64_t first, int64_t last) {
  static constexpr auto by_rows = rows_table(std::make_integer_sequence<int, ROWS>());
  constexpr int64_t PANEL = 16 * ROWS;  // rows whose inputs stay in the cache while the blocks pass
  int64_t stride = (in + DEPTH - 1) / DEPTH * DEPTH * BLOCK;
  const INPUT* inputs = ROWS_OF(x, x16);
  for (int64_t panel = 0; panel < count; panel += PANEL) {
    int64_t end = std::min(count, panel + PANEL);
    int64_t tiles = (end - panel + ROWS - 1) / ROWS, step = (end - panel + tiles - 1) / tiles;
    for (int64_t b = first; b < last; ++b) {
      int64_t outputs = std::min(BLOCK, out - b * BLOCK);
      for (int64_t m = panel; m < end; m += step) {
        by_rows[std::min(step, end - m) - 1](inputs + m * in, in, packed + b * stride, bias ? bias + b * BLOCK : nullptr,
                                             y + m * out + b * BLOCK, out, outputs);
      }
    }
  }
}

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
void attend_some(const modelyard::Attention& what, int64_t kv_head, int64_t vector) {
  constexpr int64_t DIM = VECTORS * WIDTH;
  int64_t group = what.heads / what.kv_heads;
  alignas(64) float query[Q * DIM], output[Q * DIM];
  int64_t begins[Q], ends[Q], begin = INT64_MAX, end = 0;
  const float* sinks[Q];
  for (int q = 0; q < Q; ++q) {
    int64_t row = (vector + q) / group, head = kv_head * group + (vector + q) % group;
    const T* from = (const T*)what.query + row * what.query_row + head * what.query_head;
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
  attend_tile<T, VECTORS, Q>(query, (const T*)what.keys + kv_head * what.cache_head,
                             (const T*)what.values + kv_head * what.cache_head, what.cache_row, begin, begins, ends, end,
                             what.softcap, what.sinks ? sinks : nullptr, scores.data(), pitch, output);
  for (int q = 0; q < Q; ++q) {
    int64_t row = (vector + q) / group, head = kv_head * group + (vector + q) % group;
    T* to = (T*)what.output + (row * what.heads + head) * DIM;
    for (int64_t d = 0; d < DIM; d += WIDTH) put(to + d, get(output + q * DIM + d));
  }
}

// Query vectors [first, last) of one key head, counted over its rows and the heads that share it.
template <class T, int VECTORS>
void attend_head(const modelyard::Attention& what, int64_t kv_head, int64_t first, int64_t last) {
  int64_t vector = first;
  for (; vector + 4 <= last; vector += 4) attend_some<T, VECTORS, 4>(what, kv_head, vector);
  for (; vector + 3 <= last; vector += 3) attend_some<T, VECTORS, 3>(what, kv_head, vector);
  for (; vector < last; ++vector) attend_some<T, VECTORS, 1>(what, kv_head, vector);
}

template <class T>
bool attend(const modelyard::Attention& what, int64_t kv_head, int64_t first, int64_t last, int64_t dim) {
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

}  // namespace

#define KERNELS(NAME)                                                                                             \
  const Kernels* NAME() {                                                                                         \
    static const Kernels kernels{#NAME,        BLOCK,        DEPTH,           16,           pack,                 \
                                 linear,       to_float,     dot<bf16>,       dot<float>,   add<bf16>,            \
                                 add<float>,   norm<bf16>,   norm<float>,     rotate<bf16>, rotate<float>,        \
                                 gate<bf16>,   gate<float>,  highest<bf16>,   highest<float>, \
                                 attend<bf16>, attend<float>};                                      \
    return &kernels;                                                                                              \
  }
