// The element types of stored tensors, with the names that safetensors and torch give them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace quanthost {

// In the order of safetensors' writer, lowest alignment first: its files are sorted by this,
// descending.
enum class Dtype : std::uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};
inline constexpr int kDtypeCount = 22;

std::string_view safetensors_name(Dtype dtype);  // "BF16"
std::string_view torch_name(
    Dtype dtype);  // "bfloat16"; empty for the 6-bit types, which torch does not have
int bits_of(Dtype dtype);
bool is_floating_point(Dtype dtype);

// Names are case-sensitive. torch's may carry its module: "torch.bfloat16".
std::optional<Dtype> dtype_from_safetensors_name(std::string_view name);
std::optional<Dtype> dtype_from_torch_name(std::string_view name);

}  // namespace quanthost
