#include "host/text/byte_level.hpp"

#include <array>
#include <cstdint>

#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

constexpr std::size_t kAlphabetEnd = 0x100 + 68;  // one behind the largest code point in use

struct Alphabet {
  struct Character {
    char utf8[2];
    std::uint8_t length;
  };
  std::array<Character, 256> of_byte{};
  std::array<std::int16_t, kAlphabetEnd> byte_of{};  // by code point; -1: not in the alphabet

  Alphabet() {
    byte_of.fill(-1);
    char32_t next_free = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const char32_t c = printable ? static_cast<char32_t>(byte) : next_free++;
      std::string utf8;
      append_code_point(utf8, c);
      of_byte[byte] = {{utf8[0], utf8.size() > 1 ? utf8[1] : '\0'},
                       static_cast<std::uint8_t>(utf8.size())};
      byte_of[c] = static_cast<std::int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

void append_byte_characters(std::string& out, std::string_view bytes) {
  const Alphabet& letters = alphabet();
  const std::size_t begin = out.size();
  out.resize(begin + 2 * bytes.size());
  char* to = out.data() + begin;
  for (const char byte : bytes) {
    const auto& letter = letters.of_byte[static_cast<unsigned char>(byte)];
    to[0] = letter.utf8[0];
    if (letter.length == 2) to[1] = letter.utf8[1];
    to += letter.length;
  }
  out.resize(static_cast<std::size_t>(to - out.data()));
}

bool append_bytes_of(std::string& out, std::string_view text) {
  const std::size_t begin = out.size();
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c >= kAlphabetEnd || alphabet().byte_of[c] < 0) {
      out.resize(begin);
      return false;
    }
    out += static_cast<char>(alphabet().byte_of[c]);
  }
  return true;
}

}  // namespace quanthost::text
