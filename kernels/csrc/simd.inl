// All kernels for vectors of WIDTH floats: included by the translation unit of one instruction set, after the pragma that
// chooses it and after the standard library, which must not be compiled for it.

namespace {

#include "vectors.inl"

#include "adapters.inl"
#include "attention.inl"
#include "elementwise.inl"
#include "linear.inl"

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
