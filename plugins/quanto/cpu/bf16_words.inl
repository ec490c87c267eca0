// Registers of 32 bfloat16 words (AVX512-BF16).
#pragma once

#include "cpu/quantize.inl"

namespace quanthost::quanto {
namespace {

inline __mmask32 word_mask(std::int64_t n) {
  return n >= 32 ? ~__mmask32{0} : (__mmask32{1} << n) - 1;
}

// 64 columns as a 64-byte load of codes holds them in its 16-bit words: the even ones, the odd
// ones.
struct EvenOdd {
  __m512i even, odd;
};
inline EvenOdd even_and_odd(__m512i low, __m512i high) {
  const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i first = _mm512_slli_epi32(ramp, 1);  // of pairs of columns: 0, 2, ... 30
  const __m256i words = _mm512_cvtepi32_epi16(first);
  const __m512i even = _mm512_inserti64x4(_mm512_castsi256_si512(words),
                                          _mm256_add_epi16(words, _mm256_set1_epi16(32)), 1);
  return {_mm512_permutex2var_epi16(low, even, high),
          _mm512_permutex2var_epi16(low, _mm512_add_epi16(even, _mm512_set1_epi16(1)), high)};
}

// The even and the odd words of a register as floats.
struct FloatPair {
  __m512 even, odd;
};
inline FloatPair float_pair(__m512i words) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(words, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-65536)))};
}
// Rounded to bfloat16: the even ones, then the odd ones.
inline __m512i rounded_words(const FloatPair& v) {
  const __m512bh words = _mm512_cvtne2ps_pbh(v.odd, v.even);
  return reinterpret_cast<const __m512i&>(words);
}
// vcvtneps2bf16 takes subnormal numbers for zero. Products and differences of a scale and a shift
// that are zero or this large are zero or normal.
inline bool far_from_subnormal(BFloat16 v) {
  const unsigned exponent = v.bits & 0x7f80u;
  return exponent >= (27u << 7) || (v.bits & 0x7fffu) == 0;
}
inline bool far_from_subnormal(Floats v) {
  const Ints magnitude = bits(v) & ints(0x7fffffff);  // zero is the largest less one
  return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(magnitude.v, _mm512_set1_epi32(1)),
                                 _mm512_set1_epi32((27 << 23) - 1)) == 0;
}

}  // namespace
}  // namespace quanthost::quanto
