#include "host/base/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace quanthost {
namespace {

// Moves on over ASCII, eight bytes at a time; up to seven may be left.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  while (text.size() - at >= 8) {
    std::uint64_t chunk;
    std::memcpy(&chunk, text.data() + at, 8);
    if (chunk & 0x8080808080808080u) break;
    at += 8;
  }
  return at;
}

}  // namespace

// The ranges are those of table 3-7 of the Unicode standard.
Utf8Sequence utf8_sequence_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {i, false};
    const unsigned next = byte(at + i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xBF)) return {i, false};
  }
  return {length, true};
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const Utf8Sequence sequence = utf8_sequence_at(text, at);
    if (!sequence.valid) return at;
    at += sequence.length;
  }
  return std::nullopt;
}

}  // namespace quanthost
