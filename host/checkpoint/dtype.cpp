#include "host/checkpoint/dtype.hpp"

#include <array>
#include <cstddef>

namespace quanthost {
namespace {

struct Row {
  Dtype dtype;
  std::string_view safetensors;
  std::string_view torch;
  int bits;
  bool floating_point;
};

constexpr std::array<Row, kDtypeCount> kRows = {{
    {Dtype::kBool, "BOOL", "bool", 8, false},
    {Dtype::kF4, "F4", "float4_e2m1fn_x2", 4, true},
    {Dtype::kF6E2M3, "F6_E2M3", "", 6, true},
    {Dtype::kF6E3M2, "F6_E3M2", "", 6, true},
    {Dtype::kU8, "U8", "uint8", 8, false},
    {Dtype::kI8, "I8", "int8", 8, false},
    {Dtype::kF8E5M2, "F8_E5M2", "float8_e5m2", 8, true},
    {Dtype::kF8E4M3, "F8_E4M3", "float8_e4m3fn", 8, true},
    {Dtype::kF8E8M0, "F8_E8M0", "float8_e8m0fnu", 8, true},
    {Dtype::kF8E4M3Fnuz, "F8_E4M3FNUZ", "float8_e4m3fnuz", 8, true},
    {Dtype::kF8E5M2Fnuz, "F8_E5M2FNUZ", "float8_e5m2fnuz", 8, true},
    {Dtype::kI16, "I16", "int16", 16, false},
    {Dtype::kU16, "U16", "uint16", 16, false},
    {Dtype::kF16, "F16", "float16", 16, true},
    {Dtype::kBF16, "BF16", "bfloat16", 16, true},
    {Dtype::kI32, "I32", "int32", 32, false},
    {Dtype::kU32, "U32", "uint32", 32, false},
    {Dtype::kF32, "F32", "float32", 32, true},
    {Dtype::kC64, "C64", "complex64", 64, false},
    {Dtype::kF64, "F64", "float64", 64, true},
    {Dtype::kI64, "I64", "int64", 64, false},
    {Dtype::kU64, "U64", "uint64", 64, false},
}};

constexpr bool rows_match_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].dtype) != i) return false;
  }
  return true;
}
static_assert(rows_match_enum());

const Row& row(Dtype dtype) { return kRows[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::string_view safetensors_name(Dtype dtype) { return row(dtype).safetensors; }
std::string_view torch_name(Dtype dtype) { return row(dtype).torch; }
int bits_of(Dtype dtype) { return row(dtype).bits; }
bool is_floating_point(Dtype dtype) { return row(dtype).floating_point; }

std::optional<Dtype> dtype_from_safetensors_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.safetensors == name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<Dtype> dtype_from_torch_name(std::string_view name) {
  constexpr std::string_view kModule = "torch.";
  if (name.starts_with(kModule)) name.remove_prefix(kModule.size());
  for (const Row& row : kRows) {
    if (!name.empty() && row.torch == name) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace quanthost
