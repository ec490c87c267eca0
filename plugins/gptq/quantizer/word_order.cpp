// Layouts of words, one into the other.
#include "quantizer/word_order.hpp"

#include <algorithm>

namespace quanthost::gptq {

bool words_differ(int bits, WordLayout layout) {
  return layout == WordLayout::planar && 32 % bits != 0;
}

std::vector<std::uint32_t> with_layout(std::span<const std::uint32_t> qweight, std::int64_t inputs,
                                       std::int64_t outputs, int bits, WordLayout from,
                                       WordLayout to) {
  return pack_weight(unpack_weight(qweight, inputs, outputs, bits, from), inputs, outputs, bits,
                     to);
}

std::vector<std::uint32_t> with_zeros_as(std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                         std::int64_t outputs, int bits, StoredAs from,
                                         StoredAs to) {
  const auto repacked = [&](std::span<const std::uint32_t> words, WordLayout a, WordLayout b) {
    return pack_zeros(unpack_zeros(words, groups, outputs, bits, a), groups, outputs, bits, b);
  };
  std::vector<std::uint32_t> words(qzeros.begin(), qzeros.end());
  if (words_differ(bits, from.layout)) words = repacked(words, from.layout, WordLayout::continuous);
  convert_zeros(words, groups, outputs, bits, from.zeros, to.zeros);
  if (words_differ(bits, to.layout)) words = repacked(words, WordLayout::continuous, to.layout);
  return words;
}

std::vector<std::uint32_t> unsorted(std::span<const std::uint32_t> qweight,
                                    std::span<const std::int32_t> order, std::int64_t outputs,
                                    int bits) {
  const auto inputs = static_cast<std::int64_t>(order.size());
  const std::vector<std::uint8_t> sorted = unpack_weight(qweight, inputs, outputs, bits);
  std::vector<std::uint8_t> natural(sorted.size());
  for (std::size_t row = 0; row < order.size(); ++row)
    std::copy_n(sorted.begin() + static_cast<std::int64_t>(row) * outputs, outputs,
                natural.begin() + order[row] * outputs);
  return pack_weight(natural, inputs, outputs, bits);
}

}  // namespace quanthost::gptq
