// For CPUs with AVX-512 and its products of bfloat16: another linear kernel, and all else as avx512.cpp has it.
#include "kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")
#endif

#define WIDTH 16
#define PAIRED

namespace {

#include "vectors.inl"

#include "linear.inl"

}  // namespace

namespace modelyard {

const Kernels* avx512_bf16() {
  static const Kernels kernels = [] {
    Kernels those = *avx512();
    those.name = "avx512_bf16";
    those.depth = DEPTH;
    those.pack = pack;
    those.linear = linear;
    return those;
  }();
  return &kernels;
}

}  // namespace modelyard

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
