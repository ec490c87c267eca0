// The header of a safetensors file: u64 length, JSON, then the data; validated as the reference
// parser does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/checkpoint/dtype.hpp"

namespace quanthost {

using Shape = std::vector<std::int64_t>;
using Metadata = std::map<std::string, std::string>;

inline constexpr std::uint64_t kSafetensorsPrefixBytes =
    8;  // the length of the header, little-endian
inline constexpr std::uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";

// Names, types and shapes of a tensor that is to be stored.
struct TensorDeclaration {
  std::string name;
  Dtype dtype = Dtype::kF32;
  Shape shape;  // empty: a scalar
};

// A tensor of a file, and where its bytes lie.
struct TensorInfo : TensorDeclaration {
  std::uint64_t begin = 0;  // bytes from the start of the data, which follows the header
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  std::uint64_t elements() const;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of their bytes
  Metadata metadata;
};

// Bytes that a tensor needs. Throws Error(kValue) when the product of its dimensions overflows, or
// when its bits do not fill whole bytes.
std::uint64_t storage_bytes(Dtype dtype, const Shape& shape);

// Rules 1 to 3: the file's first bytes (at most 8 are looked at) and its size give the length of
// the header.
std::uint64_t safetensors_header_bytes(std::span<const std::byte> prefix, std::uint64_t file_bytes);

// Rules 4 to 9: UTF-8, one JSON object, the fields of every tensor, no hole and no overlap between
// them, sizes that fit dtype and shape, and data that ends with the last tensor. Throws
// Error(kValue) that names the rule. A name that occurs twice keeps its last entry. Deviation from
// the reference: a dimension above 2^63 - 1 is refused.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes);

// Sorts the declarations as the reference writer does, and gives each its place.
std::vector<TensorInfo> lay_out_tensors(std::vector<TensorDeclaration> tensors);

// Prefix and JSON of the file, padded with spaces to a multiple of 8.
std::string format_safetensors_header(const std::vector<TensorInfo>& tensors,
                                      const Metadata& metadata);

}  // namespace quanthost
