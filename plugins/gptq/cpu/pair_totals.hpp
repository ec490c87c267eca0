// What becomes of the sums of a run and of a token. For AVX512-BF16.
#pragma once

#include "cpu/pair_codes.hpp"
#include "cpu/pair_input.hpp"

namespace quanthost::gptq {
namespace {

// What a row's dots and sum add to its total.
inline __m512 with_grid(const Grid16& grid, __m512 dots, float sum, __m512 total) {
  return _mm512_fmadd_ps(grid.scale, _mm512_fmadd_ps(grid.shift, _mm512_set1_ps(sum), dots), total);
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
