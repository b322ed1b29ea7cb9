// Products with packed weights.

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
  // independent sums hide the latency of an addition; more of them than there are registers would go through memory
  constexpr int CHAINS = M == 1 ? 4 : M <= (WIDTH == 8 ? 3 : 6) ? 2 : 1;
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
