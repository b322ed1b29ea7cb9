// The two products of an adapter, for one row.

template <class T>
float dot(const T* a, const T* b, int64_t size) {
  floats first{}, second{};
  int64_t i = 0;
  for (; i + 2 * WIDTH <= size; i += 2 * WIDTH) {
    first += get(a + i) * get(b + i);
    second += get(a + i + WIDTH) * get(b + i + WIDTH);
  }
  float total = sum(first + second);
  for (; i < size; ++i) total += value_of(a[i]) * value_of(b[i]);
  return total;
}

template <class T>
void add(T* y, const float* low, const T* up, int64_t stride, int64_t ranks, int64_t size) {
  int64_t i = 0;
  for (; i + 2 * WIDTH <= size; i += 2 * WIDTH) {
    floats first{}, second{};
    for (int64_t r = 0; r < ranks; ++r) {
      first += low[r] * get(up + r * stride + i);
      second += low[r] * get(up + r * stride + i + WIDTH);
    }
    put(y + i, get(y + i) + first);
    put(y + i + WIDTH, get(y + i + WIDTH) + second);
  }
  for (; i < size; ++i) {
    float total = 0;
    for (int64_t r = 0; r < ranks; ++r) total += low[r] * value_of(up[r * stride + i]);
    y[i] = stored<T>(value_of(y[i]) + total);
  }
}
