// A fast hash of short strings: words and tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace quanthost::text {

// All 64 bits are mixed; the upper ones are the best.
inline std::uint64_t string_hash(std::string_view text) {
  std::uint64_t hash = text.size();
  for (std::size_t at = 0; at < text.size(); at += 8) {
    std::uint64_t chunk = 0;
    std::memcpy(&chunk, text.data() + at, std::min<std::size_t>(8, text.size() - at));
    hash = (hash ^ chunk) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash * 0xD6E8FEB86659FD93u;
}

}  // namespace quanthost::text
