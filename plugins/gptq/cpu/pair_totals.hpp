// What becomes of the sums of a run and of a token. For AVX512-BF16.
#pragma once

#include "cpu/pair_codes.hpp"
#include "cpu/pair_input.hpp"

namespace quanthost::gptq {
namespace {

// The dots of each row with `grids`, a vector of outputs each, are added to its totals; rows of
// totals lie `stride` vectors apart.
template <int kRows, int kCount>
[[gnu::always_inline]] inline void add_with_grids(const __m512 (*dots)[kRows], const Grid16* grids,
                                                  const float* sums, float* totals, int stride) {
  __m512 scales[kCount], shifts[kCount];
  __mmask16 shifted = 0;
#pragma GCC unroll 4
  for (int v = 0; v < kCount; ++v) {
    scales[v] = grids[v].scale;
    shifts[v] = grids[v].shift;
    __asm__("" : "+v"(scales[v]), "+v"(shifts[v]));  // in registers, whatever stores may change
    const __m512i bits = _mm512_castps_si512(shifts[v]);
    shifted |= _mm512_test_epi32_mask(bits, bits);
  }
  const auto each = [&](auto dots_of) __attribute__((always_inline)) {
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) {
        float* total = totals + (r * stride + v) * 16;
        _mm512_store_ps(total, _mm512_fmadd_ps(scales[v], dots_of(v, r), _mm512_load_ps(total)));
        // In the order in which dots become ready: stores that pile up behind all sums hold up the
        // products of the next run.
        __asm__("" ::: "memory");
      }
  };
  if (shifted == 0)
    each([&](int v, int r) { return dots[v][r]; });  // symmetric: zeros are the middle
  else
    each([&](int v, int r) {
      return _mm512_fmadd_ps(shifts[v], _mm512_set1_ps(sums[r]), dots[v][r]);
    });
}

// Rows of totals, `width` floats each, become the outputs [first, first + count) of tokens.
template <typename T>
inline void write_tokens_as(const PairArgs& a, std::int64_t first_token, std::int64_t tokens,
                            std::int64_t first, std::int64_t count, const float* totals,
                            std::int64_t width) {
  const ProductArgs& p = a.product;
  for (std::int64_t n = 0; n < count; n += 16) {
    const int lanes = static_cast<int>(smaller(16, count - n));
    Floats bias{_mm512_setzero_ps()};
    if (p.bias)
      with_type(p.bias_type, [&](auto tag) {
        bias = load_n(static_cast<const decltype(tag)*>(p.bias) + first + n, lanes);
      });
    T* output = static_cast<T*>(p.output) + first_token * p.weight.outputs + first + n;
    for (std::int64_t t = 0; t < tokens; ++t, output += p.weight.outputs) {
      Floats sum = load(totals + t * a.parts * width + n);
      for (std::int64_t part = 1; part < a.parts; ++part)
        sum = sum + load(totals + (t * a.parts + part) * width + n);
      if (lanes == 16)
        store(output, sum + bias);
      else
        store_n(output, sum + bias, lanes);
    }
  }
}
inline void write_tokens(const PairArgs& a, std::int64_t first_token, std::int64_t tokens,
                         std::int64_t first, std::int64_t count, const float* totals,
                         std::int64_t width) {
  with_type(a.product.type, [&](auto tag) {
    write_tokens_as<decltype(tag)>(a, first_token, tokens, first, count, totals, width);
  });
}

}  // namespace
}  // namespace quanthost::gptq
