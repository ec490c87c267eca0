// Codes of a GPTQ matrix in pairs of bfloat16, minus their middle, and the grids that belong to
// them. For AVX512-BF16.
#pragma once

#include <bit>
#include <quanthost/cpu/simd.hpp>
#include <type_traits>
#include <utility>

#include "cpu/kernels.hpp"
#include "cpu/typed.hpp"
#include "format.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

constexpr std::int64_t kPairs = kSlab / 2;  // of a slab
// Vectors of outputs that share an input: one load for both, and loads are what the product of a
// vector has least of.
constexpr int kVectors = 2;

// Pair p of a slab holds its rows 8 (p / 4) + p % 4 and four below that: where a word of 4-bit
// codes has its low and its high half.
constexpr std::int64_t first_of_pair(std::int64_t p) { return p / 4 * 8 + p % 4; }

inline __mmask16 lanes_of(std::int64_t count) {
  return count >= 16  ? __mmask16{0xffff}
         : count <= 0 ? __mmask16{0}
                      : first(static_cast<int>(count));
}

// What 32 indices stand for, in bfloat16: bits of an index that lie above do not matter.
struct BFloat16Table {
  alignas(64) std::uint16_t of[32];
};
template <typename Value>
constexpr BFloat16Table table_of(Value value) {
  BFloat16Table table{};
  for (int i = 0; i < 32; ++i)
    table.of[i] = static_cast<std::uint16_t>(
        std::bit_cast<std::uint32_t>(static_cast<float>(value(i))) >> 16);
  return table;
}

// Codes of up to 4 bits minus their middle, over and over.
template <int kBits>
inline __m512i code_table() {
  static constexpr BFloat16Table kTable =
      table_of([](int i) { return i % (1 << kBits) - (1 << (kBits - 1)); });
  return _mm512_load_si512(kTable.of);
}
// Differences of two codes of up to 4 bits, from their two's complement.
inline __m512i difference_table() {
  static constexpr BFloat16Table kTable = table_of([](int i) { return i < 16 ? i : i - 32; });
  return _mm512_load_si512(kTable.of);
}

// Words of 4-bit codes below row `slab * 32`: the last slab of a matrix may have fewer than four.
inline std::int64_t word_rows(const Matrix& w, std::int64_t slab) {
  return smaller(4, ceil_div(w.inputs - slab * kSlab, 8));
}

// The low halves of one's lanes below the high halves of the other's.
inline __m512i halves_of(__m512i low, __m512i high) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, low, high);
}

// Pair kPair of a slab's words.
template <int kBits, int kPair>
inline __m512i pair_of(const __m512i* words) {
  constexpr int kFirst = static_cast<int>(first_of_pair(kPair));
  if constexpr (kBits == 8) {              // the other code is the same byte of the next word
    const auto value = [](__m512i word) {  // in the upper half of each lane
      const __m512i signed_codes = _mm512_xor_si512(word, _mm512_set1_epi8(-128));
      return _mm512_castps_si512(_mm512_cvtepi32_ps(
          _mm512_srai_epi32(_mm512_slli_epi32(signed_codes, 24 - kFirst % 4 * 8), 24)));
    };
    return halves_of(_mm512_srli_epi32(value(words[kFirst / 4]), 16), value(words[kFirst / 4 + 1]));
  } else {
    // The code of a row from bit kTo on; what lies around it has no meaning.
    const auto code = [words]<int kRow, int kTo>() {
      constexpr int kBit = kRow * kBits, kShift = kBit % 32 - kTo;
      const __m512i word = words[kBit / 32];
      const __m512i low = kShift < 0 ? _mm512_slli_epi32(word, kShift < 0 ? -kShift : 0)
                                     : _mm512_srli_epi32(word, kShift < 0 ? 0 : kShift);
      if constexpr (kBit % 32 + kBits <= 32)
        return low;
      else
        return _mm512_or_si512(low, _mm512_slli_epi32(words[kBit / 32 + 1], 32 - kShift));
    };
    const __m512i index = halves_of(code.template operator()<kFirst, 0>(),
                                    code.template operator()<kFirst + 4, 16>());
    return _mm512_permutexvar_epi16(index, code_table<kBits>());
  }
}

// The pairs of one slab and of sixteen outputs from `first` on, each kStride after the one before;
// rows past the last one have any finite values.
template <int kBits, int kStride>
inline void decode_slab(const Matrix& w, std::int64_t slab, std::int64_t first, __mmask16 lanes,
                        __m512i* pairs) {
  const std::int64_t rows = words_for(w.inputs, kBits) - slab * kBits;
  __m512i words[kBits];
  for (std::int64_t i = 0; i < kBits; ++i)
    words[i] = i < rows ? _mm512_maskz_loadu_epi32(
                              lanes, w.qweight + (slab * kBits + i) * w.outputs + first)
                        : _mm512_setzero_si512();
  [&]<int... kPair>(std::integer_sequence<int, kPair...>) {
    ((pairs[kPair * kStride] = pair_of<kBits, kPair>(words)), ...);
  }
  (std::make_integer_sequence<int, kPairs>());
}

// Scale and middle - zero of sixteen outputs from `first` on; lanes past `count` are 0.
struct Grid16 {
  __m512 scale, shift;
};
// From the two words of sixteen zeros.
inline __m512 four_bit_shift(const std::uint32_t* zeros) {
  const __m512i shifts =
      _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  const __m512i words = _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
      _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(zeros))));
  const __m512i zero = _mm512_and_si512(_mm512_srlv_epi32(words, shifts), _mm512_set1_epi32(15));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_set1_epi32(8), zero));
}
inline Grid16 grid_of(const Matrix& w, std::int64_t group, std::int64_t first, std::int64_t count) {
  Grid16 grid{_mm512_setzero_ps(), _mm512_setzero_ps()};
  if (count <= 0) return grid;  // a strip may be wider than what is left of the outputs
  const int n = static_cast<int>(smaller(16, count));
  with_type(w.scale_type, [&](auto tag) {
    grid.scale =
        load_n(static_cast<const decltype(tag)*>(w.scales) + group * w.outputs + first, n).v;
  });
  const std::uint32_t* zeros = w.qzeros + group * words_for(w.outputs, w.bits);
  const int middle = 1 << (w.bits - 1);
  if (w.bits == 4 && n == 16) {
    grid.shift = four_bit_shift(zeros + first / 8);
    return grid;
  }
  alignas(64) float shift[16] = {};
  for (int i = 0; i < n; ++i)
    shift[i] = static_cast<float>(middle - static_cast<int>(code_at(zeros, 1, first + i, w.bits)));
  grid.shift = _mm512_load_ps(shift);
  return grid;
}

// Those of `vectors` times sixteen outputs, of which there are `count`.
inline void grids_of(const Matrix& w, std::int64_t group, std::int64_t first, std::int64_t count,
                     std::int64_t vectors, Grid16* grids) {
  const std::int64_t whole = w.bits == 4 ? smaller(count / 16, vectors) : 0;
  const std::uint32_t* zeros = w.qzeros + group * words_for(w.outputs, 4) + first / 8;
  with_type(w.scale_type, [&](auto tag) {
    const auto* scales = static_cast<const decltype(tag)*>(w.scales) + group * w.outputs + first;
    for (std::int64_t v = 0; v < whole; ++v)
      grids[v] = {load(scales + v * 16).v, four_bit_shift(zeros + v * 2)};
  });
  for (std::int64_t v = whole; v < vectors; ++v)
    grids[v] = grid_of(w, group, first + v * 16, count - v * 16);
}

inline bool is_symmetric(const Grid16& grid) {
  const __m512i shift = _mm512_castps_si512(grid.shift);
  return _mm512_test_epi32_mask(shift, shift) == 0;
}
// The zeros of a grid of 4-bit codes, each in all bytes of its lane.
inline __m512i zero_bytes(const Grid16& grid) {
  const __m512i zeros = _mm512_sub_epi32(_mm512_set1_epi32(8), _mm512_cvtps_epi32(grid.shift));
  return _mm512_shuffle_epi8(zeros, _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
}
// The lower 4-bit code of each byte minus its zero.
inline __m512i low_codes_minus(__m512i words, __m512i zero_bytes) {
  return _mm512_sub_epi8(_mm512_and_si512(words, _mm512_set1_epi8(15)), zero_bytes);
}

}  // namespace
}  // namespace quanthost::gptq
