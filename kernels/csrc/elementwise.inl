// What stands between the products, for one row; numbers are rounded where PyTorch's own operators round them.

template <class T>
INLINE floats rounded(floats vector) {
  if constexpr (sizeof(T) == 4) {
    return vector;
  } else {
    modelyard::bf16 numbers[WIDTH];
    put(numbers, vector);
    return get(numbers);
  }
}

// Calls `compute` for each vector of `size` numbers, with the index of its first; the last one is a copy filled up
// with zeros.
template <class T, int INPUTS, class Compute>
INLINE void by_vectors(const T* const (&inputs)[INPUTS], T* output, int64_t size, Compute compute) {
  int64_t i = 0;
  floats vectors[INPUTS];
  for (; i + WIDTH <= size; i += WIDTH) {
#pragma GCC unroll 4
    for (int k = 0; k < INPUTS; ++k) vectors[k] = get(inputs[k] + i);
    put(output + i, compute(vectors));
  }
  if (i < size) {
    T rest[WIDTH];
    for (int k = 0; k < INPUTS; ++k) {
      std::memset(rest, 0, sizeof(rest));
      std::memcpy(rest, inputs[k] + i, (size - i) * sizeof(T));
      vectors[k] = get(rest);
    }
    put(rest, compute(vectors));
    std::memcpy(output + i, rest, (size - i) * sizeof(T));
  }
}

template <class T>
void norm(const T* x, const T* weight, T* y, int64_t size, float epsilon) {
  floats squares{};
  int64_t i = 0;
  for (; i + WIDTH <= size; i += WIDTH) squares += get(x + i) * get(x + i);
  float total = sum(squares);
  for (; i < size; ++i) total += value_of(x[i]) * value_of(x[i]);
  float factor = 1.0f / std::sqrt(total / size + epsilon);
  by_vectors<T, 2>({x, weight}, y, size, [&](const floats* each) { return rounded<T>(each[0] * factor) * each[1]; });
}

// y = x * cosine + (-second half of x, first half of x) * sine
template <class T>
void rotate(const T* x, const T* cosine, const T* sine, T* y, int64_t half) {
  by_vectors<T, 4>({x, x + half, cosine, sine}, y, half, [](const floats* each) {
    return rounded<T>(each[0] * each[2]) - rounded<T>(each[1] * each[3]);
  });
  by_vectors<T, 4>({x + half, x, cosine + half, sine + half}, y + half, half, [](const floats* each) {
    return rounded<T>(each[0] * each[2]) + rounded<T>(each[1] * each[3]);
  });
}

// y = gate * sigmoid(gate) * up
template <class T>
void gate(const T* gates, const T* up, T* y, int64_t size) {
  by_vectors<T, 2>({gates, up}, y, size, [](const floats* each) {
    floats x = each[0], power = exponential(x < 0.0f ? x : -x);
    floats sigmoid = (x < 0.0f ? power : all(1.0f)) / (power + 1.0f);
    return rounded<T>(x * sigmoid) * each[1];
  });
}

// Index of the first of the largest numbers; the value is NaN where one of them is.
template <class T>
int64_t highest(const T* x, int64_t size, float* value) {
  constexpr int64_t PART = 64 * WIDTH;
  float best = -INFINITY;
  int64_t at = 0;
  ints unordered{};
  for (int64_t first = 0; first < size; first += PART) {
    int64_t last = std::min(first + PART, size), i = first;
    floats most = all(-INFINITY);
    for (; i + WIDTH <= last; i += WIDTH) {
      floats numbers = get(x + i);
      most = numbers > most ? numbers : most;
      unordered |= numbers != numbers;
    }
    float part = -INFINITY;
    for (int lane = 0; lane < WIDTH; ++lane) part = most[lane] > part ? most[lane] : part;
    for (; i < last; ++i) {
      float number = value_of(x[i]);
      part = number > part ? number : part;
      if (number != number) unordered[0] = -1;
    }
    if (part > best) {
      best = part;
      at = first;
    }
  }
  while (at + 1 < size && !(value_of(x[at]) == best)) ++at;
  for (int lane = 0; lane < WIDTH; ++lane)
    if (unordered[lane]) best = NAN;
  *value = best;
  return at;
}
