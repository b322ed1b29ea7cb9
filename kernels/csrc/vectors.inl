// Vectors of WIDTH floats, by the vector extensions of GCC and Clang; no intrinsics.

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

[[maybe_unused]] void to_float(const modelyard::bf16* from, float* to, int64_t size) {
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
