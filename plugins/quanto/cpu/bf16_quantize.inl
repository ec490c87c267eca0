// Quantization of bfloat16 to 2 and 4 bits (AVX512-BF16): the same bits as quantize.inl's, 32
// values at a time and without divisions. Rows with anything unusual go there.
#pragma once

#include "cpu/bf16_words.inl"

namespace quanthost::quanto {
namespace {

// The bits of bfloat16 numbers as integers in the order of the numbers, and back.
inline std::int16_t ordered(std::int16_t v) {
  return static_cast<std::int16_t>(v ^ ((v >> 15) & 0x7fff));
}
inline __m512i ordered(__m512i v) {
  return _mm512_xor_si512(v, _mm512_and_si512(_mm512_srai_epi16(v, 15), _mm512_set1_epi16(0x7fff)));
}
inline float ordered_value(std::int16_t v) {
  return to_float(BFloat16{static_cast<std::uint16_t>(ordered(v))});
}

template <class Fold>
inline std::int16_t folded(__m512i v, Fold&& fold) {
  alignas(64) std::int16_t lanes[32];
  _mm512_store_si512(lanes, v);
  std::int16_t best = lanes[0];
  for (const std::int16_t lane : lanes) best = fold(best, lane) ? best : lane;
  return best;
}

// What a row's codes are found with.
struct QuickRow {
  const BFloat16* values;
  float shift, one_by_scale;
};

// False, and nothing written: the row has a zero at an end of its range, whose sign would matter,
// numbers that are not finite, or a scale whose reciprocal is inexact as subnormal numbers are.
inline bool fit_quick_row(const Matrix& m, const BFloat16* values, std::int64_t row,
                          QuickRow* out) {
  __m512i low = ordered(_mm512_loadu_si512(values)), high = low;
  for (std::int64_t i = 32; i < m.columns; i += 32) {
    const __m512i v = ordered(_mm512_loadu_si512(values + i));
    low = _mm512_min_epi16(low, v);
    high = _mm512_max_epi16(high, v);
  }
  const std::int16_t least = folded(low, [](int a, int b) { return a < b; }),
                     most = folded(high, [](int a, int b) { return a > b; });
  constexpr std::int16_t kMostFinite = 0x7f7f, kZero = 0, kNegativeZero = -1;
  if (most > kMostFinite || least < -kMostFinite - 1) return false;
  for (const std::int16_t end : {least, most})
    if (end == kZero || end == kNegativeZero) return false;
  const AffineFit<BFloat16> fit(ordered_value(least), ordered_value(most), m.qtype);
  const float scale = to_float(fit.scale);
  if (!(scale >= 0x1p-100f && scale <= 0x1p100f)) return false;
  static_cast<BFloat16*>(m.scale)[row] = fit.scale;
  static_cast<BFloat16*>(m.shift)[row] = fit.shift;
  *out = {values, to_float(fit.shift), 1.0f / scale};
  return true;
}

// A quotient of two numbers of eight bits is a number of nine bits, half way between two of eight,
// or at least 2^-17 of itself away from every such number: with 20 bits of it, found by a
// reciprocal, it is rounded as the exact one.
inline __m512 quotient(__m512 v, __m512 reciprocal) {
  const __m512i bits = _mm512_castps_si512(_mm512_mul_ps(v, reciprocal));
  return _mm512_castsi512_ps(
      _mm512_and_si512(_mm512_add_epi32(bits, _mm512_set1_epi32(8)), _mm512_set1_epi32(~15)));
}

// Where the codes of 32 columns lie after the even and odd words were parted three times: the low
// bytes of two registers' lanes.
inline __m512i code_order() {
  alignas(64) std::uint8_t order[64] = {};
  for (int column = 0; column < 32; ++column) {
    const int word = column % 4 * 8 + column / 4;
    order[column] = static_cast<std::uint8_t>(word % 2 * 64 + word / 2 * 4);
  }
  return _mm512_load_si512(order);
}

// RNE(RN(RN(w + shift) / scale)) of a packed row's planes. Codes need no clamping: the largest is
// at most (1 + 2^-7) times the greatest code.
template <int kPlanes>
inline void quick_codes(const QuickRow* rows, std::int64_t columns, std::uint8_t* out) {
  constexpr unsigned kBits = 8 / kPlanes;
  const __m512 to_integer = _mm512_set1_ps(0x1.8p23f);  // its last bit is worth one
  const __m512i order = code_order();
  __m512 shift[kPlanes], reciprocal[kPlanes];
  for (int p = 0; p < kPlanes; ++p) {
    shift[p] = _mm512_set1_ps(rows[p].shift);
    reciprocal[p] = _mm512_set1_ps(rows[p].one_by_scale);
  }
  for (std::int64_t i = 0; i < columns; i += 32) {
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (int p = 0; p < kPlanes; ++p) {
      const FloatPair w = float_pair(_mm512_loadu_si512(rows[p].values + i));
      const FloatPair moved = float_pair(
          rounded_words({_mm512_add_ps(w.even, shift[p]), _mm512_add_ps(w.odd, shift[p])}));
      const FloatPair q = float_pair(
          rounded_words({quotient(moved.even, reciprocal[p]), quotient(moved.odd, reciprocal[p])}));
      const auto code = [&](__m512 v) {
        return _mm512_slli_epi32(_mm512_castps_si512(_mm512_add_ps(v, to_integer)),
                                 static_cast<unsigned>(p) * kBits);
      };
      even = _mm512_or_si512(even, code(q.even));
      odd = _mm512_or_si512(odd, code(q.odd));
    }
    const __m512i bytes = _mm512_permutex2var_epi8(even, order, odd);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm512_castsi512_si256(bytes));
  }
}

template <int kPlanes>
inline void quick_quantize(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& m = a.matrix;
  const std::int64_t planes = m.packed_rows();
  for (std::int64_t r = begin; r < end; ++r) {
    QuickRow rows[kPlanes];
    bool quick = r + (kPlanes - 1) * planes < m.rows;
    for (int p = 0; quick && p < kPlanes; ++p) {
      const std::int64_t row = r + p * planes;
      quick =
          fit_quick_row(m, static_cast<const BFloat16*>(a.base) + row * m.columns, row, &rows[p]);
    }
    if (quick)
      quick_codes<kPlanes>(rows, m.columns, m.data + r * m.columns);
    else
      quantize_affine<BFloat16>(a, r, r + 1);
  }
}

inline void bf16_quantize_rows(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& m = a.matrix;
  if (!is_affine(m.qtype) || m.dtype != Dtype::bf16 || a.given_scale || m.integer_shift ||
      !m.packed || m.columns % 32 != 0)
    return quantize_rows(a, begin, end);
  if (m.qtype == QType::int4)
    quick_quantize<2>(a, begin, end);
  else
    quick_quantize<4>(a, begin, end);
}

}  // namespace
}  // namespace quanthost::quanto
