// Vec<T, N>: N values moved by one load or store of up to 16 bytes.
#pragma once

#include "quanthost/kernel/target.hpp"

namespace quanthost::gpu {

template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  static_assert((N & (N - 1)) == 0, "a vector has a power of two of elements");
  static_assert(sizeof(T) * N <= 16, "one access moves at most 16 bytes");

  QH_HOST_DEVICE T& operator[](int i) { return values[i]; }
  QH_HOST_DEVICE const T& operator[](int i) const { return values[i]; }

  T values[N];
};

}  // namespace quanthost::gpu
