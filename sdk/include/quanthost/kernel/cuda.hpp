// CUDA's half of kernel.hpp. hip.hpp has the same functions in the same order.
#pragma once

#include <dlfcn.h>

#include "quanthost/kernel/device.hpp"

namespace quanthost::gpu {

// -- exchange between lanes

// The mask names the aligned group alone, so that other groups of the warp may be elsewhere.
template <int Width>
QH_DEVICE unsigned group_mask() {
  static_assert(Width == 2 || Width == 4 || Width == 8 || Width == 16 || Width == 32);
  if constexpr (Width == 32) {
    return 0xffffffffu;
  } else {
    return ((1u << Width) - 1u) << (lane() & ~(Width - 1));
  }
}

template <int Width = 32>
QH_DEVICE void warp_barrier(Site = {}) {
  __syncwarp(group_mask<Width>());
}

template <int Width = 32, class T>
QH_DEVICE T shuffle(const T& value, int source, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) {
    return __shfl_sync(group_mask<Width>(), word, source, Width);
  });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_xor(const T& value, int mask, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) {
    return __shfl_xor_sync(group_mask<Width>(), word, mask, Width);
  });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_down(const T& value, int delta, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) {
    return __shfl_down_sync(group_mask<Width>(), word, delta, Width);
  });
}
template <int Width = 32, class T>
QH_DEVICE T shuffle_up(const T& value, int delta, Site = {}) {
  return exchange_words(value, [=](std::uint32_t word) {
    return __shfl_up_sync(group_mask<Width>(), word, delta, Width);
  });
}
template <int Width = 32>
QH_DEVICE std::uint32_t ballot(bool predicate, Site = {}) {
  const unsigned all = __ballot_sync(group_mask<Width>(), predicate);
  return Width == 32 ? all : (all & group_mask<Width>()) >> (lane() & ~(Width - 1));
}

// -- global memory

// As load(), for bytes that this kernel reads once: the cache need not keep them.
template <class V, class T>
QH_DEVICE V load_once(const T* address) {
  if constexpr (sizeof(V) == 16) {
    return bit_cast<V>(__ldcs(reinterpret_cast<const uint4*>(address)));
  } else if constexpr (sizeof(V) == 8) {
    return bit_cast<V>(__ldcs(reinterpret_cast<const uint2*>(address)));
  } else if constexpr (sizeof(V) == 4) {
    return bit_cast<V>(__ldcs(reinterpret_cast<const unsigned*>(address)));
  } else {
    return load<V>(address);
  }
}

// -- async copies: global to shared, in groups, first committed first landed

// `Bytes` is 4, 8 or 16; both addresses are aligned to it. When `valid` is false zeros are written,
// `source` is not read.
template <int Bytes, class T>
QH_DEVICE void async_copy(const SharedArray<T>& target, int index, const T* source,
                          bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(target.data() + index));
  const int take = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(source), "r"(take)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(source), "n"(Bytes),
                 "r"(take)
                 : "memory");
  }
}
QH_DEVICE void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `Groups` of this thread's committed groups are under way. Other threads see
// the bytes after a barrier that follows.
template <int Groups = 0>
QH_DEVICE void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

// -- the host's side

inline constexpr const char* kTargetName = "cuda";

inline void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // an error of a launch must not show up in a later call
  throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(result),
              static_cast<int>(result));
}

template <class... Parameters, class... Arguments>
void launch(Stream stream, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  // The parameters as the kernel declares them, and an array of their addresses.
  const auto start = [&](Parameters... bound) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&bound))..., nullptr};
    const auto* function = reinterpret_cast<const void*>(kernel);
    constexpr std::size_t kWithoutAsking = 48 * 1024;
    if (shape.dynamic_shared_bytes > kWithoutAsking) {
      check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shape.dynamic_shared_bytes)),
            "raising the dynamic shared memory of a kernel");
    }
    check(cudaLaunchKernel(function, dim3(shape.grid.x, shape.grid.y, shape.grid.z),
                           dim3(shape.block.x, shape.block.y, shape.block.z), addresses,
                           shape.dynamic_shared_bytes, static_cast<cudaStream_t>(stream.native)),
          "launching a kernel");
  };
  start(std::forward<Arguments>(arguments)...);
}

// Empty when the target's device can be used, else the first cause why not.
inline std::string why_unavailable() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return {};
  cudaGetLastError();
  // The runtime says "insufficient driver" when there is none at all.
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); driver != nullptr) {
    dlclose(driver);
  } else {
    return std::string("no NVIDIA driver: ") + dlerror();
  }
  return std::string("CUDA: ") +
         cudaGetErrorString(result == cudaSuccess ? cudaErrorNoDevice : result);
}

inline void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes == 0 ? 1 : bytes), "allocating device memory");
  return memory;
}
inline void deallocate(void* memory) noexcept { cudaFree(memory); }
inline void copy_to_device(Stream stream, void* target, const void* source, std::size_t bytes) {
  check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice,
                        static_cast<cudaStream_t>(stream.native)),
        "copying to the device");
}
inline void copy_to_host(Stream stream, void* target, const void* source, std::size_t bytes) {
  check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost,
                        static_cast<cudaStream_t>(stream.native)),
        "copying to the host");
}
inline void fill_bytes(Stream stream, void* target, int byte, std::size_t bytes) {
  check(cudaMemsetAsync(target, byte, bytes, static_cast<cudaStream_t>(stream.native)),
        "filling device memory");
}
inline void synchronize(Stream stream) {
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream.native)), "running a kernel");
}
inline int multiprocessor_count() {
  int device = 0;
  int count = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "asking for the multiprocessors");
  return count;
}

}  // namespace quanthost::gpu
