#include "host/text/utf8.hpp"

#include <cstdint>
#include <cstring>

#include "host/base/error.hpp"

namespace quanthost::text {
namespace {

struct Sequence {
  std::size_t length;  // bytes to move on: of the character, or of the ill-formed part
  bool valid;
};

// Looks at the sequence at text[at]; table 3-7 of the Unicode standard.
Sequence check_sequence(std::string_view text, std::size_t at) {
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

// Skips eight ASCII bytes at a time.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  while (at + 8 <= text.size()) {
    std::uint64_t chunk;
    std::memcpy(&chunk, text.data() + at, 8);
    if (chunk & 0x8080808080808080u) break;
    at += 8;
  }
  return at;
}

}  // namespace

void require_utf8(std::string_view text) {
  std::size_t at = 0;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const Sequence sequence = check_sequence(text, at);
    if (!sequence.valid) {
      throw Error(ErrorKind::kValue,
                  fmt::format("the text is not valid UTF-8: byte 0x{:02X} at offset {}",
                              static_cast<unsigned char>(text[at]), at),
                  "convert the text to UTF-8 first");
    }
    at += sequence.length;
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Sequence sequence = check_sequence(bytes, at);
    text += sequence.valid ? bytes.substr(at, sequence.length) : std::string_view("\xEF\xBF\xBD");
    at += sequence.length;
  }
  return text;
}

void append_code_point(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)),
        put(0x80 | (c & 0x3F));
  }
}

}  // namespace quanthost::text
