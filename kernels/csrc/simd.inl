// All kernels for vectors of WIDTH floats: included by the translation unit of one instruction set, after the pragma that
// chooses it and after the standard library, which must not be compiled for it.

namespace {

#include "vectors.inl"

#include "adapters.inl"
#include "attention.inl"
#include "elementwise.inl"
#include "linear.inl"

template <class T>
constexpr modelyard::Functions<T> functions{dot<T>, add<T>, norm<T>, rotate<T>, gate<T>, highest<T>, attend<T>};

}  // namespace

#define KERNELS(NAME)                                                                           \
  const Kernels* NAME() {                                                                       \
    static const Kernels kernels{#NAME,  BLOCK,    DEPTH,           pack,                       \
                                 linear, to_float, functions<bf16>, functions<float>};          \
    return &kernels;                                                                            \
  }
