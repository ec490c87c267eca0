// What CUDA and HIP spell alike: indices, shared memory, atomics, loads. Included by cuda.hpp and
// hip.hpp alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "quanthost/kernel/float16.hpp"
#include "quanthost/kernel/launch.hpp"
#include "quanthost/kernel/vector.hpp"

namespace quanthost::gpu {

// Where a call stands, for the emulator's messages: nothing on a device. A helper that takes a Site
// and hands it on gets its callers named, not itself.
struct Site {
  QH_HOST_DEVICE static constexpr Site current() { return {}; }
};

// -- where am I

QH_DEVICE Size3 thread_index() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
QH_DEVICE Size3 block_index() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
QH_DEVICE Size3 block_size() { return {blockDim.x, blockDim.y, blockDim.z}; }
QH_DEVICE Size3 grid_size() { return {gridDim.x, gridDim.y, gridDim.z}; }

// The warp is 64 lanes wide on GCN and CDNA, 32 elsewhere. Known to the compiler in device code.
QH_DEVICE constexpr int warp_size() {
#if defined(__GFX8__) || defined(__GFX9__)
  return 64;
#else
  return 32;
#endif
}
QH_DEVICE int thread_in_block() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
QH_DEVICE int lane() { return thread_in_block() & (warp_size() - 1); }

// -- barriers and fences

QH_DEVICE void block_barrier(Site = {}) { __syncthreads(); }
QH_DEVICE void memory_fence() { __threadfence(); }

// -- shared memory

// An array in the block's shared memory. Copies see the same memory.
template <class T>
class SharedArray {
 public:
  QH_DEVICE explicit SharedArray(T* data) : data_(data) {}

  template <class I>
  QH_DEVICE T& operator[](I index) const {
    return data_[index];
  }
  // V covers one or more elements, starting at element `index`; aligned to sizeof(V).
  template <class V>
  QH_DEVICE V load(int index) const {
    return *reinterpret_cast<const V*>(data_ + index);
  }
  template <class V>
  QH_DEVICE void store(int index, const V& value) const {
    *reinterpret_cast<V*>(data_ + index) = value;
  }
  // The same memory from element `first` on; indices start at zero again.
  QH_DEVICE SharedArray from(int first) const { return SharedArray(data_ + first); }

  QH_DEVICE T* data() const { return data_; }

 private:
  T* data_;
};

// Declares `name`, a SharedArray<type> of `count` elements (a constant), at function scope in a
// kernel or in a device function. Every call site, and every instantiation of a template, has an
// array of its own.
#define QH_SHARED(type, name, count)                                  \
  __shared__ __attribute__((aligned(16))) type name##_storage[count]; \
  const ::quanthost::gpu::SharedArray<type> name(name##_storage)

// The launch's dynamic shared memory from byte `offset` on, as `count` elements.
template <class T>
QH_DEVICE SharedArray<T> dynamic_shared(std::size_t /*count*/, std::size_t offset = 0) {
  extern __shared__ uint4 quanthost_dynamic_shared[];
  return SharedArray<T>(
      reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(quanthost_dynamic_shared) + offset));
}

// -- atomics: relaxed, device-wide, on global memory or on an element of a shared array

template <class T>
struct SameType {
  using Type = T;
};
template <class T>
QH_DEVICE T atomic_add(T& target, typename SameType<T>::Type value) {
  return atomicAdd(&target, value);
}
template <class T>
QH_DEVICE T atomic_max(T& target, typename SameType<T>::Type value) {
  return atomicMax(&target, value);
}
template <class T>
QH_DEVICE T atomic_min(T& target, typename SameType<T>::Type value) {
  return atomicMin(&target, value);
}
template <class T>
QH_DEVICE T atomic_or(T& target, typename SameType<T>::Type value) {
  return atomicOr(&target, value);
}
template <class T>
QH_DEVICE T atomic_exchange(T& target, typename SameType<T>::Type value) {
  return atomicExch(&target, value);
}
// Returns the old value; the store happened when it equals `expected`.
template <class T>
QH_DEVICE T atomic_compare_exchange(T& target, typename SameType<T>::Type expected,
                                    typename SameType<T>::Type desired) {
  return atomicCAS(&target, expected, desired);
}
// Reads past every cache, so that a thread may wait for another's atomic.
template <class T>
QH_DEVICE T atomic_load(T& target) {
  return *const_cast<volatile T*>(&target);
}

// -- global memory

// One access of sizeof(V) bytes; the address is aligned to it.
template <class V, class T>
QH_DEVICE V load(const T* address) {
  return *reinterpret_cast<const V*>(address);
}
template <class V, class T>
QH_DEVICE void store(T* address, const V& value) {
  *reinterpret_cast<V*>(address) = value;
}

// -- exchange between lanes: any trivially copyable value, moved in 32-bit words

// `move(word)` exchanges one word.
template <class T, class Move>
QH_DEVICE T exchange_words(const T& value, Move move) {
  constexpr int kWords = (sizeof(T) + 3) / 4;
  std::uint32_t words[kWords] = {};
  memcpy(words, &value, sizeof(T));
  QH_UNROLL
  for (int i = 0; i < kWords; ++i) words[i] = move(words[i]);
  T result;
  memcpy(&result, words, sizeof(T));
  return result;
}

}  // namespace quanthost::gpu
