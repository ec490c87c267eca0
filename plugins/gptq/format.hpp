// The GPTQ checkpoint format: codes and zeros as bit streams in 32-bit words, two encodings of
// zeros, planar words, and the group of each input row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "code_words.hpp"

namespace quanthost::gptq {

// How a zero z is stored: v1 ("gptq") as z - 1, v2 ("gptq_v2" and "gptq_p") as z.
enum class ZeroFormat { v1, v2 };

// Throws qh::Error (value) naming the widths that `layout` holds.
void check_bits(int bits, WordLayout layout = WordLayout::continuous);

inline int symmetric_zero(int bits) { return 1 << (bits - 1); }

// One stream: `count` codes `code_stride` apart, in words `word_stride` apart. Packing writes every
// word of the stream; bits that belong to no code are 0. A code above largest_code(bits) is
// refused.
void pack(std::span<const std::uint8_t> codes, std::int64_t count, std::int64_t code_stride,
          int bits, WordLayout layout, std::uint32_t* words, std::int64_t word_stride);
void unpack(const std::uint32_t* words, std::int64_t word_stride, std::int64_t count, int bits,
            WordLayout layout, std::uint8_t* codes, std::int64_t code_stride);

// qweight [words_for(inputs), outputs] of codes [inputs, outputs]: a stream down each column.
std::vector<std::uint32_t> pack_weight(std::span<const std::uint8_t> codes, std::int64_t inputs,
                                       std::int64_t outputs, int bits,
                                       WordLayout layout = WordLayout::continuous);
std::vector<std::uint8_t> unpack_weight(std::span<const std::uint32_t> qweight, std::int64_t inputs,
                                        std::int64_t outputs, int bits,
                                        WordLayout layout = WordLayout::continuous);

// qzeros [groups, words_for(outputs)] of zeros [groups, outputs], in v2: a stream along each row.
std::vector<std::uint32_t> pack_zeros(std::span<const std::uint8_t> zeros, std::int64_t groups,
                                      std::int64_t outputs, int bits,
                                      WordLayout layout = WordLayout::continuous);
std::vector<std::uint8_t> unpack_zeros(std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                       std::int64_t outputs, int bits,
                                       WordLayout layout = WordLayout::continuous);

// Rewrites continuous qzeros in place. 2, 4 and 8 bits add to or subtract from whole words, so that
// a zero of 0 borrows from its neighbours and only the way back restores them: that is what
// existing files hold. 3 bits wrap each zero on its own.
void convert_zeros(std::span<std::uint32_t> qzeros, std::int64_t groups, std::int64_t outputs,
                   int bits, ZeroFormat from, ZeroFormat to);

// The format that symmetric zeros show by themselves; nothing when some zero is no symmetric one.
std::optional<ZeroFormat> symmetric_zero_format(std::span<const std::uint32_t> qzeros,
                                                std::int64_t groups, std::int64_t outputs,
                                                int bits);

// What to read a tensor as. Configurations are known to carry the label of another step of the
// pipeline that wrote them; symmetric zeros decide then.
struct DetectedZeros {
  ZeroFormat format;
  bool label_is_wrong;
};
DetectedZeros detect_zero_format(ZeroFormat label, bool symmetric,
                                 std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                 std::int64_t outputs, int bits);

// Groups of `inputs` rows; a group size of -1 is one group. The last group may be short.
inline std::int64_t groups_of(std::int64_t inputs, std::int64_t group_size) {
  return group_size < 0 ? 1 : ceil_div(inputs, group_size);
}
// g_idx of a layer without activation order.
std::vector<std::int32_t> consecutive_groups(std::int64_t inputs, std::int64_t group_size);
// Throws qh::Error (value) when an entry of g_idx names no group.
void check_group_index(std::span<const std::int32_t> g_idx, std::int64_t groups);
// The rows ordered by group, rows of one group in their own order.
std::vector<std::int32_t> rows_by_group(std::span<const std::int32_t> g_idx, std::int64_t groups);

// The dense matrix [inputs, outputs]: scales[g][n] * (code - zero), rounded once to T, which is
// float, cpu::Float16 or cpu::BFloat16. The specification of every kernel.
template <typename T>
std::vector<T> dequantize(std::span<const std::uint8_t> codes, std::span<const std::uint8_t> zeros,
                          std::span<const T> scales, std::span<const std::int32_t> g_idx,
                          std::int64_t outputs);

}  // namespace quanthost::gptq
