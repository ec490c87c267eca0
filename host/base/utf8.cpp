#include "host/base/utf8.hpp"

#include <cstdint>

namespace quanthost {
namespace {

struct Range {
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
};

// Number of continuation bytes after a lead byte and the range of the first of them, or -1 for no
// lead byte (Unicode standard, table 3-7).
int continuation_bytes(std::uint8_t lead, Range& first) {
  if (lead < 0x80) return 0;
  if (lead >= 0xC2 && lead <= 0xDF) return 1;
  if (lead == 0xE0) first.low = 0xA0;
  if (lead == 0xED) first.high = 0x9F;
  if (lead >= 0xE0 && lead <= 0xEF) return 2;
  if (lead == 0xF0) first.low = 0x90;
  if (lead == 0xF4) first.high = 0x8F;
  if (lead >= 0xF0 && lead <= 0xF4) return 3;
  return -1;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    Range range;
    const int count = continuation_bytes(static_cast<std::uint8_t>(text[at]), range);
    if (count < 0 || text.size() - at <= static_cast<std::size_t>(count)) return at;
    for (int i = 1; i <= count; ++i) {
      const auto byte = static_cast<std::uint8_t>(text[at + static_cast<std::size_t>(i)]);
      if (byte < range.low || byte > range.high) return at;
      range = {};
    }
    at += 1 + static_cast<std::size_t>(count);
  }
  return std::nullopt;
}

}  // namespace quanthost
