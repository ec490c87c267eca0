// Looks through the stored values of a tensor for those that a sound checkpoint does not hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "host/checkpoint/dtype.hpp"

namespace quanthost {

struct ValueCounts {
  std::uint64_t nan = 0;
  std::uint64_t infinite = 0;
  std::uint64_t not_boolean = 0;  // bytes of a BOOL tensor that are neither 0 nor 1
};

// Adds what `bytes`, whole elements of `dtype`, hold. Types without such values add nothing.
void count_values(Dtype dtype, std::span<const std::byte> bytes, ValueCounts& counts);

}  // namespace quanthost
