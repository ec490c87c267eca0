// HIP's half of kernel.hpp. cuda.hpp has the same functions in the same order.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "quanthost/kernel/device.hpp"

namespace quanthost::gpu {

// -- exchange between lanes

// A wavefront runs in lockstep; the fences keep the compiler from moving memory accesses
// across.
template <int Width = 32>
QH_DEVICE void warp_barrier(Site = {}) {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

template <int Width = 32, class T>
QH_DEVICE T shuffle(const T& value, int source, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) { return __shfl(word, source, Width); });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_xor(const T& value, int mask, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) { return __shfl_xor(word, mask, Width); });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_down(const T& value, int delta, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) { return __shfl_down(word, delta, Width); });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_up(const T& value, int delta, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) { return __shfl_up(word, delta, Width); });
}
template <int Width = 32>
QH_DEVICE std::uint32_t ballot(bool predicate, Site = {}) {
  static_assert(Width == 2 || Width == 4 || Width == 8 || Width == 16 || Width == 32);
  const auto group = static_cast<std::uint32_t>(__ballot(predicate) >> (lane() & ~(Width - 1)));
  return Width == 32 ? group : group & ((1u << (Width & 31)) - 1u);
}

// -- global memory

// As load(), for bytes that this kernel reads once: the cache need not keep them.
template <class V, class T>
QH_DEVICE V load_once(const T* address) {
  if constexpr (sizeof(V) % 4 == 0) {
    std::uint32_t words[sizeof(V) / 4];
    QH_UNROLL
    for (unsigned i = 0; i < sizeof(V) / 4; ++i) {
      words[i] = __builtin_nontemporal_load(reinterpret_cast<const std::uint32_t*>(address) + i);
    }
    V value;
    memcpy(&value, words, sizeof(V));
    return value;
  } else {
    return load<V>(address);
  }
}

// -- async copies: these targets have none, so the copy is made at once

// `Bytes` is 4, 8 or 16; both addresses are aligned to it. When `valid` is false zeros are written,
// `source` is not read.
template <int Bytes, class T>
QH_DEVICE void async_copy(const SharedArray<T>& target, int index, const T* source,
                          bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  using Words = Vec<std::uint32_t, Bytes / 4>;
  target.store(index, valid ? load<Words>(source) : Words{});
}
QH_DEVICE void async_commit() {}
// Waits until at most `Groups` of this thread's committed groups are under way. Other threads see
// the bytes after a barrier that follows.
template <int Groups = 0>
QH_DEVICE void async_wait() {}

// -- the host's side

inline constexpr const char* kTargetName = "hip";

inline void check(hipError_t result, const char* what) {
  if (result == hipSuccess) return;
  static_cast<void>(hipGetLastError());  // an error of a launch must not show up in a later call
  throw Error(std::string("HIP: ") + what + ": " + hipGetErrorString(result),
              static_cast<int>(result));
}

template <class... Parameters, class... Arguments>
void launch(Stream stream, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  // The parameters as the kernel declares them, and an array of their addresses.
  const auto start = [&](Parameters... bound) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&bound))..., nullptr};
    const auto* function = reinterpret_cast<const void*>(kernel);
    check(hipLaunchKernel(function, dim3(shape.grid.x, shape.grid.y, shape.grid.z),
                          dim3(shape.block.x, shape.block.y, shape.block.z), addresses,
                          shape.dynamic_shared_bytes, static_cast<hipStream_t>(stream.native)),
          "launching a kernel");
  };
  start(std::forward<Arguments>(arguments)...);
}

// Empty when the target's device can be used, else the first cause why not.
inline std::string why_unavailable() {
  int count = 0;
  const hipError_t result = hipGetDeviceCount(&count);
  if (result == hipSuccess && count > 0) return {};
  static_cast<void>(hipGetLastError());
  // The runtime says "no device" when the kernel's driver is missing too.
  if (access("/dev/kfd", F_OK) != 0)
    return std::string("no AMD GPU driver: /dev/kfd: ") + strerror(errno);
  return std::string("HIP: ") + hipGetErrorString(result == hipSuccess ? hipErrorNoDevice : result);
}

inline void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(hipMalloc(&memory, bytes == 0 ? 1 : bytes), "allocating device memory");
  return memory;
}
inline void deallocate(void* memory) noexcept { static_cast<void>(hipFree(memory)); }
inline void copy_to_device(Stream stream, void* target, const void* source, std::size_t bytes) {
  check(hipMemcpyAsync(target, source, bytes, hipMemcpyHostToDevice,
                       static_cast<hipStream_t>(stream.native)),
        "copying to the device");
}
inline void copy_to_host(Stream stream, void* target, const void* source, std::size_t bytes) {
  check(hipMemcpyAsync(target, source, bytes, hipMemcpyDeviceToHost,
                       static_cast<hipStream_t>(stream.native)),
        "copying to the host");
}
inline void fill_bytes(Stream stream, void* target, int byte, std::size_t bytes) {
  check(hipMemsetAsync(target, byte, bytes, static_cast<hipStream_t>(stream.native)),
        "filling device memory");
}
inline void synchronize(Stream stream) {
  check(hipStreamSynchronize(static_cast<hipStream_t>(stream.native)), "running a kernel");
}
inline int multiprocessor_count() {
  int device = 0;
  int count = 0;
  check(hipGetDevice(&device), "asking for the current device");
  check(hipDeviceGetAttribute(&count, hipDeviceAttributeMultiprocessorCount, device),
        "asking for the multiprocessors");
  return count;
}

}  // namespace quanthost::gpu
