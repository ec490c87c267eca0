// The product for a few rows of inputs, which is as fast as the codes come from memory: rows of
// words are read as wide as they go. For AVX512-BF16.
#pragma once

#include "cpu/pair_totals.hpp"

namespace quanthost::gptq {
namespace {

constexpr int kFewRows = 4;

// 4-bit codes straight from memory: totals[row][16 kWide] += the run's part of the product.
template <int kRows, int kWide>
inline void four_bit_run(const PairArgs& a, std::int64_t index, std::int64_t first,
                         std::int64_t count, float* totals) {
  const Run& run = a.runs[index];
  const Matrix& w = a.product.weight;
  const __m512i table = code_table<4>();
  __m512 dots[kWide][kRows];
  for (auto& vector : dots)
    for (__m512& d : vector) d = _mm512_setzero_ps();
  for (std::int64_t slab = run.begin; slab < run.end; ++slab) {
    const std::uint32_t* x = a.pairs + slab * a.rows * kPairs;
    const std::uint32_t* words = w.qweight + slab * 4 * w.outputs + first;
    const std::int64_t rows = word_rows(w, slab);
    for (std::int64_t r = 0; r < rows; ++r, words += w.outputs) {
      __m512i pairs[kRows][4];
      for (int row = 0; row < kRows; ++row)
        for (int p = 0; p < 4; ++p)
          pairs[row][p] = _mm512_set1_epi32(static_cast<int>(x[row * kPairs + r * 4 + p]));
      for (int v = 0; v < kWide; ++v) {
        const __m512i word =
            kWide > 4 ? _mm512_loadu_si512(words + v * 16)
                      : _mm512_maskz_loadu_epi32(lanes_of(count - v * 16), words + v * 16);
        // Rows lie far apart: no hardware prefetcher follows them.
        _mm_prefetch(reinterpret_cast<const char*>(words + 4 * w.outputs + v * 16), _MM_HINT_T0);
        const __m512i codes[4] = {_mm512_permutexvar_epi16(word, table),
                                  _mm512_permutexvar_epi16(_mm512_srli_epi32(word, 4), table),
                                  _mm512_permutexvar_epi16(_mm512_srli_epi32(word, 8), table),
                                  _mm512_permutexvar_epi16(_mm512_srli_epi32(word, 12), table)};
        for (int row = 0; row < kRows; ++row)
          for (int p = 0; p < 4; ++p) dots[v][row] = dot(dots[v][row], codes[p], pairs[row][p]);
      }
    }
  }
  const float* sums = a.sums + index * kRows;
  for (int v = 0; v < kWide; ++v) {
    const Grid16 grid = grid_of(w, run.group, first + v * 16, count - v * 16);
    for (int row = 0; row < kRows; ++row) {
      float* total = totals + (row * kWide + v) * 16;
      _mm512_store_ps(total, with_grid(grid, dots[v][row], sums[row], _mm512_load_ps(total)));
    }
  }
}

template <int kRows, int kWide>
inline void four_bit_strips(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  alignas(64) float totals[kRows * kWide * 16];
  for (std::int64_t first = begin; first < end; first += kWide * 16) {
    const std::int64_t count = smaller(kWide * 16, end - first);
    if (count < kWide * 16 && kWide > 4) {
      four_bit_strips<kRows, 4>(a, first, end);
      return;
    }
    for (float& total : totals) total = 0.0f;
    for (std::int64_t run = 0; run < a.run_count; ++run)
      four_bit_run<kRows, kWide>(a, run, first, count, totals);
    write_tokens(a, 0, kRows / a.parts, first, count, totals, kWide * 16);
  }
}

constexpr int kDecodedVectors = 16;

// Codes of another width than 4 bits: a slab of sixteen outputs is decoded, then every row has its
// products with it. Totals are [a.rows][kDecodedVectors * 16].
template <int kBits>
inline void decoded_run(const PairArgs& a, std::int64_t index, std::int64_t first,
                        std::int64_t count, float* totals) {
  const Run& run = a.runs[index];
  const Matrix& w = a.product.weight;
  const int vectors = static_cast<int>(ceil_div(count, 16));
  __m512 dots[kFewRows][kDecodedVectors];
  for (auto& row : dots)
    for (__m512& d : row) d = _mm512_setzero_ps();
  for (std::int64_t slab = run.begin; slab < run.end; ++slab)
    for (int v = 0; v < vectors; ++v) {
      __m512i codes[kPairs];
      decode_slab<kBits, 1>(w, slab, first + v * 16, lanes_of(count - v * 16), codes);
      for (int i = 0; i < kBits; ++i)
        _mm_prefetch(reinterpret_cast<const char*>(
                         w.qweight + ((slab + 1) * kBits + i) * w.outputs + first + v * 16),
                     _MM_HINT_T0);
      for (std::int64_t row = 0; row < a.rows; ++row) {
        const std::uint32_t* x = a.pairs + (slab * a.rows + row) * kPairs;
        __m512 even = dots[row][v], odd = _mm512_setzero_ps();  // products wait for the last one
#pragma GCC unroll 16
        for (std::int64_t p = 0; p < kPairs; p += 2) {
          even = dot(even, codes[p], _mm512_set1_epi32(static_cast<int>(x[p])));
          odd = dot(odd, codes[p + 1], _mm512_set1_epi32(static_cast<int>(x[p + 1])));
        }
        dots[row][v] = _mm512_add_ps(even, odd);
      }
    }
  const float* sums = a.sums + index * a.rows;
  for (int v = 0; v < vectors; ++v) {
    const Grid16 grid = grid_of(w, run.group, first + v * 16, count - v * 16);
    for (std::int64_t row = 0; row < a.rows; ++row) {
      float* total = totals + (row * kDecodedVectors + v) * 16;
      _mm512_store_ps(total, with_grid(grid, dots[row][v], sums[row], _mm512_load_ps(total)));
    }
  }
}

template <int kBits>
inline void decoded_strips(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kWidth = kDecodedVectors * 16;
  alignas(64) float totals[kFewRows * kWidth];
  for (std::int64_t first = begin; first < end; first += kWidth) {
    const std::int64_t count = smaller(kWidth, end - first);
    for (float& total : totals) total = 0.0f;
    for (std::int64_t run = 0; run < a.run_count; ++run)
      decoded_run<kBits>(a, run, first, count, totals);
    write_tokens(a, 0, a.rows / a.parts, first, count, totals, kWidth);
  }
}

// The outputs [begin, end) of at most kFewRows rows.
inline void few_rows(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  switch (a.product.weight.bits) {
    case 2:
      return decoded_strips<2>(a, begin, end);
    case 3:
      return decoded_strips<3>(a, begin, end);
    case 8:
      return decoded_strips<8>(a, begin, end);
    default:
      break;
  }
  switch (a.rows) {
    case 1:
      return four_bit_strips<1, 16>(a, begin, end);
    case 2:
      return four_bit_strips<2, 8>(a, begin, end);
    case 3:
      return four_bit_strips<3, 4>(a, begin, end);
    default:
      return four_bit_strips<4, 4>(a, begin, end);
  }
}

}  // namespace
}  // namespace quanthost::gptq
