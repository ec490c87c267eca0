// Forward products in pairs of bfloat16 (AVX512-BF16): codes minus their middle are exact in
// bfloat16, so are inputs as one row of it (float16: two), and sums are float32. Scales and zeros
// join once a group:
//   y = scale * (sum (code - middle) x + (middle - zero) sum x)
#include <quanthost/cpu/simd.hpp>

#include "cpu/kernels.hpp"
#include "cpu/typed.hpp"
#include "format.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

constexpr std::int64_t kPairs = kSlab / 2;      // of a slab
constexpr std::int64_t kVectors = kStrip / 16;  // of a strip
constexpr std::int64_t kBlockSlabs = 4;         // decoded at a time: 16 KiB
constexpr std::int64_t kBlockRows = 128;        // input rows whose sums are kept: 32 KiB
constexpr int kTileRows = 6;                    // times kVectors sums fill the registers
constexpr int kDirectRows = 4;                  // up to here codes are not worth storing

// Pair p of a slab holds its rows 8 (p / 4) + p % 4 and four below that: where a word of 4-bit
// codes has its low and its high half.
constexpr std::int64_t first_of_pair(std::int64_t p) { return p / 4 * 8 + p % 4; }

inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
inline __m512i pair_of_floats(__m512 low, __m512 high) {  // both exact in bfloat16
  return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(low), 16),
                         _mm512_and_si512(_mm512_castps_si512(high),
                                          _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline __mmask16 lanes_of(std::int64_t count) {
  return count >= 16  ? __mmask16{0xffff}
         : count <= 0 ? __mmask16{0}
                      : first(static_cast<int>(count));
}

// -- input ---------------------------------------------------------------------------------------

// 32 floats in order become the sixteen pairs of a slab; values are exact in bfloat16.
inline __m512i as_pairs(__m512 low, __m512 high) {
  const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  alignas(64) static constexpr std::uint16_t kOrder[32] = {
      0,  4,  1,  5,  2,  6,  3,  7,  8,  12, 9,  13, 10, 14, 11, 15,
      16, 20, 17, 21, 18, 22, 19, 23, 24, 28, 25, 29, 26, 30, 27, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), halves);
}

inline void stage_slab(const PairArgs& a, std::int64_t slab, std::int64_t row, __m512 low,
                       __m512 high) {
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);
  for (std::int64_t part = 0; part < a.parts; ++part) {
    const __m512i pairs = as_pairs(low, high);
    const std::int64_t at = slab * a.rows + row + part;
    _mm512_store_si512(a.pairs + at * kPairs, pairs);
    a.sums[at] = _mm512_reduce_add_ps(dot(_mm512_setzero_ps(), pairs, ones));
    const auto rounded = [](__m512 v) { return round_to<BFloat16>(Floats{v}).v; };
    low = _mm512_sub_ps(low, rounded(low));
    high = _mm512_sub_ps(high, rounded(high));
  }
}

inline void stage_tokens(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& w = a.product.weight;
  with_type(a.product.type, [&](auto tag) {
    using T = decltype(tag);
    for (std::int64_t t = begin; t < end; ++t) {
      const T* from = static_cast<const T*>(a.product.input) + t * w.inputs;
      for (std::int64_t slab = 0; slab * kSlab < w.inputs; ++slab) {
        const std::int64_t k = slab * kSlab, count = smaller(kSlab, w.inputs - k);
        if (!w.input_order && count == kSlab) {
          stage_slab(a, slab, t * a.parts, load(from + k).v, load(from + k + 16).v);
          continue;
        }
        alignas(64) float values[kSlab] = {};
        for (std::int64_t i = 0; i < count; ++i)
          values[i] = to_float(from[w.input_order ? w.input_order[k + i] : k + i]);
        stage_slab(a, slab, t * a.parts, load(values).v, load(values + 16).v);
      }
    }
  });
}

// -- codes ---------------------------------------------------------------------------------------

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

// pairs[p][v] of one slab and strip.
inline void decode_4bit(const Matrix& w, std::int64_t slab, std::int64_t first, std::int64_t count,
                        __m512i* pairs) {
  const __m512i table = middle_table();
  const std::int64_t rows = word_rows(w, slab);
  for (std::int64_t r = 0; r < 4; ++r)
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const __mmask16 lanes = r < rows ? lanes_of(count - v * 16) : __mmask16{0};
      const std::uint32_t* from = w.qweight + (slab * 4 + r) * w.outputs + first + v * 16;
      const __m512i words = _mm512_maskz_loadu_epi32(lanes, from);
      __m512i* to = pairs + r * 4 * kVectors + v;
      to[0] = _mm512_permutexvar_epi16(words, table);
      to[kVectors] = _mm512_permutexvar_epi16(_mm512_srli_epi32(words, 4), table);
      to[2 * kVectors] = _mm512_permutexvar_epi16(_mm512_srli_epi32(words, 8), table);
      to[3 * kVectors] = _mm512_permutexvar_epi16(_mm512_srli_epi32(words, 12), table);
    }
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

inline void decode_any(const Matrix& w, std::int64_t slab, std::int64_t first, std::int64_t count,
                       __m512i* pairs) {
  for (std::int64_t p = 0; p < kPairs; ++p)
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const __mmask16 lanes = lanes_of(count - v * 16);
      const std::int64_t r = first_of_pair(p), at = first + v * 16;
      pairs[p * kVectors + v] =
          pair_of_floats(decode_row(w, slab, r, at, lanes), decode_row(w, slab, r + 4, at, lanes));
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

// -- products ------------------------------------------------------------------------------------

// The consecutive slabs [begin, end) have one group.
struct Run {
  std::int64_t begin, end;
};

inline __m512 with_grid(__m512 total, __m512 dots, const Grid16& grid, float sum) {
  const __m512 shifted = _mm512_fmadd_ps(grid.shift, _mm512_set1_ps(sum), dots);
  return _mm512_fmadd_ps(grid.scale, shifted, total);
}

inline float run_sum(const PairArgs& a, const Run& run, std::int64_t row) {
  float sum = 0.0f;
  for (std::int64_t slab = run.begin; slab < run.end; ++slab) sum += a.sums[slab * a.rows + row];
  return sum;
}

// 4-bit codes straight from memory: totals[row][16 kWide] += the run's part of the product.
template <int kRows, int kWide>
inline void direct_run(const PairArgs& a, const Run& run, std::int64_t group, std::int64_t first,
                       std::int64_t count, float* totals) {
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
  float sums[kRows];
  for (int row = 0; row < kRows; ++row) sums[row] = run_sum(a, run, row);
  for (int v = 0; v < kWide; ++v) {
    const Grid16 grid = grid_of(w, group, first + v * 16, count - v * 16);
    for (int row = 0; row < kRows; ++row) {
      float* total = totals + (row * kWide + v) * 16;
      _mm512_store_ps(total, with_grid(_mm512_load_ps(total), dots[row][v], grid, sums[row]));
    }
  }
}

// totals[row][kStrip] += the block's part, for kRows input rows.
template <int kRows>
inline void panel_rows(const PairArgs& a, const Run& run, std::int64_t row, const __m512i* panel,
                       const Grid16* grids, float* totals) {
  __m512 dots[kRows][kVectors];
  for (auto& sums : dots)
    for (__m512& d : sums) d = _mm512_setzero_ps();
  for (std::int64_t slab = run.begin; slab < run.end; ++slab, panel += kPairs * kVectors) {
    const std::uint32_t* x = a.pairs + (slab * a.rows + row) * kPairs;
    for (std::int64_t p = 0; p < kPairs; ++p)
      for (int r = 0; r < kRows; ++r) {
        const __m512i pair = _mm512_set1_epi32(static_cast<int>(x[r * kPairs + p]));
        for (int v = 0; v < kVectors; ++v)
          dots[r][v] = dot(dots[r][v], panel[p * kVectors + v], pair);
      }
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = run_sum(a, run, row + r);
    for (int v = 0; v < kVectors; ++v) {
      float* total = totals + r * kStrip + v * 16;
      _mm512_store_ps(total, with_grid(_mm512_load_ps(total), dots[r][v], grids[v], sum));
    }
  }
}

inline void panel_block(const PairArgs& a, const Run& run, std::int64_t first_row,
                        std::int64_t rows, const __m512i* panel, const Grid16* grids,
                        float* totals) {
  std::int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    panel_rows<kTileRows>(a, run, first_row + r, panel, grids, totals + r * kStrip);
  const std::int64_t at = first_row + r;
  float* rest = totals + r * kStrip;
  switch (rows - r) {
    case 5:
      return panel_rows<5>(a, run, at, panel, grids, rest);
    case 4:
      return panel_rows<4>(a, run, at, panel, grids, rest);
    case 3:
      return panel_rows<3>(a, run, at, panel, grids, rest);
    case 2:
      return panel_rows<2>(a, run, at, panel, grids, rest);
    case 1:
      return panel_rows<1>(a, run, at, panel, grids, rest);
    default:
      return;
  }
}

// Runs of at most `longest` slabs of one group.
template <typename Body>
inline void for_each_run(const Matrix& w, std::int64_t longest, Body&& body) {
  const std::int64_t slabs = ceil_div(w.inputs, kSlab);
  for (Run run{0, 0}; run.begin < slabs; run.begin = run.end) {
    const std::int32_t group = w.g_idx[run.begin * kSlab];
    run.end = run.begin + 1;
    while (run.end < slabs && run.end - run.begin < longest && w.g_idx[run.end * kSlab] == group)
      ++run.end;
    body(run, group);
  }
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
  const Matrix& w = a.product.weight;
  alignas(64) float totals[kRows * kWide * 16];
  for (std::int64_t first = begin; first < end; first += kWide * 16) {
    const std::int64_t count = smaller(kWide * 16, end - first);
    if (count < kWide * 16 && kWide > 4) {
      direct_strips<kRows, 4>(a, first, end);
      return;
    }
    for (float& total : totals) total = 0.0f;
    for_each_run(w, INT64_MAX, [&](const Run& run, std::int64_t group) {
      direct_run<kRows, kWide>(a, run, group, first, count, totals);
    });
    write_tokens(a, 0, kRows / a.parts, first, count, totals, kWide * 16);
  }
}

inline void panel_strip(const PairArgs& a, std::int64_t first, std::int64_t count) {
  const Matrix& w = a.product.weight;
  alignas(64) __m512i panel[kBlockSlabs * kPairs * kVectors];
  alignas(64) float totals[kBlockRows * kStrip];
  const std::int64_t block_tokens = kBlockRows / a.parts;
  for (std::int64_t token = 0; token < a.product.batch; token += block_tokens) {
    const std::int64_t tokens = smaller(block_tokens, a.product.batch - token);
    for (std::int64_t i = 0; i < tokens * a.parts * kStrip; ++i) totals[i] = 0.0f;
    for_each_run(w, kBlockSlabs, [&](const Run& run, std::int64_t group) {
      Grid16 grids[kVectors];
      for (std::int64_t v = 0; v < kVectors; ++v)
        grids[v] = grid_of(w, group, first + v * 16, count - v * 16);
      for (std::int64_t slab = run.begin; slab < run.end; ++slab)
        (w.bits == 4 ? decode_4bit : decode_any)(w, slab, first, count,
                                                 panel + (slab - run.begin) * kPairs * kVectors);
      panel_block(a, run, token * a.parts, tokens * a.parts, panel, grids, totals);
    });
    write_tokens(a, token, tokens, first, count, totals, kStrip);
  }
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
    panel_strip(a, first, smaller(kStrip, last - first));
}

}  // namespace

const Kernels& avx512_bf16_kernels() {
  static constexpr PairProduct product = {stage_tokens, run_strips};
  static const Kernels table = [] {
    Kernels result = avx512_kernels();
    result.isa = cpu::Isa::avx512_bf16;
    result.pairs = &product;
    return result;
  }();
  return table;
}

}  // namespace quanthost::gptq
