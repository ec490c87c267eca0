// quanthost/cpu/simd.hpp for AVX-512 (F, BW, VL, DQ): 16 lanes.
#pragma once

#include <immintrin.h>

#include <quanthost/cpu/formats.hpp>

namespace quanthost::cpu {
namespace {

inline constexpr int kLanes = 16;
struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

inline __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline Floats floats(float x) { return {_mm512_set1_ps(x)}; }
inline Ints ints(int x) { return {_mm512_set1_epi32(x)}; }
inline Ints bits(Floats a) { return {_mm512_castps_si512(a.v)}; }
inline Floats floats_from_bits(Ints a) { return {_mm512_castsi512_ps(a.v)}; }
inline Floats to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Ints to_ints(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }

inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats minimum(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats maximum(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats round_even(Floats a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

inline Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints operator-(Ints a, Ints b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Ints operator&(Ints a, Ints b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Ints operator|(Ints a, Ints b) { return {_mm512_or_si512(a.v, b.v)}; }
inline Ints maximum(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline Ints shift_left(Ints a, int n) { return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(n))}; }
inline Ints shift_right(Ints a, int n) { return {_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(n))}; }
inline Mask operator<(Ints a, Ints b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
inline Mask equal(Ints a, Ints b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
inline Ints select(Mask m, Ints yes, Ints no) {
  return {_mm512_mask_blend_epi32(m.v, no.v, yes.v)};
}

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Floats load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline void store_n(float* p, Floats a, int n) { _mm512_mask_storeu_ps(p, first(n), a.v); }

// bfloat16 as the upper half of a float. A NaN stays one: torch's own payload differs from path to
// path.
inline Ints upper_half_rounded(Ints a) {
  const __m512i lsb = _mm512_and_si512(_mm512_srli_epi32(a.v, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(a.v, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(a.v, 16), _mm512_set1_epi32(0x40));
  const __mmask16 nan = _mm512_cmpgt_epi32_mask(
      _mm512_and_si512(a.v, _mm512_set1_epi32(0x7fffffff)), _mm512_set1_epi32(0x7f800000));
  return {_mm512_mask_blend_epi32(nan, rounded, quiet)};
}
inline Floats to_floats_from_upper_half(Ints a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))};
}
inline Floats load(const BFloat16* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return to_floats_from_upper_half({_mm512_cvtepu16_epi32(half)});
}
inline Floats load_n(const BFloat16* p, int n) {
  return to_floats_from_upper_half({_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p))});
}
inline void store(BFloat16* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(upper_half_rounded(bits(a)).v));
}
inline void store_n(BFloat16* p, Floats a, int n) {
  _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtepi32_epi16(upper_half_rounded(bits(a)).v));
}

inline Floats round_to_float16(Floats a) {
  return {_mm512_cvtph_ps(_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
}
inline Floats load(const Float16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Floats load_n(const Float16* p, int n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p))};
}
inline void store(Float16* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_n(Float16* p, Floats a, int n) {
  _mm256_mask_storeu_epi16(p, first(n),
                           _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline Ints load_u8(const std::uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_u8_n(const std::uint8_t* p, int n) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n), p))};
}
inline Ints load_i8(const std::int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_i8_n(const std::int8_t* p, int n) {
  return {_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p))};
}
inline void store_u8(std::uint8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline void store_u8_n(std::uint8_t* p, Ints a, int n) {
  _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(a.v));
}

inline float sum(Floats a) { return _mm512_reduce_add_ps(a.v); }
inline int largest(Ints a) { return _mm512_reduce_max_epi32(a.v); }
inline float least(Floats a) { return _mm512_reduce_min_ps(a.v); }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }

}  // namespace
}  // namespace quanthost::cpu
