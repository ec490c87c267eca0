// Forward products in pairs of bfloat16 (AVX512-BF16): codes minus their middle are exact in
// bfloat16, so are inputs as one row of it (float16: two), and sums are float32. Scales and zeros
// join once a group:
//   y = scale * (sum (code - middle) x + (middle - zero) sum x)
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cpu/pair_codes.hpp"
#include "cpu/pair_input.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::int64_t kBlockChunks = 10;  // share what was decoded
constexpr std::int64_t kBlockRows = std::max(kChunkRows4Bits, kBlockChunks* kChunkRows);
// Rows of words that are asked for before they are needed: into the next cache, then into the
// first, which holds few that lie this far apart.
constexpr std::int64_t kFarAhead = 24, kAhead = 6;
constexpr int kDirectRows = 4;  // up to here several vectors of outputs share the inputs

inline __m512 with_grid(__m512 total, __m512 dots, const Grid16& grid, float sum) {
  const __m512 shifted = _mm512_fmadd_ps(grid.shift, _mm512_set1_ps(sum), dots);
  return _mm512_fmadd_ps(grid.scale, shifted, total);
}

// 4-bit codes straight from memory: totals[row][16 kWide] += the run's part of the product.
template <int kRows, int kWide>
inline void direct_run(const PairArgs& a, std::int64_t index, std::int64_t first,
                       std::int64_t count, float* totals) {
  const Run& run = a.runs[index];
  const Matrix& w = a.product.weight;
  const __m512i table = middle_table();
  __m512 dots[kRows][kWide];
  for (auto& row : dots)
    for (__m512& d : row) d = _mm512_setzero_ps();
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
          for (int p = 0; p < 4; ++p) dots[row][v] = dot(dots[row][v], codes[p], pairs[row][p]);
      }
    }
  }
  const float* sums = a.sums + index * kRows;
  for (int v = 0; v < kWide; ++v) {
    const Grid16 grid = grid_of(w, run.group, first + v * 16, count - v * 16);
    for (int row = 0; row < kRows; ++row) {
      float* total = totals + (row * kWide + v) * 16;
      _mm512_store_ps(total, with_grid(_mm512_load_ps(total), dots[row][v], grid, sums[row]));
    }
  }
}

// The rows of one chunk: what of them does not depend on the run.
struct ChunkRows {
  const std::uint32_t* pairs;
  const float* sums;
  float* totals;  // [rows][16]
};

// Words of 4-bit codes of sixteen outputs, from the first input on.
struct Words {
  const std::uint32_t* first;
  std::int64_t stride;  // to the next row
  std::uint32_t* kept;  // null, or where the words go for the next chunk, row after row
};

// What sixteen outputs from `first` on have of a run, for the kRows rows of a chunk, is added to
// their totals. 4-bit codes are decoded on the way, others come decoded.
template <int kRows, bool kFourBits>
inline void chunk_run(const PairArgs& a, const ChunkRows& chunk, std::int64_t index,
                      std::int64_t first, std::int64_t count, const Words& source,
                      const __m512i* decoded) {
  const Matrix& w = a.product.weight;
  const Run& run = a.runs[index];
  const __m512i table = middle_table();
  const __mmask16 lanes = lanes_of(count);
  __m512 dots[kRows];
// Sums are in registers only where every loop over them is unrolled.
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) dots[r] = _mm512_setzero_ps();
  const std::uint32_t* x = chunk.pairs + run.begin * kRows * kPairs;
  const auto multiply = [&](__m512i codes, std::int64_t p) __attribute__((always_inline)) {
    __asm__("" : "+v"(codes));  // kept in its register: loads are what this loop has least of
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r)
      dots[r] = dot(dots[r], codes, _mm512_set1_epi32(static_cast<int>(x[r * kPairs + p])));
  };
  for (std::int64_t slab = run.begin; slab < run.end; ++slab, x += kRows * kPairs) {
    if constexpr (kFourBits) {
      const std::uint32_t* words = source.first + slab * 4 * source.stride;
      const std::int64_t rows = word_rows(w, slab);
      for (std::int64_t r = 0; r < rows; ++r, words += source.stride) {
        const __m512i word = _mm512_maskz_loadu_epi32(lanes, words);
        // Rows lie far apart: no hardware prefetcher follows them.
        _mm_prefetch(reinterpret_cast<const char*>(words + kFarAhead * source.stride), _MM_HINT_T1);
        _mm_prefetch(reinterpret_cast<const char*>(words + kAhead * source.stride), _MM_HINT_T0);
        if (source.kept) _mm512_storeu_si512(source.kept + (slab * 4 + r) * 16, word);
        multiply(_mm512_permutexvar_epi16(word, table), r * 4);
        multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(word, 4), table), r * 4 + 1);
        multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(word, 8), table), r * 4 + 2);
        multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(word, 12), table), r * 4 + 3);
      }
    } else {
      for (std::int64_t p = 0; p < kPairs; ++p) multiply(*decoded++, p);
    }
  }
  const Grid16 grid = grid_of(w, run.group, first, count);
  const float* sums = chunk.sums + index * kRows;
  float* totals = chunk.totals;
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
    _mm512_store_ps(totals + r * 16,
                    with_grid(_mm512_load_ps(totals + r * 16), dots[r], grid, sums[r]));
}

struct ChunkRun {
  void (*call)(const PairArgs&, const ChunkRows&, std::int64_t index, std::int64_t first,
               std::int64_t count, const Words&, const __m512i* decoded);
};

// Entry i is for i + 1 rows.
template <bool kFourBits, int... kIndex>
constexpr auto chunk_runs(std::integer_sequence<int, kIndex...>) {
  return std::array<ChunkRun, sizeof...(kIndex)>{ChunkRun{chunk_run<kIndex + 1, kFourBits>}...};
}

inline ChunkRun chunk_run_for(bool four_bits, std::int64_t rows) {
  static constexpr auto kDecoding =
      chunk_runs<true>(std::make_integer_sequence<int, kChunkRows4Bits>());
  static constexpr auto kDecoded = chunk_runs<false>(std::make_integer_sequence<int, kChunkRows>());
  const auto index = static_cast<std::size_t>(rows - 1);
  return four_bits ? kDecoding[index] : kDecoded[index];
}

// Rows of totals, `width` floats each, become the outputs [first, first + count) of tokens.
inline void write_tokens(const PairArgs& a, std::int64_t first_token, std::int64_t tokens,
                         std::int64_t first, std::int64_t count, const float* totals,
                         std::int64_t width) {
  const ProductArgs& p = a.product;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t n = 0; n < count; n += 16) {
      const int lanes = static_cast<int>(smaller(16, count - n));
      Floats sum = load(totals + t * a.parts * width + n);
      for (std::int64_t part = 1; part < a.parts; ++part)
        sum = sum + load(totals + (t * a.parts + part) * width + n);
      if (p.bias)
        with_type(p.bias_type, [&](auto tag) {
          sum = sum + load_n(static_cast<const decltype(tag)*>(p.bias) + first + n, lanes);
        });
      with_type(p.type, [&](auto tag) {
        store_n(static_cast<decltype(tag)*>(p.output) + (first_token + t) * p.weight.outputs +
                    first + n,
                sum, lanes);
      });
    }
}

template <int kRows, int kWide>
inline void direct_strips(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  alignas(64) float totals[kRows * kWide * 16];
  for (std::int64_t first = begin; first < end; first += kWide * 16) {
    const std::int64_t count = smaller(kWide * 16, end - first);
    if (count < kWide * 16 && kWide > 4) {
      direct_strips<kRows, 4>(a, first, end);
      return;
    }
    for (float& total : totals) total = 0.0f;
    for (std::int64_t run = 0; run < a.run_count; ++run)
      direct_run<kRows, kWide>(a, run, first, count, totals);
    write_tokens(a, 0, kRows / a.parts, first, count, totals, kWide * 16);
  }
}

// Sixteen outputs for the chunks [begin, end), which have at most kBlockRows rows.
inline void block_columns(const PairArgs& a, std::int64_t begin, std::int64_t end,
                          std::int64_t first, std::int64_t count, const Words& words) {
  const Matrix& w = a.product.weight;
  alignas(64) __m512i decoded[kLongestRun * kPairs];
  alignas(64) float totals[kBlockRows * 16];
  const std::int64_t token = chunk_of(a, begin).begin, tokens = chunk_of(a, end - 1).end - token;
  for (std::int64_t i = 0; i < tokens * a.parts * 16; ++i) totals[i] = 0.0f;
  ChunkRows chunks[kBlockChunks];
  ChunkRun kernels[kBlockChunks];
  for (std::int64_t c = begin; c < end; ++c) {
    const Chunk chunk = chunk_of(a, c);
    chunks[c - begin] = {pairs_of(a, chunk), sums_of(a, chunk),
                         totals + (chunk.begin - token) * a.parts * 16};
    kernels[c - begin] = chunk_run_for(w.bits == 4, (chunk.end - chunk.begin) * a.parts);
  }
  for (std::int64_t run = 0; run < a.run_count; ++run) {
    if (w.bits != 4)
      for (std::int64_t slab = a.runs[run].begin; slab < a.runs[run].end; ++slab)
        decode_slab(w, slab, first, lanes_of(count), decoded + (slab - a.runs[run].begin) * kPairs);
    for (std::int64_t c = 0; c < end - begin; ++c)
      kernels[c].call(a, chunks[c], run, first, count, words, decoded);
  }
  write_tokens(a, token, tokens, first, count, totals, 16);
}

// One chunk at a time: its inputs stay in the cache, and so do the words that the first one reads,
// once they lie together.
inline void strip_of_4bits(const PairArgs& a, std::int64_t first, std::int64_t last) {
  const Matrix& w = a.product.weight;
  const std::int64_t size = ceil_div(w.inputs, 8) * 16;  // words of sixteen outputs
  std::vector<std::uint32_t> kept;
  if (a.chunks > 1) kept.resize(static_cast<std::size_t>(size * (kStrip / 16)));
  for (std::int64_t c = 0; c < a.chunks; ++c)
    for (std::int64_t n = first; n < last; n += 16) {
      std::uint32_t* own = a.chunks > 1 ? kept.data() + (n - first) / 16 * size : nullptr;
      const Words words = c == 0 ? Words{w.qweight + n, w.outputs, own} : Words{own, 16, nullptr};
      block_columns(a, c, c + 1, n, smaller(16, last - n), words);
    }
}

// As many chunks at a time as share what is decoded for them.
inline void strip_of_other_bits(const PairArgs& a, std::int64_t first, std::int64_t last) {
  for (std::int64_t c = 0; c < a.chunks; c += kBlockChunks)
    for (std::int64_t n = first; n < last; n += 16)
      block_columns(a, c, smaller(c + kBlockChunks, a.chunks), n, smaller(16, last - n), {});
}

inline void run_strips(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& w = a.product.weight;
  const std::int64_t last = smaller(end * kStrip, w.outputs);
  if (w.bits == 4 && a.rows <= kDirectRows) {
    switch (a.rows) {
      case 1:
        return direct_strips<1, 16>(a, begin * kStrip, last);
      case 2:
        return direct_strips<2, 8>(a, begin * kStrip, last);
      case 3:
        return direct_strips<3, 4>(a, begin * kStrip, last);
      default:
        return direct_strips<4, 4>(a, begin * kStrip, last);
    }
  }
  for (std::int64_t first = begin * kStrip; first < last; first += kStrip)
    (w.bits == 4 ? strip_of_4bits : strip_of_other_bits)(a, first, smaller(first + kStrip, last));
}

}  // namespace

const Kernels& avx512_bf16_kernels() {
  static constexpr PairProduct product = {stage_tokens, run_strips};
  static const Kernels table = [] {
    Kernels result = avx512_kernels();
    result.isa = cpu::Isa::avx512_bf16;
    result.pairs = &product;
    result.bf16_hessian = &bf16_hessian();
    return result;
  }();
  return table;
}

}  // namespace quanthost::gptq
