// Large tensors on the host: memory that is fast to fill (huge pages) and goes back to the system
// when it is freed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace quanthost {

inline constexpr std::size_t kPageBytes = 4096;

constexpr std::uint64_t rounded_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

// Smaller tensors come from LibTorch's allocator.
inline constexpr std::size_t kLargeTensorBytes = std::size_t{1} << 20;

// Uninitialized and contiguous. Throws kMemory, saying how much was asked for.
at::Tensor empty_host_tensor(at::IntArrayRef shape, at::ScalarType type);

}  // namespace quanthost
