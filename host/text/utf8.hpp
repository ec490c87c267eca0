// UTF-8: checking what comes in, and walking over text that was checked.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quanthost::text {

// Throws a ValueError that gives the offset and value of the first byte that is not UTF-8.
void require_utf8(std::string_view text);

// Every maximal part of an ill-formed sequence becomes one U+FFFD (the practice the Unicode
// standard recommends).
std::string replace_invalid_utf8(std::string_view bytes);

// The functions below trust their input: valid UTF-8 only.
inline std::size_t sequence_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Reads the character at text[at] and moves `at` behind it.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const char32_t lead = byte(at);
  if (lead < 0x80) return at += 1, lead;
  const char32_t second = byte(at + 1) & 0x3Fu;
  if (lead < 0xE0) return at += 2, (lead & 0x1Fu) << 6 | second;
  const char32_t third = byte(at + 2) & 0x3Fu;
  if (lead < 0xF0) return at += 3, (lead & 0x0Fu) << 12 | second << 6 | third;
  at += 4;
  return (lead & 0x07u) << 18 | second << 12 | third << 6 | (byte(at - 1) & 0x3Fu);
}

// The character that ends before text[at]; moves `at` to its first byte.
inline char32_t previous_code_point(std::string_view text, std::size_t& at) {
  do --at;
  while ((static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u);
  std::size_t forward = at;
  return next_code_point(text, forward);
}

inline std::size_t count_code_points(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  return count;
}

void append_code_point(std::string& text, char32_t code_point);

}  // namespace quanthost::text
