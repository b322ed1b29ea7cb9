// Operators for PyTorch over the kernels of this CPU's instruction set. Inference on a CPU only.
#include "kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <mutex>
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

const bf16* numbers(const Tensor& tensor) { return reinterpret_cast<const bf16*>(tensor.const_data_ptr<at::BFloat16>()); }
bf16* numbers(Tensor& tensor) { return reinterpret_cast<bf16*>(tensor.mutable_data_ptr<at::BFloat16>()); }

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
  kernels().pack(numbers(std::as_const(dense)), out, in, numbers(packed));
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
  const bf16* x16 = numbers(std::as_const(dense));
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
  bf16* outputs = numbers(y);
  at::parallel_for(0, packed.size(0), 1, [&](int64_t first, int64_t last) {
    kernels().linear(inputs, x16, rows, numbers(packed), out, in, biases, outputs, first, last);
  });
  return y;
}

// ---- what stands between the products; patterns of a recorded step become these -----------------------------------

void require_dtype(const Tensor& x) {
  TORCH_CHECK((x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat) && x.stride(-1) == 1,
              "dense bfloat16 or float is computed, not ", x.scalar_type());
}

constexpr int64_t GRAIN = 16384;  // numbers of one thread at least

// weight * (x in float, over the root of its mean square, as `narrow`)
Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& epsilon, int64_t wide, int64_t narrow) {
  require_dtype(x);
  TORCH_CHECK(wide == (int64_t)at::kFloat && narrow == (int64_t)x.scalar_type() &&
                  weight.scalar_type() == x.scalar_type() && weight.is_contiguous() && weight.numel() == x.size(-1),
              "the norm is computed in float and given as its input");
  auto dense = x.contiguous();
  auto y = at::empty_like(dense);
  int64_t size = x.size(-1), rows = size ? x.numel() / size : 0;
  float small = epsilon.item<float>();
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (half)
        kernels().norm16(numbers(std::as_const(dense)) + row * size, numbers(weight), numbers(y) + row * size, size, small);
      else
        kernels().norm32(dense.const_data_ptr<float>() + row * size, weight.const_data_ptr<float>(),
                         y.mutable_data_ptr<float>() + row * size, size, small);
    }
  });
  return y;
}

// x (1, heads, rows, dim), cosine and sine (1, 1, rows, dim)
Tensor rotary(const Tensor& x, const Tensor& cosine, const Tensor& sine) {
  require_dtype(x);
  int64_t heads = x.size(1), rows = x.size(2), dim = x.size(3);
  TORCH_CHECK(x.dim() == 4 && x.size(0) == 1 && dim % 2 == 0 && cosine.numel() == rows * dim && sine.numel() == rows * dim &&
                  cosine.scalar_type() == x.scalar_type() && sine.scalar_type() == x.scalar_type(),
              "rotary embedding of ", x.sizes(), " by ", cosine.sizes());
  auto c = cosine.contiguous(), s = sine.contiguous();
  auto y = at::empty({1, rows, heads, dim}, x.options());
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / (heads * dim)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t head = 0; head < heads; ++head) {
        int64_t from = row * x.stride(2) + head * x.stride(1), to = (row * heads + head) * dim;
        if (half)
          kernels().rotate16(numbers(x) + from, numbers(std::as_const(c)) + row * dim, numbers(std::as_const(s)) + row * dim,
                             numbers(y) + to, dim / 2);
        else
          kernels().rotate32(x.const_data_ptr<float>() + from, c.const_data_ptr<float>() + row * dim,
                             s.const_data_ptr<float>() + row * dim, y.mutable_data_ptr<float>() + to, dim / 2);
      }
  });
  return y.transpose(1, 2);
}

Tensor silu_mul(const Tensor& gate, const Tensor& up) {
  require_dtype(gate);
  TORCH_CHECK(gate.sizes() == up.sizes() && up.scalar_type() == gate.scalar_type() && up.stride(-1) == 1, "gate ",
              gate.sizes(), " and ", up.sizes());
  int64_t size = gate.size(-1), rows = size ? gate.numel() / size : 0;
  // one stride from row to row, as parts of a joined product have it
  auto g = gate.view({rows, size}), u = up.view({rows, size});
  auto y = at::empty(gate.sizes(), gate.options());
  bool half = gate.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / size), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (half)
        kernels().gate16(numbers(std::as_const(g)) + row * g.stride(0), numbers(std::as_const(u)) + row * u.stride(0),
                         numbers(y) + row * size, size);
      else
        kernels().gate32(g.const_data_ptr<float>() + row * g.stride(0), u.const_data_ptr<float>() + row * u.stride(0),
                         y.mutable_data_ptr<float>() + row * size, size);
    }
  });
  return y;
}

// x (rows, size): the largest number of each row in float, and where it stands first
std::tuple<Tensor, Tensor> highest(const Tensor& x) {
  require_dtype(x);
  TORCH_CHECK(x.dim() == 2 && x.size(1) > 0, "rows of numbers are searched, not ", x.sizes());
  int64_t rows = x.size(0), size = x.size(1);
  auto values = at::empty({rows}, x.options().dtype(at::kFloat));
  auto indices = at::empty({rows}, x.options().dtype(at::kLong));
  float* value = values.mutable_data_ptr<float>();
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  bool half = x.scalar_type() == at::kBFloat16;
  at::parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      index[row] = half ? kernels().highest16(numbers(x) + row * x.stride(0), size, value + row)
                        : kernels().highest32(x.const_data_ptr<float>() + row * x.stride(0), size, value + row);
  });
  return {values, indices};
}

// ---- adapters: what a layer's adapters are, and which rows of a step use which, is said beside the step, so that a
// traced step stays good when adapters come and go.

struct Adapters {
  Tensor down, up;  // (slots * ranks, in), (slots * ranks, out)
  int64_t ranks;
};

struct Rows {
  std::vector<int64_t> slots;  // -1: none
  std::vector<float> strengths;
  bool any = false;
};

std::mutex guard;
std::unordered_map<int64_t, Adapters> layers;
std::unordered_map<int64_t, Rows> steps;

void set_adapters(int64_t layer, const std::optional<Tensor>& down, const std::optional<Tensor>& up, int64_t ranks) {
  std::lock_guard<std::mutex> held(guard);
  if (down && up)
    layers[layer] = {*down, *up, ranks};
  else
    layers.erase(layer);
}

void set_rows(int64_t step, const Tensor& slots, const Tensor& strengths) {
  Rows rows;
  auto each = slots.contiguous();
  auto strong = strengths.to(at::kFloat).contiguous();
  rows.slots.assign(each.const_data_ptr<int64_t>(), each.const_data_ptr<int64_t>() + each.numel());
  rows.strengths.assign(strong.const_data_ptr<float>(), strong.const_data_ptr<float>() + strong.numel());
  for (int64_t slot : rows.slots) rows.any |= slot >= 0;
  std::lock_guard<std::mutex> held(guard);
  steps[step] = std::move(rows);
}

void forget(int64_t number) {
  std::lock_guard<std::mutex> held(guard);
  layers.erase(number);
  steps.erase(number);
}

template <class T>
void add_adapters(const Adapters& adapters, const Rows& step, const T* x, T* y, int64_t in, int64_t out) {
  int64_t rows = step.slots.size(), ranks = adapters.ranks;
  const T *down = reinterpret_cast<const T*>(adapters.down.const_data_ptr());
  const T *up = reinterpret_cast<const T*>(adapters.up.const_data_ptr());
  std::vector<float> low(rows * ranks);
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / (ranks * in)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (step.slots[row] < 0) continue;
      const T* matrix = down + step.slots[row] * ranks * in;
      for (int64_t r = 0; r < ranks; ++r) {
        if constexpr (sizeof(T) == 2)
          low[row * ranks + r] = step.strengths[row] * kernels().dot16(x + row * in, matrix + r * in, in);
        else
          low[row * ranks + r] = step.strengths[row] * kernels().dot32(x + row * in, matrix + r * in, in);
      }
    }
  });
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / (ranks * out)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      if (step.slots[row] < 0) continue;
      const T* matrix = up + step.slots[row] * ranks * out;
      if constexpr (sizeof(T) == 2)
        kernels().add16(y + row * out, low.data() + row * ranks, matrix, out, ranks, out);
      else
        kernels().add32(y + row * out, low.data() + row * ranks, matrix, out, ranks, out);
    }
  });
}

Tensor add_lora(const Tensor& x, Tensor y, int64_t layer, int64_t step) {
  Adapters adapters;
  const Rows* rows;
  {
    std::lock_guard<std::mutex> held(guard);
    auto found = steps.find(step);
    auto known = layers.find(layer);
    if (found == steps.end() || !found->second.any || known == layers.end()) return y;
    adapters = known->second;
    rows = &found->second;
  }
  int64_t in = x.size(-1), out = y.size(-1);
  TORCH_CHECK(x.numel() / in == (int64_t)rows->slots.size() && y.is_contiguous() && x.scalar_type() == y.scalar_type() &&
                  adapters.down.size(1) == in && adapters.up.size(1) == out,
              "a step of ", rows->slots.size(), " rows and inputs ", x.sizes());
  auto dense = x.contiguous();
  if (x.scalar_type() == at::kBFloat16)
    add_adapters<bf16>(adapters, *rows, numbers(std::as_const(dense)), numbers(y), in, out);
  else
    add_adapters<float>(adapters, *rows, dense.const_data_ptr<float>(), y.mutable_data_ptr<float>(), in, out);
  return y;
}

// ---- attention -----------------------------------------------------------------------------------------------------

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
  library.def(
      "attend(Tensor query, Tensor key, Tensor value, Tensor(a!) keys, Tensor(b!) values, Tensor slots, "
      "Tensor positions, float scale, int window, float softcap, Tensor? sinks) -> Tensor",
      attend);
}
