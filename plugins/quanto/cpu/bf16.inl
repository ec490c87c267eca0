// What AVX512-BF16 adds for a few tokens: 2- and 4-bit weights that stay codes inside a group.
#pragma once

#include <quanthost/cpu/bf16_product.hpp>

#include "cpu/bf16_decode.inl"
#include "cpu/linear_dot.inl"

namespace quanthost::quanto {
namespace {

// A few tokens by 2- or 4-bit weights. A 64-byte load holds, in each 16-bit word, an even and an
// odd column of every plane; the tokens are staged the same way: 32 even columns, then 32 odd ones,
// each group padded to whole loads.
inline std::int64_t codes_padded(const LinearArgs& a) { return round_up(a.weight.columns, 64); }
inline std::int64_t codes_token_words(const LinearArgs& a) { return a.groups * codes_padded(a); }
inline std::int64_t codes_staged_bytes(const LinearArgs& a) {
  return a.tokens * codes_token_words(a) * 2 + a.tokens * a.groups * 4;
}
inline float* codes_sums(const LinearArgs& a) {
  return reinterpret_cast<float*>(static_cast<std::uint16_t*>(a.staged) +
                                  a.tokens * codes_token_words(a));
}
// Each lane: the sum of a pair of bfloat16 words.
inline Floats word_sums(__m512i words) {
  return Floats{_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))} +
         Floats{_mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-65536)))};
}
inline void codes_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t columns = a.weight.columns;
  for (std::int64_t t = begin; t < end; ++t)
    for (std::int64_t g = 0; g < a.groups; ++g) {
      const auto* x = static_cast<const BFloat16*>(a.x) + t * a.inputs + g * columns;
      auto* to =
          static_cast<std::uint16_t*>(a.staged) + t * codes_token_words(a) + g * codes_padded(a);
      Floats total = floats(0.0f);
      for (std::int64_t k = 0; k < columns; k += 64) {
        const std::int64_t left = columns - k;
        const __m512i low = _mm512_maskz_loadu_epi16(word_mask(left), x + k);
        const __m512i high = left > 32 ? _mm512_maskz_loadu_epi16(word_mask(left - 32), x + k + 32)
                                       : _mm512_setzero_si512();
        const EvenOdd words = even_and_odd(low, high);
        _mm512_storeu_si512(to + k, words.even);
        _mm512_storeu_si512(to + k + 32, words.odd);
        total = total + word_sums(low) + word_sums(high);
      }
      codes_sums(a)[t * a.groups + g] = sum(total);
    }
}

// Scales as floats, a stretch of groups at a time: the inner loop then broadcasts them from memory.
inline constexpr std::int64_t kScaleCache = 64;
inline void cache_scales(const Matrix& m, std::int64_t row, std::int64_t left, float* out) {
  with_type(m.dtype, [&](auto tag) {
    const auto* from = static_cast<const decltype(tag)*>(m.scale) + row;
    for_each_vector(left < kScaleCache ? left : kScaleCache,
                    [&](std::int64_t i, int n) { store_part(out + i, load_part(from + i, n), n); });
  });
}
// Σ shift · Σ x over the groups of an output, whose first row is `row`.
inline float shifted_sum(const LinearArgs& a, std::int64_t row, std::int64_t token) {
  const Matrix& m = a.weight;
  const float* x_sums = codes_sums(a) + token * a.groups;
  Floats total = floats(0.0f);
  with_type(m.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* scale = static_cast<const T*>(m.scale) + row;
    for_each_vector(a.groups, [&](std::int64_t g, int n) {
      const Floats shift =
          m.integer_shift
              ? load_part(scale + g, n) *
                    to_floats(load_u8_part(static_cast<const std::uint8_t*>(m.shift) + row + g, n))
              : load_part(static_cast<const T*>(m.shift) + row + g, n);
      total = fma(shift, load_part(x_sums + g, n), total);
    });
  });
  return sum(total);
}

template <QType kQ, int kTokens>
inline void codes_stream(const LinearArgs& a, std::int64_t stream, std::int64_t streams,
                         std::int64_t first_token) {
  constexpr int kPlanes = values_per_byte(kQ), kBits = bit_width(kQ);
  const Matrix& m = a.weight;
  const __m512i table = word_table(code_ramp(kBits));
  const std::uint8_t* bytes = m.data + stream * a.inputs;
  const auto* x = static_cast<const std::uint16_t*>(a.staged) + first_token * codes_token_words(a);
  const std::int64_t padded = codes_padded(a);
  const std::int64_t first_row = stream * a.groups, plane_rows = streams * a.groups;
  Floats total[kPlanes][kTokens];
  for (int p = 0; p < kPlanes; ++p)
    for (int t = 0; t < kTokens; ++t) total[p][t] = floats(0.0f);
  float scales[kPlanes][kScaleCache];
  for (std::int64_t g = 0; g < a.groups; ++g) {
    if (g % kScaleCache == 0)
      for (int p = 0; p < kPlanes; ++p)
        cache_scales(m, p * plane_rows + first_row + g, a.groups - g, scales[p]);
    __m512 even[kPlanes][kTokens], odd[kPlanes][kTokens];
    for (int p = 0; p < kPlanes; ++p)
      for (int t = 0; t < kTokens; ++t) even[p][t] = odd[p][t] = _mm512_setzero_ps();
    const auto part = [&](std::int64_t k, std::int64_t left) __attribute__((always_inline)) {
      const std::uint8_t* from = bytes + g * m.columns + k;
      // The processor's own prefetching ends with a page.
      _mm_prefetch(reinterpret_cast<const char*>(from + 2048), _MM_HINT_T0);
      const __m512i codes = left >= 64 ? _mm512_loadu_si512(from)
                                       : _mm512_maskz_loadu_epi8((__mmask64{1} << left) - 1, from);
      __m512bh xe[kTokens], xo[kTokens];
      for (int t = 0; t < kTokens; ++t) {
        const std::uint16_t* xt = x + t * codes_token_words(a) + g * padded + k;
        xe[t] = as_bf16(_mm512_loadu_si512(xt));
        xo[t] = as_bf16(_mm512_loadu_si512(xt + 32));
      }
      for (int p = 0; p < kPlanes; ++p) {
        const __m512bh we = as_bf16(_mm512_permutexvar_epi16(
            _mm512_srli_epi16(codes, static_cast<unsigned>(p * kBits)), table));
        const __m512bh wo = as_bf16(_mm512_permutexvar_epi16(
            _mm512_srli_epi16(codes, static_cast<unsigned>(8 + p * kBits)), table));
        for (int t = 0; t < kTokens; ++t) {
          even[p][t] = _mm512_dpbf16_ps(even[p][t], we, xe[t]);
          odd[p][t] = _mm512_dpbf16_ps(odd[p][t], wo, xo[t]);
        }
      }
    };
    if (m.columns == 128) {  // upstream's; the processor foresees short nested loops badly
      part(0, 64);
      part(64, 64);
    } else {
      for (std::int64_t k = 0; k < m.columns; k += 64) part(k, m.columns - k);
    }
    for (int p = 0; p < kPlanes; ++p) {
      const Floats scale = floats(scales[p][g % kScaleCache]);
      for (int t = 0; t < kTokens; ++t)
        total[p][t] = fma(scale, Floats{_mm512_add_ps(even[p][t], odd[p][t])}, total[p][t]);
    }
  }
  for (int p = 0; p < kPlanes; ++p)
    for (int t = 0; t < kTokens; ++t)
      write_output(a, first_token + t, p * streams + stream,
                   sum(total[p][t]) - shifted_sum(a, p * plane_rows + first_row, first_token + t));
}

template <QType kQ>
inline void codes_run_type(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t streams = a.outputs / values_per_byte(kQ);
  for (std::int64_t s = begin; s < end; ++s) {
    std::int64_t t = 0;
    for (; t + 2 <= a.tokens; t += 2) codes_stream<kQ, 2>(a, s, streams, t);
    if (t < a.tokens) codes_stream<kQ, 1>(a, s, streams, t);
  }
}

inline const LinearPath kCodesPath = {
    "bf16 codes",
    codes_staged_bytes,
    [](const LinearArgs& a) { return a.tokens; },
    codes_stage,
    [](const LinearArgs& a) { return a.outputs / a.weight.per_byte(); },
    [](const LinearArgs&) -> std::int64_t { return 0; },
    [](const LinearArgs& a, std::int64_t begin, std::int64_t end, void*) {
      if (a.weight.qtype == QType::int4)
        codes_run_type<QType::int4>(a, begin, end);
      else
        codes_run_type<QType::int2>(a, begin, end);
    }};

inline constexpr std::int64_t kCodesTokens = 4;
inline bool takes_codes_path(const LinearArgs& a) {
  return a.x_dtype == Dtype::bf16 && is_affine(a.weight.qtype) && streams_are_whole(a) &&
         a.tokens <= kCodesTokens;
}

}  // namespace
}  // namespace quanthost::quanto
