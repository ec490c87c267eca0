// Packing, zeros and group indices of GPTQ checkpoints.
#include "format.hpp"

#include <algorithm>
#include <numeric>
#include <quanthost/cpu/formats.hpp>
#include <quanthost/plugin/error.hpp>
#include <string>

namespace quanthost::gptq {
namespace {

// Where the low bits of a code lie: one part, or two when it crosses into the next word; planar
// codes have one part for each plane.
struct Part {
  std::int64_t word;
  int word_shift, code_shift, bits;
};
struct Parts {
  Part part[3];
  int count = 0;
  void add(Part p) { part[count++] = p; }
};

Parts continuous_parts(std::int64_t index, int bits) {
  const std::int64_t word = index * bits / 32;
  const int shift = static_cast<int>(index * bits % 32);
  const int low = std::min(bits, 32 - shift);
  Parts parts;
  parts.add({word, shift, 0, low});
  if (low < bits) parts.add({word + 1, 0, low, bits - low});
  return parts;
}

Parts planar_parts(std::int64_t index, int bits) {
  Parts parts;
  const int slot = static_cast<int>(index % 32);
  for (int width = 8, left = bits, done = 0; left > 0; width /= 2) {
    if (width > left) continue;
    const int per_word = 32 / width;
    // Planes below this one took `done` bits, and as many words of the 32 codes.
    parts.add({index / 32 * bits + done + slot / per_word, slot % per_word * width, done, width});
    done += width;
    left -= width;
  }
  return parts;
}

Parts parts_of(std::int64_t index, int bits, WordLayout layout) {
  return layout == WordLayout::planar ? planar_parts(index, bits) : continuous_parts(index, bits);
}

std::uint32_t low_mask(int bits) { return (1u << bits) - 1u; }

void check_size(std::size_t found, std::int64_t rows, std::int64_t columns, const char* what) {
  std::int64_t needed = 0;
  if (rows < 0 || columns < 0 || __builtin_mul_overflow(rows, columns, &needed) ||
      found != static_cast<std::size_t>(needed))
    throw qh::Error(QH_ERR_VALUE, std::string(what) + " has " + std::to_string(found) +
                                      " elements; its shape needs " + std::to_string(rows) + " x " +
                                      std::to_string(columns));
}

// 1 in every field of a word.
std::uint32_t one_in_each_field(int bits) { return 0xffffffffu / low_mask(bits); }

}  // namespace

void check_bits(int bits, WordLayout layout) {
  const bool continuous = bits == 2 || bits == 3 || bits == 4 || bits == 8;
  const bool planar = bits >= 2 && bits <= 8;
  if (layout == WordLayout::planar ? planar : continuous) return;
  throw qh::Error(QH_ERR_VALUE, "codes of " + std::to_string(bits) + " bits cannot be packed",
                  layout == WordLayout::planar ? "gptq_p holds 2 to 8 bits"
                                               : "gptq and gptq_v2 hold 2, 3, 4 or 8 bits");
}

void pack(std::span<const std::uint8_t> codes, std::int64_t count, std::int64_t code_stride,
          int bits, WordLayout layout, std::uint32_t* words, std::int64_t word_stride) {
  for (std::int64_t w = 0; w < words_for(count, bits, layout); ++w) words[w * word_stride] = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t code = codes[static_cast<std::size_t>(i * code_stride)];
    if (code > low_mask(bits))
      throw qh::Error(QH_ERR_VALUE, "code " + std::to_string(code) + " does not fit in " +
                                        std::to_string(bits) + " bits");
    const Parts parts = parts_of(i, bits, layout);
    for (int p = 0; p < parts.count; ++p) {
      const Part& part = parts.part[p];
      words[part.word * word_stride] |= (code >> part.code_shift & low_mask(part.bits))
                                        << part.word_shift;
    }
  }
}

void unpack(const std::uint32_t* words, std::int64_t word_stride, std::int64_t count, int bits,
            WordLayout layout, std::uint8_t* codes, std::int64_t code_stride) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Parts parts = parts_of(i, bits, layout);
    std::uint32_t code = 0;
    for (int p = 0; p < parts.count; ++p) {
      const Part& part = parts.part[p];
      code |= (words[part.word * word_stride] >> part.word_shift & low_mask(part.bits))
              << part.code_shift;
    }
    codes[i * code_stride] = static_cast<std::uint8_t>(code);
  }
}

std::vector<std::uint32_t> pack_weight(std::span<const std::uint8_t> codes, std::int64_t inputs,
                                       std::int64_t outputs, int bits, WordLayout layout) {
  check_bits(bits, layout);
  check_size(codes.size(), inputs, outputs, "codes");
  std::vector<std::uint32_t> words(
      static_cast<std::size_t>(words_for(inputs, bits, layout) * outputs));
  for (std::int64_t n = 0; n < outputs; ++n)
    pack(codes.subspan(static_cast<std::size_t>(n)), inputs, outputs, bits, layout,
         words.data() + n, outputs);
  return words;
}

std::vector<std::uint8_t> unpack_weight(std::span<const std::uint32_t> qweight, std::int64_t inputs,
                                        std::int64_t outputs, int bits, WordLayout layout) {
  check_bits(bits, layout);
  check_size(qweight.size(), words_for(inputs, bits, layout), outputs, "qweight");
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(inputs * outputs));
  for (std::int64_t n = 0; n < outputs; ++n)
    unpack(qweight.data() + n, outputs, inputs, bits, layout, codes.data() + n, outputs);
  return codes;
}

std::vector<std::uint32_t> pack_zeros(std::span<const std::uint8_t> zeros, std::int64_t groups,
                                      std::int64_t outputs, int bits, WordLayout layout) {
  check_bits(bits, layout);
  check_size(zeros.size(), groups, outputs, "zeros");
  const std::int64_t row = words_for(outputs, bits, layout);
  std::vector<std::uint32_t> words(static_cast<std::size_t>(groups * row));
  for (std::int64_t g = 0; g < groups; ++g)
    pack(zeros.subspan(static_cast<std::size_t>(g * outputs)), outputs, 1, bits, layout,
         words.data() + g * row, 1);
  return words;
}

std::vector<std::uint8_t> unpack_zeros(std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                       std::int64_t outputs, int bits, WordLayout layout) {
  check_bits(bits, layout);
  const std::int64_t row = words_for(outputs, bits, layout);
  check_size(qzeros.size(), groups, row, "qzeros");
  std::vector<std::uint8_t> zeros(static_cast<std::size_t>(groups * outputs));
  for (std::int64_t g = 0; g < groups; ++g)
    unpack(qzeros.data() + g * row, 1, outputs, bits, layout, zeros.data() + g * outputs, 1);
  return zeros;
}

void convert_zeros(std::span<std::uint32_t> qzeros, std::int64_t groups, std::int64_t outputs,
                   int bits, ZeroFormat from, ZeroFormat to) {
  check_bits(bits);
  check_size(qzeros.size(), groups, words_for(outputs, bits), "qzeros");
  if (from == to) return;
  const bool add = to == ZeroFormat::v2;
  if (bits != 3) {
    const std::uint32_t ones = one_in_each_field(bits);
    for (std::uint32_t& word : qzeros) word = add ? word + ones : word - ones;
    return;
  }
  std::vector<std::uint8_t> zeros = unpack_zeros(qzeros, groups, outputs, bits);
  for (std::uint8_t& zero : zeros) zero = static_cast<std::uint8_t>((zero + (add ? 1 : 7)) % 8);
  const std::vector<std::uint32_t> packed = pack_zeros(zeros, groups, outputs, bits);
  std::copy(packed.begin(), packed.end(), qzeros.begin());
}

std::optional<ZeroFormat> symmetric_zero_format(std::span<const std::uint32_t> qzeros,
                                                std::int64_t groups, std::int64_t outputs,
                                                int bits) {
  const std::vector<std::uint8_t> stored = unpack_zeros(qzeros, groups, outputs, bits);
  const auto all = [&](int value) {
    return !stored.empty() &&
           std::all_of(stored.begin(), stored.end(), [=](int zero) { return zero == value; });
  };
  if (all(symmetric_zero(bits) - 1)) return ZeroFormat::v1;
  if (all(symmetric_zero(bits))) return ZeroFormat::v2;
  return std::nullopt;
}

DetectedZeros detect_zero_format(ZeroFormat label, bool symmetric,
                                 std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                 std::int64_t outputs, int bits) {
  // Asymmetric zeros may happen to have the symmetric value: there the label is all there is.
  if (!symmetric) return {label, false};
  const ZeroFormat format = symmetric_zero_format(qzeros, groups, outputs, bits).value_or(label);
  return {format, format != label};
}

std::vector<std::int32_t> consecutive_groups(std::int64_t inputs, std::int64_t group_size) {
  std::vector<std::int32_t> g_idx(static_cast<std::size_t>(inputs));
  if (group_size > 0)
    for (std::int64_t k = 0; k < inputs; ++k)
      g_idx[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(k / group_size);
  return g_idx;
}

void check_group_index(std::span<const std::int32_t> g_idx, std::int64_t groups) {
  for (std::size_t k = 0; k < g_idx.size(); ++k)
    if (g_idx[k] < 0 || g_idx[k] >= groups)
      throw qh::Error(QH_ERR_VALUE, "g_idx[" + std::to_string(k) + "] is " +
                                        std::to_string(g_idx[k]) + ", and there are " +
                                        std::to_string(groups) + " groups");
}

std::vector<std::int32_t> rows_by_group(std::span<const std::int32_t> g_idx, std::int64_t groups) {
  check_group_index(g_idx, groups);
  std::vector<std::int32_t> rows(g_idx.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::stable_sort(rows.begin(), rows.end(), [&](std::int32_t a, std::int32_t b) {
    return g_idx[static_cast<std::size_t>(a)] < g_idx[static_cast<std::size_t>(b)];
  });
  return rows;
}

template <typename T>
std::vector<T> dequantize(std::span<const std::uint8_t> codes, std::span<const std::uint8_t> zeros,
                          std::span<const T> scales, std::span<const std::int32_t> g_idx,
                          std::int64_t outputs) {
  const auto inputs = static_cast<std::int64_t>(g_idx.size());
  check_size(codes.size(), inputs, outputs, "codes");
  const std::int64_t groups = outputs > 0 ? static_cast<std::int64_t>(scales.size()) / outputs : 0;
  check_size(scales.size(), groups, outputs, "scales");
  check_size(zeros.size(), groups, outputs, "zeros");
  check_group_index(g_idx, groups);
  std::vector<T> dense(codes.size());
  for (std::int64_t i = 0; i < inputs * outputs; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto group = static_cast<std::size_t>(
        g_idx[static_cast<std::size_t>(i / outputs)] * outputs + i % outputs);
    // At most 11 bits by 9: the float product of a half-width scale is exact.
    dense[at] = cpu::from_float<T>(cpu::to_float(scales[group]) *
                                   static_cast<float>(codes[at] - zeros[group]));
  }
  return dense;
}

template std::vector<float> dequantize(std::span<const std::uint8_t>, std::span<const std::uint8_t>,
                                       std::span<const float>, std::span<const std::int32_t>,
                                       std::int64_t);
template std::vector<cpu::Float16> dequantize(std::span<const std::uint8_t>,
                                              std::span<const std::uint8_t>,
                                              std::span<const cpu::Float16>,
                                              std::span<const std::int32_t>, std::int64_t);
template std::vector<cpu::BFloat16> dequantize(std::span<const std::uint8_t>,
                                               std::span<const std::uint8_t>,
                                               std::span<const cpu::BFloat16>,
                                               std::span<const std::int32_t>, std::int64_t);

}  // namespace quanthost::gptq
