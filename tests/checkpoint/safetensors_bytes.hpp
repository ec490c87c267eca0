// Safetensors files as bytes, right or wrong, for tests that need both.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quanthost::testing {

inline std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  return bytes;
}

// Prefix, header as given, data: nothing is checked or padded.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return little_endian(header.size()) + std::string(header) + std::string(data);
}

}  // namespace quanthost::testing
