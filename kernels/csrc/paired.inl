// The linear kernel by the instruction that multiplies pairs of bfloat16: inputs two by two, [in / 2][block][2].

constexpr int64_t DEPTH = 2;
constexpr int ROWS = 12;

void pack(const modelyard::bf16* weight, int64_t out, int64_t in, modelyard::bf16* packed) {
  int64_t blocks = (out + BLOCK - 1) / BLOCK;
  std::memset(packed, 0, blocks * BLOCK * in * sizeof(*packed));
  for (int64_t o = 0; o < out; ++o) {
    modelyard::bf16* to = packed + (o / BLOCK) * in * BLOCK + o % BLOCK * 2;
    for (int64_t i = 0; i < in; ++i) to[i / 2 * BLOCK * 2 + i % 2] = weight[o * in + i];
  }
}

template <int M>
INLINE void tile(const modelyard::bf16* x, int64_t in, const modelyard::bf16* w, const float* bias,
                 modelyard::bf16* y, int64_t out, int64_t count) {
  floats low[M] = {}, high[M] = {};
  for (int64_t k = 0; k < in; k += 2) {
    const modelyard::bf16* at = w + k * BLOCK;
    __builtin_prefetch(at + 1024);
    __builtin_prefetch(at + 1056);
    __m512bh first = (__m512bh)load<floats>(at), second = (__m512bh)load<floats>(at + 2 * WIDTH);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      float pair;
      std::memcpy(&pair, x + m * in + k, 4);
      __m512bh number = (__m512bh)_mm512_set1_ps(pair);
      low[m] = (floats)_mm512_dpbf16_ps((__m512)low[m], first, number);
      high[m] = (floats)_mm512_dpbf16_ps((__m512)high[m], second, number);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) finish(low[m], high[m], bias, y + m * out, count);
}
