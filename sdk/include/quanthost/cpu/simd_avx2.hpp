// quanthost/cpu/simd.hpp for AVX2 with FMA and F16C: 8 lanes.
#pragma once

#include <immintrin.h>

#include <quanthost/cpu/formats.hpp>

namespace quanthost::cpu {
namespace {

inline constexpr int kLanes = 8;
struct Floats {
  __m256 v;
};
struct Ints {
  __m256i v;
};
struct Mask {
  __m256i v;
};

inline Floats floats(float x) { return {_mm256_set1_ps(x)}; }
inline Ints ints(int x) { return {_mm256_set1_epi32(x)}; }
inline Ints bits(Floats a) { return {_mm256_castps_si256(a.v)}; }
inline Floats floats_from_bits(Ints a) { return {_mm256_castsi256_ps(a.v)}; }
inline Floats to_floats(Ints a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline Ints to_ints(Floats a) { return {_mm256_cvtps_epi32(a.v)}; }

inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats minimum(Floats a, Floats b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Floats maximum(Floats a, Floats b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Floats round_even(Floats a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

inline Ints operator+(Ints a, Ints b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline Ints operator-(Ints a, Ints b) { return {_mm256_sub_epi32(a.v, b.v)}; }
inline Ints operator&(Ints a, Ints b) { return {_mm256_and_si256(a.v, b.v)}; }
inline Ints operator|(Ints a, Ints b) { return {_mm256_or_si256(a.v, b.v)}; }
inline Ints maximum(Ints a, Ints b) { return {_mm256_max_epi32(a.v, b.v)}; }
inline Ints shift_left(Ints a, int n) { return {_mm256_sll_epi32(a.v, _mm_cvtsi32_si128(n))}; }
inline Ints shift_right(Ints a, int n) { return {_mm256_srl_epi32(a.v, _mm_cvtsi32_si128(n))}; }
inline Mask operator<(Ints a, Ints b) { return {_mm256_cmpgt_epi32(b.v, a.v)}; }
inline Mask equal(Ints a, Ints b) { return {_mm256_cmpeq_epi32(a.v, b.v)}; }
inline Ints select(Mask m, Ints yes, Ints no) { return {_mm256_blendv_epi8(no.v, yes.v, m.v)}; }

// AVX2 has no byte or word masks: a partial vector goes through memory of its own.
template <typename T>
struct Partial {
  alignas(32) T values[8] = {};
  Partial() = default;
  Partial(const T* p, int n) {
    for (int i = 0; i < n; ++i) values[i] = p[i];
  }
  void write(T* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = values[i];
  }
};

inline Floats load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm256_storeu_ps(p, a.v); }

// bfloat16 as the upper half of a float. A NaN stays one: torch's own payload differs from path to
// path.
inline Ints upper_half_rounded(Ints a) {
  const __m256i lsb = _mm256_and_si256(_mm256_srli_epi32(a.v, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(a.v, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(a.v, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_cmpgt_epi32(_mm256_and_si256(a.v, _mm256_set1_epi32(0x7fffffff)),
                                         _mm256_set1_epi32(0x7f800000));
  return {_mm256_blendv_epi8(rounded, quiet, nan)};
}
inline Floats to_floats_from_upper_half(Ints a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(a.v, 16))};
}
// The low 16 bits of each lane, in order.
inline __m128i low_halves(__m256i a) {
  const __m256i packed = _mm256_packus_epi32(_mm256_and_si256(a, _mm256_set1_epi32(0xffff)), a);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
inline Floats load(const BFloat16* p) {
  return to_floats_from_upper_half(
      {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))});
}
inline void store(BFloat16* p, Floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), low_halves(upper_half_rounded(bits(a)).v));
}

inline Floats round_to_float16(Floats a) {
  return {_mm256_cvtph_ps(_mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
}
inline Floats load(const Float16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline void store(Float16* p, Floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

template <typename T>
inline Floats load_n(const T* p, int n) {
  const Partial<T> part(p, n);
  return load(part.values);
}
template <typename T>
inline void store_n(T* p, Floats a, int n) {
  Partial<T> part;
  store(part.values, a);
  part.write(p, n);
}

inline Ints load_u8(const std::uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_i8(const std::int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline void store_u8(std::uint8_t* p, Ints a) {
  const __m128i halves = low_halves(_mm256_and_si256(a.v, _mm256_set1_epi32(0xff)));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
}
inline Ints load_u8_n(const std::uint8_t* p, int n) {
  return load_u8(Partial<std::uint8_t>(p, n).values);
}
inline Ints load_i8_n(const std::int8_t* p, int n) {
  return load_i8(Partial<std::int8_t>(p, n).values);
}
inline void store_u8_n(std::uint8_t* p, Ints a, int n) {
  Partial<std::uint8_t> part;
  store_u8(part.values, a);
  part.write(p, n);
}

inline float sum(Floats a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline int largest(Ints a) {
  alignas(32) int lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), a.v);
  int best = lanes[0];
  for (int lane : lanes) best = lane > best ? lane : best;
  return best;
}
inline float least(Floats a) {
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, a.v);
  float best = lanes[0];
  for (float lane : lanes) best = lane < best ? lane : best;
  return best;
}
inline float largest(Floats a) {
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, a.v);
  float best = lanes[0];
  for (float lane : lanes) best = lane > best ? lane : best;
  return best;
}

}  // namespace
}  // namespace quanthost::cpu
