// Operators for PyTorch over the kernels of this CPU's instruction set. Inference on a CPU only.
#include "kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <atomic>
#include <mutex>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace {

using at::Tensor;
using modelyard::bf16;

const modelyard::Kernels* choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return modelyard::avx512_bf16();
  if (avx512) return modelyard::avx512();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return modelyard::avx2();
#endif
  return nullptr;
}

const modelyard::Kernels& kernels() {
  static const modelyard::Kernels* chosen = choose();
  TORCH_CHECK(chosen, "this CPU has none of the instruction sets that the kernels are made for");
  return *chosen;
}

// What PyTorch calls the numbers that are T here.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bf16>, at::BFloat16, T>;

// PyTorch refuses a tensor of another type.
template <class T>
const T* read(const Tensor& tensor) {
  return reinterpret_cast<const T*>(tensor.const_data_ptr<Stored<T>>());
}

template <class T>
T* write(Tensor& tensor) {
  return reinterpret_cast<T*>(tensor.mutable_data_ptr<Stored<T>>());
}

// Calls `compute` with a number of the type that `x` has.
template <class Compute>
void by_dtype(const Tensor& x, Compute compute) {
  auto dtype = x.scalar_type();
  TORCH_CHECK(dtype == at::kBFloat16 || dtype == at::kFloat, "bfloat16 or float is computed, not ", dtype);
  if (dtype == at::kBFloat16)
    compute(bf16{});
  else
    compute(float{});
}

std::string instruction_set() {
  const modelyard::Kernels* chosen = choose();
  return chosen ? chosen->name : "";
}

Tensor pack(const Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kBFloat16, "weights (out, in) of bfloat16 are packed");
  TORCH_CHECK(weight.size(1) % kernels().depth == 0, "the number of inputs is no multiple of ", kernels().depth);
  int64_t out = weight.size(0), in = weight.size(1), block = kernels().block;
  auto packed = at::empty({(out + block - 1) / block, in / kernels().depth, block * kernels().depth}, weight.options());
  auto dense = weight.contiguous();
  kernels().pack(read<bf16>(dense), out, in, write<bf16>(packed));
  return packed;
}

Tensor linear(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias, int64_t out) {
  int64_t in = x.size(-1);
  TORCH_CHECK(x.scalar_type() == at::kBFloat16 && packed.size(1) * kernels().depth == in &&
                  packed.size(0) == (out + kernels().block - 1) / kernels().block,
              "inputs ", x.sizes(), " of ", x.scalar_type(), " do not fit packed weights ", packed.sizes());
  auto sizes = x.sizes().vec();
  sizes.back() = out;
  auto y = at::empty(sizes, x.options());
  int64_t rows = in ? x.numel() / in : 0;
  if (!rows) return y;
  auto dense = x.contiguous();
  const bf16* x16 = read<bf16>(dense);
  static thread_local std::vector<float> widened;
  if (kernels().depth == 1) {
    if ((int64_t)widened.size() < rows * in) widened.resize(rows * in);
    float* to = widened.data();
    at::parallel_for(0, rows, std::max<int64_t>(1, 65536 / in), [&](int64_t first, int64_t last) {
      kernels().to_float(x16 + first * in, to + first * in, (last - first) * in);
    });
  }
  Tensor wide_bias;
  if (bias) wide_bias = bias->to(at::kFloat).contiguous();
  const float* biases = bias ? wide_bias.const_data_ptr<float>() : nullptr;
  const float* inputs = widened.data();
  bf16* outputs = write<bf16>(y);
  at::parallel_for(0, packed.size(0), 1, [&](int64_t first, int64_t last) {
    kernels().linear(inputs, x16, rows, read<bf16>(packed), out, in, biases, outputs, first, last);
  });
  return y;
}

#include "elementwise_ops.inl"

#include "adapter_ops.inl"
#include "attention_ops.inl"

}  // namespace

TORCH_LIBRARY(modelyard, library) {
  library.def("instruction_set() -> str", instruction_set);
  library.def("pack(Tensor weight) -> Tensor", pack);
  library.def("linear(Tensor x, Tensor packed, Tensor? bias, int out) -> Tensor", linear);
  library.def("rms_norm(Tensor x, Tensor weight, Tensor epsilon, int wide, int narrow) -> Tensor", rms_norm);
  library.def("rotary(Tensor x, Tensor cosine, Tensor sine) -> Tensor", rotary);
  library.def("silu_mul(Tensor gate, Tensor up) -> Tensor", silu_mul);
  library.def("highest(Tensor x) -> (Tensor values, Tensor indices)", highest);
  library.def("set_adapters(int layer, Tensor? down, Tensor? up, int ranks) -> ()", set_adapters);
  library.def("set_rows(int step, Tensor slots, Tensor strengths) -> ()", set_rows);
  library.def("can_attend(int dim) -> bool", can_attend);
  library.def("forget(int number) -> ()", forget);
  library.def("add_lora(Tensor x, Tensor(a!) y, int layer, int step) -> Tensor(a!)", add_lora);
  library.def("set_cache(int cache, int layer, Tensor keys, Tensor values) -> ()", set_cache);
  // writes the cache, which is not among its arguments; a recorder would leave it out only if nobody read what it gives
  library.def(
      "attend(Tensor query, Tensor key, Tensor value, int cache, int layer, Tensor slots, Tensor positions, "
      "float scale, int window, float softcap, Tensor? sinks) -> Tensor",
      attend);
}
