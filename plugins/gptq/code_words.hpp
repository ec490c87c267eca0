// Codes in 32-bit words, for hosts and devices.
#pragma once

#include <cstdint>

// Kernel sources include quanthost/kernel.hpp first. Elsewhere always inlined: files compiled for
// one instruction set use them, and must not lend their copies.
#ifdef QH_HOST_DEVICE
#define QH_GPTQ_FUNCTION QH_HOST_DEVICE
#else
#define QH_GPTQ_FUNCTION [[gnu::always_inline]] inline
#endif

namespace quanthost::gptq {

// `continuous`: code i takes the bits [i * bits, (i + 1) * bits) of a little-endian stream; 2, 3, 4
// and 8 bits. `planar` ("gptq_p"): 32 codes take `bits` words, cut into planes whose widths divide
// 32 (3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2, 7 = 4 + 2 + 1), the lowest bits first; 2 to 8 bits. Where
// the width itself divides 32 the two are the same.
enum class WordLayout { continuous, planar };

QH_GPTQ_FUNCTION std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
QH_GPTQ_FUNCTION int largest_code(int bits) { return (1 << bits) - 1; }

// Words that hold `codes` codes.
QH_GPTQ_FUNCTION std::int64_t words_for(std::int64_t codes, int bits,
                                        WordLayout layout = WordLayout::continuous) {
  const std::int64_t tail = codes % 32;
  if (layout == WordLayout::planar && 32 % bits != 0) return (codes / 32 + (tail > 0)) * bits;
  return codes / 32 * bits + ceil_div(tail * bits, 32);
}

// Code `index` of a continuous stream whose words lie `stride` apart.
QH_GPTQ_FUNCTION std::uint32_t code_at(const std::uint32_t* words, std::int64_t stride,
                                       std::int64_t index, int bits) {
  const std::int64_t word = index * bits / 32;
  const int shift = static_cast<int>(index * bits % 32);
  std::uint32_t code = words[word * stride] >> shift;
  if (shift + bits > 32) code |= words[(word + 1) * stride] << (32 - shift);
  return code & static_cast<std::uint32_t>(largest_code(bits));
}

}  // namespace quanthost::gptq
