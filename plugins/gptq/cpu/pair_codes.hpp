// Codes of a GPTQ matrix in pairs of bfloat16, minus their middle, and the grids that belong to
// them. For AVX512-BF16.
#pragma once

#include <quanthost/cpu/simd.hpp>

#include "cpu/kernels.hpp"
#include "cpu/typed.hpp"
#include "format.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

constexpr std::int64_t kPairs = kSlab / 2;  // of a slab

// Pair p of a slab holds its rows 8 (p / 4) + p % 4 and four below that: where a word of 4-bit
// codes has its low and its high half.
constexpr std::int64_t first_of_pair(std::int64_t p) { return p / 4 * 8 + p % 4; }

inline __m512i pair_of_floats(__m512 low, __m512 high) {  // both exact in bfloat16
  return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(low), 16),
                         _mm512_and_si512(_mm512_castps_si512(high),
                                          _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline __mmask16 lanes_of(std::int64_t count) {
  return count >= 16  ? __mmask16{0xffff}
         : count <= 0 ? __mmask16{0}
                      : first(static_cast<int>(count));
}

// The bfloat16 values -8 ... 7, twice: the fifth bit of an index does not matter.
inline __m512i middle_table() {
  alignas(64) static constexpr std::uint16_t kValues[32] = {
      0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
      0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040,
      0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0};
  return _mm512_load_si512(kValues);
}

// Words of 4-bit codes below row `slab * 32`: the last slab of a matrix may have fewer than four.
inline std::int64_t word_rows(const Matrix& w, std::int64_t slab) {
  return smaller(4, ceil_div(w.inputs - slab * kSlab, 8));
}

// Codes of stored row `slab * 32 + r`, minus the middle.
inline __m512 decode_row(const Matrix& w, std::int64_t slab, std::int64_t r, std::int64_t first,
                         __mmask16 lanes) {
  if (slab * kSlab + r >= w.inputs) return _mm512_setzero_ps();
  const auto bit = static_cast<int>(r) * w.bits, shift = bit % 32;
  const std::uint32_t* from = w.qweight + (slab * w.bits + bit / 32) * w.outputs + first;
  Ints code = shift_right({_mm512_maskz_loadu_epi32(lanes, from)}, shift);
  if (shift + w.bits > 32)
    code = code | shift_left({_mm512_maskz_loadu_epi32(lanes, from + w.outputs)}, 32 - shift);
  return to_floats((code & ints(largest_code(w.bits))) - ints(1 << (w.bits - 1))).v;
}

// The pairs of one slab and of sixteen outputs from `first` on.
inline void decode_slab(const Matrix& w, std::int64_t slab, std::int64_t first, __mmask16 lanes,
                        __m512i* pairs) {
  for (std::int64_t p = 0; p < kPairs; ++p) {
    const std::int64_t r = first_of_pair(p);
    pairs[p] = pair_of_floats(decode_row(w, slab, r, first, lanes),
                              decode_row(w, slab, r + 4, first, lanes));
  }
}

// Scale and middle - zero of sixteen outputs from `first` on; lanes past `count` are 0.
struct Grid16 {
  __m512 scale, shift;
};
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
    const __m512i shifts =
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    const __m512i words =
        _mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int>(zeros[first / 8])), 0xff00,
                               static_cast<int>(zeros[first / 8 + 1]));
    const __m512i zero = _mm512_and_si512(_mm512_srlv_epi32(words, shifts), _mm512_set1_epi32(15));
    grid.shift = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_set1_epi32(middle), zero));
    return grid;
  }
  alignas(64) float shift[16] = {};
  for (int i = 0; i < n; ++i)
    shift[i] = static_cast<float>(middle - static_cast<int>(code_at(zeros, 1, first + i, w.bits)));
  grid.shift = _mm512_load_ps(shift);
  return grid;
}

}  // namespace
}  // namespace quanthost::gptq
