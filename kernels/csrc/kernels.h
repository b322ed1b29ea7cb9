// What the translation units of the instruction sets give, and the types that they share with the operators.
#pragma once

#include <cstdint>

namespace modelyard {

// A bfloat16 number: the upper half of a float.
using bf16 = uint16_t;

// One head's worth of attention, for rows that follow each other in one sequence.
struct Attention {
  const void* query;  // (rows, heads, dim), strides in elements
  int64_t query_row, query_head;
  const void* keys;  // (context, kv_heads, dim) of the sequence
  const void* values;
  int64_t cache_row, cache_head;
  void* output;  // (rows, heads, dim), dense
  int64_t rows, heads, kv_heads;
  int64_t position;  // of the first row; row i sees the keys up to position + i
  int64_t window;    // 0: all of them
  float scale;
  float softcap;      // 0: none
  const float* sinks;  // (heads); null: none
};

// Functions of one instruction set. Ranges are what one thread computes.
struct Kernels {
  const char* name;
  int64_t block;  // outputs that stand together in packed weights
  int64_t depth;  // inputs that stand together in packed weights
  int64_t dims;   // a head's dimension has to be a multiple of this

  // weight (out, in) to (out / block, in / depth, block * depth), the last ones filled up with zeros
  void (*pack)(const bf16* weight, int64_t out, int64_t in, bf16* packed);

  // y (rows, out) = x (rows, in) times the packed weight, for blocks [first, last)
  void (*linear)(const float* x, const bf16* x16, int64_t rows, const bf16* packed, int64_t out, int64_t in,
                 const float* bias, bf16* y, int64_t first, int64_t last);

  void (*to_float)(const bf16* from, float* to, int64_t size);

  // sum of a[i] * b[i]
  float (*dot16)(const bf16* a, const bf16* b, int64_t size);
  float (*dot32)(const float* a, const float* b, int64_t size);

  // y[i] += sum over ranks of low[r] * up[r * stride + i]
  void (*add16)(bf16* y, const float* low, const bf16* up, int64_t stride, int64_t ranks, int64_t size);
  void (*add32)(float* y, const float* low, const float* up, int64_t stride, int64_t ranks, int64_t size);

  // RMSNorm of one row
  void (*norm16)(const bf16* x, const bf16* weight, bf16* y, int64_t size, float epsilon);
  void (*norm32)(const float* x, const float* weight, float* y, int64_t size, float epsilon);

  // rotary embedding of one head of 2 * half numbers
  void (*rotate16)(const bf16* x, const bf16* cosine, const bf16* sine, bf16* y, int64_t half);
  void (*rotate32)(const float* x, const float* cosine, const float* sine, float* y, int64_t half);

  // y = silu(gate) * up
  void (*gate16)(const bf16* gate, const bf16* up, bf16* y, int64_t size);
  void (*gate32)(const float* gate, const float* up, float* y, int64_t size);

  // index of the first of the largest numbers, whose value is stored; NaN where one of them is
  int64_t (*highest16)(const bf16* x, int64_t size, float* value);
  int64_t (*highest32)(const float* x, int64_t size, float* value);

  // head [0, kv_heads) of Attention; dim is a multiple of `dims` and at most 256. False: no such dimension was built
  bool (*attend16)(const Attention& what, int64_t kv_head, int64_t first, int64_t last, int64_t dim);
  bool (*attend32)(const Attention& what, int64_t kv_head, int64_t first, int64_t last, int64_t dim);
};

const Kernels* avx2();
const Kernels* avx512();
const Kernels* avx512_bf16();

}  // namespace modelyard
