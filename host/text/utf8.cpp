#include "host/text/utf8.hpp"

#include "host/base/error.hpp"
#include "host/base/utf8.hpp"

namespace quanthost::text {

void require_utf8(std::string_view text) {
  const auto at = first_invalid_utf8(text);
  if (!at) return;
  throw Error(ErrorKind::kValue,
              fmt::format("the text is not valid UTF-8: byte 0x{:02X} at offset {}",
                          static_cast<unsigned char>(text[*at]), *at),
              "convert the text to UTF-8 first");
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Sequence sequence = utf8_sequence_at(bytes, at);
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
