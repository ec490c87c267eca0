// Quantization of bfloat16 (AVX512-BF16): the same bits as quantize.inl's, 32 values at a time and
// without divisions. Rows with anything unusual go there.
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

inline bool has_quick_reciprocal(float scale) { return scale >= 0x1p-100f && scale <= 0x1p100f; }

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
  if (!has_quick_reciprocal(scale)) return false;
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

// Where the codes of 32 columns lie after the even and odd words were parted and joined `times`
// times, and parted: the low bytes of two registers' lanes.
inline __m512i code_order(int times) {
  alignas(64) std::uint8_t order[64] = {};
  for (int column = 0; column < 32; ++column) {
    int word = column;
    for (int i = 0; i < times; ++i) word = word % 2 * 16 + word / 2;
    order[column] = static_cast<std::uint8_t>(word % 2 * 64 + word / 2 * 4);
  }
  return _mm512_load_si512(order);
}

// Added to a small number, its last bit is worth one.
inline constexpr float kToInteger = 0x1.8p23f;

// RNE(RN(RN(w + shift) / scale)) of a packed row's planes. Codes need no clamping: the largest is
// at most (1 + 2^-7) times the greatest code.
template <int kPlanes>
inline void quick_codes(const QuickRow* rows, std::int64_t columns, std::uint8_t* out) {
  constexpr unsigned kBits = 8 / kPlanes;
  const __m512 to_integer = _mm512_set1_ps(kToInteger);
  const __m512i order = code_order(2);
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

// The bits of the largest |x| of a row.
inline std::uint16_t quick_absmax(const BFloat16* values, std::int64_t columns) {
  const __m512i mask = _mm512_set1_epi16(0x7fff);
  __m512i best = _mm512_setzero_si512(), best2 = best;
  std::int64_t i = 0;
  for (; i + 64 <= columns; i += 64) {
    best = _mm512_max_epu16(best, _mm512_and_si512(_mm512_loadu_si512(values + i), mask));
    best2 = _mm512_max_epu16(best2, _mm512_and_si512(_mm512_loadu_si512(values + i + 32), mask));
  }
  if (i < columns)
    best = _mm512_max_epu16(best, _mm512_and_si512(_mm512_loadu_si512(values + i), mask));
  const std::int16_t most =
      folded(_mm512_max_epu16(best, best2), [](int a, int b) { return a > b; });
  return static_cast<std::uint16_t>(most);
}

// codes(RN(w / scale)) for 32 values of a row after another; it gets their words as
// rounded_words() leaves them, and gives bytes in the order of the values.
template <class Codes>
inline void quick_row_codes(const BFloat16* values, std::int64_t columns, float scale,
                            std::uint8_t* out, Codes&& codes) {
  const __m512 reciprocal = _mm512_set1_ps(1.0f / scale);
  for (std::int64_t i = 0; i < columns; i += 32) {
    const FloatPair w = float_pair(_mm512_loadu_si512(values + i));
    const __m512i q = rounded_words({quotient(w.even, reciprocal), quotient(w.odd, reciprocal)});
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), codes(q));
  }
}

class QuickInt8 {
 public:
  // No quotient is below -127.5, which becomes -128.
  __m256i operator()(__m512i words) const {
    const FloatPair q = float_pair(words);
    return _mm512_castsi512_si256(_mm512_permutex2var_epi8(code(q.even), order_, code(q.odd)));
  }

 private:
  __m512i code(__m512 q) const {
    return _mm512_castps_si512(_mm512_add_ps(_mm512_min_ps(q, most_), to_integer_));
  }
  const __m512 most_ = _mm512_set1_ps(largest_value(QType::int8)),
               to_integer_ = _mm512_set1_ps(kToInteger);
  const __m512i order_ = code_order(1);
};

class QuickFloat8 {
 public:
  explicit QuickFloat8(QType qtype)
      : format_(float8_format(qtype)),
        most_(_mm512_set1_epi16(static_cast<short>(cpu::bits_of(format_.max) >> 16))),
        least_normal_(_mm512_set1_epi16(static_cast<short>((128 - format_.bias) << 7))),
        bias_and_half_(_mm512_set1_epi16(
            static_cast<short>(((127 - format_.bias) << 7) - ((1 << (drop() - 1)) - 1)))) {}

  __m256i operator()(__m512i words) const {
    const __m512i magnitude =
        _mm512_min_epu16(_mm512_and_si512(words, _mm512_set1_epi16(0x7fff)), most_);
    const __mmask32 small = _mm512_cmplt_epu16_mask(magnitude, least_normal_);
    if (_mm512_mask_test_epi16_mask(small, magnitude, magnitude)) return exactly(words);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi16(magnitude, drop()), _mm512_set1_epi16(1));
    const __m512i code = _mm512_maskz_srli_epi16(
        ~small, _mm512_sub_epi16(_mm512_add_epi16(magnitude, odd), bias_and_half_), drop());
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi16(words, 8), _mm512_set1_epi16(0x80));
    return in_order(
        _mm512_or_si512(code, format_.unsigned_zero ? _mm512_maskz_mov_epi16(~small, sign) : sign));
  }

 private:
  unsigned drop() const { return static_cast<unsigned>(7 - format_.mantissa_bits); }
  // Subnormal codes among them, which are rare.
  [[gnu::noinline]] __m256i exactly(__m512i words) const {
    const Floats lo = floats(-format_.max), hi = floats(format_.max);
    const FloatPair q = float_pair(words);
    const auto code = [&](__m512 v) {
      return encode_float8(maximum(lo, minimum(hi, Floats{v})), format_).v;
    };
    return in_order(_mm512_or_si512(code(q.even), _mm512_slli_epi32(code(q.odd), 16)));
  }
  __m256i in_order(__m512i codes) const {
    return _mm512_castsi512_si256(_mm512_permutexvar_epi8(order_, codes));
  }
  static __m512i byte_order() {  // of the words that rounded_words() gives
    alignas(64) std::uint8_t order[64] = {};
    for (int column = 0; column < 32; ++column)
      order[column] = static_cast<std::uint8_t>(2 * (column % 2 * 16 + column / 2));
    return _mm512_load_si512(order);
  }

  const Float8Format& format_;
  const __m512i most_, least_normal_, bias_and_half_, order_ = byte_order();
};

template <class Codes>
inline void quick_symmetric(const QuantizeArgs& a, std::int64_t begin, std::int64_t end,
                            const Codes& codes) {
  const Matrix& m = a.matrix;
  constexpr std::uint16_t kMostFinite = 0x7f7f;
  for (std::int64_t r = begin; r < end; ++r) {
    const BFloat16* row = static_cast<const BFloat16*>(a.base) + r * m.columns;
    std::uint8_t* out = m.data + r * m.columns;
    const BFloat16 top{quick_absmax(row, m.columns)};
    const auto stored = from_float<BFloat16>(to_float(top) / largest_value(m.qtype));
    const float scale = to_float(stored);
    if (top.bits > kMostFinite || !has_quick_reciprocal(scale)) {
      quantize_symmetric<BFloat16>(a, r, r + 1);
      continue;
    }
    static_cast<BFloat16*>(m.scale)[r] = stored;
    quick_row_codes(row, m.columns, scale, out, codes);
  }
}

inline void bf16_quantize_rows(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& m = a.matrix;
  if (m.dtype != Dtype::bf16 || a.given_scale || m.columns % 32 != 0)
    return quantize_rows(a, begin, end);
  if (m.qtype == QType::int8) return quick_symmetric(a, begin, end, QuickInt8());
  if (!is_affine(m.qtype)) return quick_symmetric(a, begin, end, QuickFloat8(m.qtype));
  if (m.integer_shift || !m.packed) return quantize_rows(a, begin, end);
  if (m.qtype == QType::int4)
    quick_quantize<2>(a, begin, end);
  else
    quick_quantize<4>(a, begin, end);
}

}  // namespace
}  // namespace quanthost::quanto
