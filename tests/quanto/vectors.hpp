// Small vectors made with optimum-quanto 0.2.7 (torch 2.11.0), as raw bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace quanthost::quanto {

// "20 c0 10 7f" as bytes; spaces are ignored.
inline std::vector<std::uint8_t> bytes(std::string_view hex) {
  std::vector<std::uint8_t> out;
  int high = -1;
  for (char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return out;
}

// W[i] = ((37 i) mod 101) / 50 - 1, float32.
inline std::vector<float> sawtooth(std::int64_t count) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < count; ++i)
    out.push_back(static_cast<float>((37 * i) % 101) / 50.0f - 1.0f);
  return out;
}

}  // namespace quanthost::quanto
