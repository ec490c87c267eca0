// The element types of GGUF tensors: how they are packed in blocks, and their values as float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace quanthost {

// The values are ggml's. Types that are not listed are refused.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

// Null for a type that is not read here.
const GgmlTypeInfo* find_ggml_type(std::uint32_t value);
const GgmlTypeInfo& info_of(GgmlType type);

// Whole blocks to float32, with the roundings of the reference implementation: the values are
// bit-identical. Throws Error(kInternal) when the sizes do not fit each other.
void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace quanthost
