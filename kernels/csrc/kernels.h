// What the translation units of the instruction sets give, and the types that they share with the operators.
#pragma once

#include <cstdint>

namespace modelyard {

// A bfloat16 number: the upper half of a float.
using bf16 = uint16_t;

// Attention of rows that follow each other in one sequence.
template <class T>
struct Attention {
  const T* query;  // (rows, heads, dim), strides in elements
  int64_t query_row, query_head;
  const T* keys;  // (context, kv_heads, dim) of the sequence
  const T* values;
  int64_t cache_row, cache_head;
  T* output;  // (rows, heads, dim), dense
  int64_t heads, kv_heads;
  int64_t position;  // of the first row; row i sees the keys up to position + i
  int64_t window;    // 0: all of them
  float scale;
  float softcap;       // 0: none
  const float* sinks;  // (heads); null: none
};

// Functions of one instruction set over numbers of one type.
template <class T>
struct Functions {
  // sum of a[i] * b[i]
  float (*dot)(const T* a, const T* b, int64_t size);

  // y[i] += sum over ranks of low[r] * up[r * stride + i]
  void (*add)(T* y, const float* low, const T* up, int64_t stride, int64_t ranks, int64_t size);

  // RMSNorm of one row
  void (*norm)(const T* x, const T* weight, T* y, int64_t size, float epsilon);

  // rotary embedding of one head of 2 * half numbers
  void (*rotate)(const T* x, const T* cosine, const T* sine, T* y, int64_t half);

  // y = silu(gate) * up
  void (*gate)(const T* gate, const T* up, T* y, int64_t size);

  // index of the first of the largest numbers, whose value is stored; NaN where one of them is
  int64_t (*highest)(const T* x, int64_t size, float* value);

  // query vectors [first, last) of one key head, counted over its rows and the heads that share it. False: heads of
  // so many numbers were not built
  bool (*attend)(const Attention<T>& what, int64_t kv_head, int64_t first, int64_t last, int64_t dim);
};

// Functions of one instruction set. Ranges are what one thread computes.
struct Kernels {
  const char* name;
  int64_t block;  // outputs that stand together in packed weights
  int64_t depth;  // inputs that stand together in packed weights

  // weight (out, in) to (out / block, in / depth, block * depth), the last ones filled up with zeros
  void (*pack)(const bf16* weight, int64_t out, int64_t in, bf16* packed);

  // y (rows, out) = x (rows, in) times the packed weight, for blocks [first, last)
  void (*linear)(const float* x, const bf16* x16, int64_t rows, const bf16* packed, int64_t out, int64_t in,
                 const float* bias, bf16* y, int64_t first, int64_t last);

  void (*to_float)(const bf16* from, float* to, int64_t size);

  Functions<bf16> narrow;
  Functions<float> wide;

  template <class T>
  const Functions<T>& of() const {
    if constexpr (sizeof(T) == sizeof(bf16))
      return narrow;
    else
      return wide;
  }
};

const Kernels* avx2();
const Kernels* avx512();
const Kernels* avx512_bf16();

}  // namespace modelyard
