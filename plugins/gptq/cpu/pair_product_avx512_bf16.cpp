// Forward products in pairs of bfloat16 (AVX512-BF16): codes minus their middle or their zero are
// exact in bfloat16, so are inputs as one row of it (float16: two), and sums are float32. What is
// left joins once a group:
//   y = scale * (sum (code - middle) x + (middle - zero) sum x)
#include <algorithm>
#include <array>
#include <utility>

#include "cpu/pair_few_rows.hpp"
#include "cpu/pair_totals.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::int64_t kPart = kVectors * 16;
// Outputs that share what a run needs of the inputs while it is in the first cache.
constexpr std::int64_t kWide = 2 * kStrip, kParts = kWide / kPart;
constexpr std::int64_t kBlockRows = 12 * kChunkRows;  // share what was read and decoded
constexpr std::int64_t kGridRuns = 4;                 // whose grids are made at a time
// Rows of words that are asked for before they are needed: into the next cache, then into the
// first, which holds few that lie this far apart.
constexpr std::int64_t kFarAhead = 32, kAhead = 6;

// The rows of a chunk in a run.
struct ChunkRun {
  const std::uint32_t* x;
  const float* sums;
  float* totals;  // [rows][kPart]
};
// How codes become pairs: 4-bit ones on the way.
enum class Decoding { symmetric, minus_zeros, done };

// What a part of the outputs has of a run.
struct PartCodes {
  const std::uint32_t* words;  // of 4-bit codes, from the run's first row on
  std::int64_t stride;         // to the next row
  std::int64_t rows;
  __mmask16 lanes[kVectors];
  const __m512i* decoded;  // pairs of other codes, [pairs][kVectors]
  std::int64_t pairs;
  const Grid16* grids;  // [kVectors]
  bool symmetric;       // zeros are the middle
};

// The share that a part of the outputs has of a run's product, for the kRows rows of a chunk, is
// added to their totals. 4-bit codes are decoded on the way: that takes units of the processor
// which products leave idle. Zeros that are not the middle are subtracted there, too, which costs
// less than a shift of each row's dots.
template <int kRows, Decoding kDecoding>
inline void chunk_run(const ChunkRun& chunk, const PartCodes& w) {
  static_assert(kVectors == 2);
  constexpr bool kMinusZeros = kDecoding == Decoding::minus_zeros;
  const __m512i table = kMinusZeros ? difference_table() : code_table<4>();
  __m512 dots[kVectors][kRows];
// Sums are in registers only where every loop over them is unrolled.
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) dots[0][r] = dots[1][r] = _mm512_setzero_ps();
  const std::uint32_t* x = chunk.x;
  const auto multiply = [&](__m512i left, __m512i right, std::int64_t p)
      __attribute__((always_inline)) {
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      __m512i pair = _mm512_set1_epi32(static_cast<int>(x[r * kPairs + p]));
      __asm__("" : "+v"(pair));  // one load: not one for each product
      dots[0][r] = dot(dots[0][r], left, pair);
      dots[1][r] = dot(dots[1][r], right, pair);
    }
  };
  if constexpr (kDecoding != Decoding::done) {
    __m512i zeros[kVectors];
    if constexpr (kMinusZeros)
      for (int v = 0; v < kVectors; ++v) {
        zeros[v] = zero_bytes(w.grids[v]);
        __asm__("" : "+v"(zeros[v]));  // in a register
      }
    const std::uint32_t* words = w.words;
    __m512i left = _mm512_maskz_loadu_epi32(w.lanes[0], words),
            right = _mm512_maskz_loadu_epi32(w.lanes[1], words + 16);
    for (std::int64_t row = 0; row < w.rows;) {
      const std::int64_t end = smaller(row + 4, w.rows);  // of the slab
      for (std::int64_t p = 0; row < end; p += 4) {
        const auto* ahead = reinterpret_cast<const char*>(words + kAhead * w.stride);
        _mm_prefetch(ahead, _MM_HINT_T0);
        _mm_prefetch(ahead + 64, _MM_HINT_T0);
        if (++row < w.rows) words += w.stride;
        __m512i next_left = _mm512_maskz_loadu_epi32(w.lanes[0], words),
                next_right = _mm512_maskz_loadu_epi32(w.lanes[1], words + 16);
        __asm__("" : "+v"(next_left), "+v"(next_right));  // under way during the products
        if constexpr (kMinusZeros) {
          const __m512i even[] = {low_codes_minus(left, zeros[0]),
                                  low_codes_minus(right, zeros[1])};
          const __m512i odd[] = {low_codes_minus(_mm512_srli_epi32(left, 4), zeros[0]),
                                 low_codes_minus(_mm512_srli_epi32(right, 4), zeros[1])};
          multiply(_mm512_permutexvar_epi16(even[0], table),
                   _mm512_permutexvar_epi16(even[1], table), p);
          multiply(_mm512_permutexvar_epi16(odd[0], table), _mm512_permutexvar_epi16(odd[1], table),
                   p + 1);
          multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(even[0], 8), table),
                   _mm512_permutexvar_epi16(_mm512_srli_epi32(even[1], 8), table), p + 2);
          multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(odd[0], 8), table),
                   _mm512_permutexvar_epi16(_mm512_srli_epi32(odd[1], 8), table), p + 3);
        } else {
#pragma GCC unroll 4
          for (unsigned i = 0; i < 4; ++i)
            multiply(_mm512_permutexvar_epi16(_mm512_srli_epi32(left, 4 * i), table),
                     _mm512_permutexvar_epi16(_mm512_srli_epi32(right, 4 * i), table), p + i);
        }
        left = next_left;
        right = next_right;
      }
      x += kRows * kPairs;
    }
  } else {
    const __m512i* decoded = w.decoded;
    for (std::int64_t pair = 0; pair < w.pairs; pair += kPairs, x += kRows * kPairs)
      for (std::int64_t p = 0; p < kPairs; ++p, decoded += kVectors)
        multiply(decoded[0], decoded[1], p);
  }
  __m512 scales[kVectors] = {w.grids[0].scale, w.grids[1].scale};
  __asm__("" : "+v"(scales[0]), "+v"(scales[1]));  // in registers, whatever is stored
  const bool shifted = kDecoding == Decoding::done && !w.symmetric;
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* to = chunk.totals + (r * kVectors + v) * 16;
      const __m512 total = _mm512_load_ps(to);
      _mm512_store_ps(to, shifted ? with_grid(w.grids[v], dots[v][r], chunk.sums[r], total)
                                  : _mm512_fmadd_ps(scales[v], dots[v][r], total));
      // In the order in which dots become ready: stores that pile up behind all sums hold up the
      // products of the next run.
      __asm__("" ::: "memory");
    }
}

using ChunkRunFunction = void (*)(const ChunkRun&, const PartCodes&);

using ChunkRunFunctions = std::array<ChunkRunFunction, 3>;  // by decoding

// Entry i is for i + 1 rows.
template <int... kIndex>
constexpr auto chunk_runs(std::integer_sequence<int, kIndex...>) {
  return std::array{ChunkRunFunctions{chunk_run<kIndex + 1, Decoding::symmetric>,
                                      chunk_run<kIndex + 1, Decoding::minus_zeros>,
                                      chunk_run<kIndex + 1, Decoding::done>}...};
}

inline const ChunkRunFunctions& chunk_runs_for(std::int64_t rows) {
  static constexpr auto kRuns = chunk_runs(std::make_integer_sequence<int, kChunkRows>());
  return kRuns[static_cast<std::size_t>(rows - 1)];
}
inline std::size_t decoding_of(const Matrix& w, const PartCodes& codes) {
  return static_cast<std::size_t>(w.bits != 4       ? Decoding::done
                                  : codes.symmetric ? Decoding::symmetric
                                                    : Decoding::minus_zeros);
}

inline void ask_for(const void* from, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64)
    _mm_prefetch(static_cast<const char*>(from) + i, _MM_HINT_T1);
}

// Asks for a part of the words that come kFarAhead rows behind a run's, in this strip or the next.
// Rows lie far apart: no hardware prefetcher follows them, and memory gives the neighbours of a
// line soonest when they are asked for together.
inline void ask_for_words(const Matrix& w, const Run& run, std::int64_t first, std::int64_t part) {
  const std::int64_t rows = words_for(w.inputs, w.bits), begin = run.begin * w.bits,
                     count = (run.end - run.begin) * w.bits;
  for (std::int64_t i = count * part / kParts; i < count * (part + 1) / kParts; ++i) {
    const std::int64_t row = begin + i + kFarAhead;
    const std::int64_t at = row < rows ? row * w.outputs : (row - rows) * w.outputs + kWide;
    ask_for(w.qweight + at + first, kWide * 4);
  }
}

// The grids of a strip for the runs [begin, end), and a request for those of the next strip.
inline void make_grids(const PairArgs& a, std::int64_t begin, std::int64_t end, std::int64_t first,
                       Grid16 (*grids)[kWide / 16]) {
  const Matrix& w = a.product.weight;
  const std::int64_t scale_bytes = w.scale_type == FloatType::f32 ? 4 : 2;
  for (std::int64_t index = begin; index < end; ++index) {
    const std::int64_t group = a.runs[index].group, next = first + kWide;
    grids_of(w, group, first, w.outputs - first, kWide / 16, grids[index - begin]);
    ask_for(static_cast<const char*>(w.scales) + (group * w.outputs + next) * scale_bytes,
            kWide * scale_bytes);
    ask_for(w.qzeros + group * words_for(w.outputs, w.bits) + next * w.bits / 32,
            kWide * w.bits / 8);
  }
}

// Codes that are not of 4 bits go to `decoded`.
inline PartCodes codes_of(const Matrix& w, const Run& run, std::int64_t first, const Grid16* grids,
                          __m512i* decoded) {
  const auto decode = w.bits == 2   ? decode_slab<2, kVectors>
                      : w.bits == 3 ? decode_slab<3, kVectors>
                                    : decode_slab<8, kVectors>;
  PartCodes codes = {w.qweight + run.begin * 4 * w.outputs + first,
                     w.outputs,
                     smaller(run.end * 4, words_for(w.inputs, 4)) - run.begin * 4,
                     {},
                     decoded,
                     (run.end - run.begin) * kPairs,
                     grids,
                     is_symmetric(grids[0]) && is_symmetric(grids[1])};
  for (int v = 0; v < kVectors; ++v) {
    codes.lanes[v] = lanes_of(w.outputs - first - v * 16);
    if (w.bits == 4) continue;
    for (std::int64_t slab = run.begin; slab < run.end; ++slab)
      decode(w, slab, first + v * 16, codes.lanes[v],
             decoded + (slab - run.begin) * kPairs * kVectors + v);
  }
  return codes;
}

// The rows of a chunk.
struct ChunkRows {
  const ChunkRunFunctions* add_run;
  Chunk tokens;
  std::int64_t first;  // in its block
};
inline ChunkRows rows_of(const PairArgs& a, const Chunk& chunk, std::int64_t first_token) {
  const std::int64_t rows = (chunk.end - chunk.begin) * a.parts;
  return {&chunk_runs_for(rows), chunk, (chunk.begin - first_token) * a.parts};
}

// The outputs [first, last), at most kWide of them, for the chunks [begin, end), which are a block.
inline void strip_of_block(const PairArgs& a, std::int64_t begin, std::int64_t end,
                           std::int64_t first, std::int64_t last) {
  const Matrix& w = a.product.weight;
  const std::int64_t token = chunk_of(a, begin).begin, tokens = chunk_of(a, end - 1).end - token;
  const std::int64_t parts = ceil_div(last - first, kPart);
  ChunkRows chunks[kBlockRows / kChunkRows];
  for (std::int64_t c = begin; c < end; ++c) chunks[c - begin] = rows_of(a, chunk_of(a, c), token);
  alignas(64) float totals[kParts][kBlockRows * kPart];
  for (std::int64_t part = 0; part < parts; ++part)
    std::fill_n(totals[part], tokens * a.parts * kPart, 0.0f);
  Grid16 grids[kGridRuns][kWide / 16];
  alignas(64) __m512i decoded[kLongestRun * kPairs * kVectors];
  for (std::int64_t index = 0; index < a.run_count; ++index) {
    const Run& run = a.runs[index];
    if (index % kGridRuns == 0)
      make_grids(a, index, smaller(index + kGridRuns, a.run_count), first, grids);
    for (std::int64_t part = 0; part < parts; ++part) {
      ask_for_words(w, run, first, part);
      const PartCodes codes = codes_of(w, run, first + part * kPart,
                                       grids[index % kGridRuns] + part * kVectors, decoded);
      const std::size_t decoding = decoding_of(w, codes);
      for (std::int64_t c = 0; c < end - begin; ++c) {
        const ChunkRows& rows = chunks[c];
        (*rows.add_run)[decoding](
            {pairs_of(a, run, rows.tokens), sums_of(a, index, rows.tokens.begin),
             totals[part] + rows.first * kPart},
            codes);
      }
    }
  }
  for (std::int64_t part = 0; part < parts; ++part)
    write_tokens(a, token, tokens, first + part * kPart,
                 smaller(kPart, last - first - part * kPart), totals[part], kPart);
}

inline void run_strips(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& w = a.product.weight;
  const std::int64_t last = smaller(end * kStrip, w.outputs);
  if (a.rows <= kFewRows) return few_rows(a, begin * kStrip, last);
  constexpr std::int64_t kBlock = kBlockRows / kChunkRows;
  for (std::int64_t c = 0; c < a.chunks; c += kBlock)
    for (std::int64_t first = begin * kStrip; first < last; first += kWide)
      strip_of_block(a, c, smaller(c + kBlock, a.chunks), first, smaller(first + kWide, last));
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
