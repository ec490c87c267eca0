// Pieces of output rows as bfloat16, 32 at a time (AVX512-BF16). Weights are looked up by their
// codes: vpermw reads five bits of an index, so codes need no masking when the table repeats.
#pragma once

#include "cpu/bf16_words.inl"
#include "cpu/decode.inl"

namespace quanthost::quanto {
namespace {

// A table of 32 words from 16 floats that are bfloat16 values already, repeated with the code's
// period (4 or 16).
inline __m512i word_table(Floats values) {
  const __m256i half = _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits(values).v, 16));
  return _mm512_inserti64x4(_mm512_castsi256_si512(half), half, 1);
}
inline Floats code_ramp(int bit_width) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return to_floats({_mm512_and_si512(lane, _mm512_set1_epi32((1 << bit_width) - 1))});
}

// What the codes of a group dequantize to, as a table for each group.
class AffineWords {
 public:
  [[gnu::always_inline]] explicit AffineWords(const Matrix& m)
      : m_(m), codes_(code_ramp(bit_width(m.qtype))) {}
  [[gnu::always_inline]] __m512i operator()(std::int64_t row) const {
    if (m_.integer_shift) return exactly(row);
    const BFloat16 scale = static_cast<const BFloat16*>(m_.scale)[m_.per_tensor ? 0 : row];
    const BFloat16 shift = static_cast<const BFloat16*>(m_.shift)[row];
    if (!far_from_subnormal(scale) || !far_from_subnormal(shift)) return exactly(row);
    const Ints product{_mm512_cvtepu16_epi32(rounded(floats(to_float(scale)) * codes_))};
    return _mm512_broadcast_i64x4(
        rounded(to_floats_from_upper_half(product) - floats(to_float(shift))));
  }

 private:
  static __m256i rounded(Floats v) {
    const __m256bh words = _mm512_cvtneps_pbh(v.v);
    return reinterpret_cast<const __m256i&>(words);
  }
  [[gnu::noinline]] __m512i exactly(std::int64_t row) const {
    const Floats scale = floats(scale_value<BFloat16>(m_, row)),
                 shift = floats(shift_value<BFloat16>(m_, row));
    return word_table(round_to<BFloat16>(
        m_.integer_shift ? scale * (codes_ - shift) : round_to<BFloat16>(scale * codes_) - shift));
  }

  const Matrix& m_;
  const Floats codes_;
};

// 8-bit weights without their scale, which bfloat16 holds exactly.
class ByteWords {
 public:
  explicit ByteWords(QType qtype) : int8_(qtype == QType::int8) {
    if (!is_float8(qtype)) return;
    const Float8Format& format = float8_format(qtype);
    unsigned_zero_ = format.unsigned_zero;
    for (int code = 0; code < 128; ++code) {
      alignas(64) float value[16];
      store(value, decode_float8(ints(code), format));
      const std::uint32_t bits = cpu::bits_of(value[0]);
      low_[code] = static_cast<std::uint8_t>(bits >> 16);
      high_[code] = static_cast<std::uint8_t>(bits >> 24);
    }
  }
  __m512i operator()(__m256i bytes) const {
    if (int8_) return int8(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    return float8(_mm512_zextsi256_si512(bytes)).first;
  }
  static __m512i int8(__m128i low, __m128i high) {
    const __m512bh words = _mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high)),
                                               _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low)));
    return reinterpret_cast<const __m512i&>(words);
  }
  struct Pair {
    __m512i first, second;
  };
  // 64 of them: each half of a word is looked up by seven bits of the code, the eighth is the sign.
  [[gnu::always_inline]] Pair float8(__m512i bytes) const {
    const __m512i codes = _mm512_permutexvar_epi64(order_, bytes);
    __m512i low = look_up(low_, codes), high = look_up(high_, codes);
    high = _mm512_ternarylogic_epi32(high, codes, signs_, 0xf8);  // high | (codes & signs)
    if (unsigned_zero_) {
      const __mmask64 nan = _mm512_cmpeq_epi8_mask(codes, signs_);
      low = _mm512_mask_mov_epi8(low, nan, _mm512_set1_epi8(-0x40));
      high = _mm512_mask_mov_epi8(high, nan, _mm512_set1_epi8(0x7f));
    }
    return {_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
  }

 private:
  static __m512i look_up(const std::uint8_t* table, __m512i codes) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), codes, _mm512_load_si512(table + 64));
  }

  // All of these stay in memory: a product beside the decoding needs the registers.
  alignas(64) std::uint8_t low_[128] = {}, high_[128] = {};          // bytes of the codes 0 ... 127
  const __m512i order_ = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);  // in which halves are joined
  const __m512i signs_ = _mm512_set1_epi8(-0x80);
  bool int8_, unsigned_zero_ = false;
};

inline const ByteWords& byte_words(QType qtype) {
  static const ByteWords kInt8(QType::int8), kE4m3fn(QType::float8_e4m3fn),
      kE4m3fnuz(QType::float8_e4m3fnuz), kE5m2(QType::float8_e5m2);
  switch (qtype) {
    case QType::float8_e4m3fn:
      return kE4m3fn;
    case QType::float8_e4m3fnuz:
      return kE4m3fnuz;
    case QType::float8_e5m2:
      return kE5m2;
    default:
      return kInt8;
  }
}

// Columns [begin, end) of an output as bfloat16: affine weights as they dequantize, 8-bit ones
// without their scale. put(i, words, n) gets up to 32 of them, from `begin` + i on; words past n
// are zero.
template <class Put>
inline void decode_words(const LinearArgs& a, std::int64_t output, std::int64_t begin,
                         std::int64_t end, Put put) {
  const auto pieces = [&](const auto& words_of) {
    std::int64_t first = 0;
    for (PieceWalk walk(a, output, begin, end); walk.more(); walk.next()) {
      const Piece& p = walk.piece();
      const auto words = words_of(p);
      std::int64_t i = 0;
      for (; i + 32 <= p.count; i += 32)
        put(first + i, words(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p.bytes + i))),
            std::int64_t{32});
      if (i < p.count) {
        const __mmask32 mask = word_mask(p.count - i);
        put(first + i,
            _mm512_maskz_mov_epi16(mask, words(_mm256_maskz_loadu_epi8(mask, p.bytes + i))),
            p.count - i);
      }
      first += p.count;
    }
  };
  if (!is_affine(a.weight.qtype))
    return pieces([&](const Piece&) { return byte_words(a.weight.qtype); });
  const AffineWords tables(a.weight);
  pieces([&](const Piece& p) {
    return [table = tables(p.row), offset = _mm_cvtsi32_si128(p.bit_offset)](__m256i codes) {
      return _mm512_permutexvar_epi16(_mm512_srl_epi16(_mm512_cvtepu8_epi16(codes), offset), table);
    };
  });
}

inline bool takes_bf16_panel(const LinearArgs& a) {
  return a.x_dtype == Dtype::bf16 && (a.weight.dtype == Dtype::bf16 || !is_affine(a.weight.qtype));
}

}  // namespace
}  // namespace quanthost::quanto
