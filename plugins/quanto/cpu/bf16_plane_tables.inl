// Tables for the codes of two planes that lie in the same bytes, as bfloat16 (AVX512-BF16).
#pragma once

#include "cpu/bf16_decode.inl"

namespace quanthost::quanto {
namespace {

// The codes in the order in which two_tables() parts and joins their values.
inline __m512 parted_code_ramp(int bit_width) {
  const __m512i lane = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  return _mm512_cvtepi32_ps(_mm512_and_si512(lane, _mm512_set1_epi32((1 << bit_width) - 1)));
}

// RN(RN(scale * code) - shift) for the codes of two planes, sixteen words each.
[[gnu::always_inline]] inline __m512i two_tables(__m512 codes, const float (&scale)[2],
                                                 const float (&shift)[2]) {
  const FloatPair scaled =
      float_pair(rounded_words({_mm512_mul_ps(codes, _mm512_set1_ps(scale[0])),
                                _mm512_mul_ps(codes, _mm512_set1_ps(scale[1]))}));
  const __m512 shifts =
      _mm512_mask_broadcastss_ps(_mm512_set1_ps(shift[0]), 0xff00, _mm_set_ss(shift[1]));
  const __m512i parted =
      rounded_words({_mm512_sub_ps(scaled.even, shifts), _mm512_sub_ps(scaled.odd, shifts)});
  return _mm512_shuffle_i64x2(parted, parted, 0xd8);
}

// The tables of consecutive streams of bytes: for each stream and group, those of two planes.
class PlaneTables {
 public:
  static std::int64_t bytes(std::int64_t streams, std::int64_t groups) {
    return round_up(streams * groups, kLanes) * (64 + static_cast<std::int64_t>(sizeof(Scales)));
  }
  // `memory`: bytes(), 64-byte aligned.
  PlaneTables(const LinearArgs& a, std::int64_t streams, void* memory)
      : words_(a.weight),
        codes_(parted_code_ramp(bit_width(a.weight.qtype))),
        tables_(static_cast<__m512i*>(memory)),
        scales_(reinterpret_cast<Scales*>(tables_ + round_up(streams * a.groups, kLanes))) {}

  // For `count` rows of scale and shift from a row on and as many in the next plane. Makes all
  // tables at once where a number is unusual; else make() is to be called for each.
  void begin(const Matrix& m, std::int64_t row, std::int64_t plane_rows, std::int64_t count) {
    made_ = m.integer_shift || m.per_tensor;
    for (std::int64_t i = 0; i < count && !made_; i += kLanes) {
      const int n = static_cast<int>(count - i < kLanes ? count - i : kLanes);
      for (int p = 0; p < 2; ++p) {
        const std::int64_t from = row + p * plane_rows + i;
        const Floats scale = load_part(static_cast<const BFloat16*>(m.scale) + from, n),
                     shift = load_part(static_cast<const BFloat16*>(m.shift) + from, n);
        made_ = made_ || !far_from_subnormal(scale) || !far_from_subnormal(shift);
        store(scales_[i / kLanes].scale[p], scale);
        store(scales_[i / kLanes].shift[p], shift);
      }
    }
    for (std::int64_t i = 0; i < count && made_; ++i)
      tables_[i] = _mm512_inserti64x4(words_(row + i),
                                      _mm512_castsi512_si256(words_(row + plane_rows + i)), 1);
  }
  bool made() const { return made_; }
  [[gnu::always_inline]] void make(std::int64_t i) const {
    const Scales& s = scales_[i / kLanes];
    const std::int64_t lane = i % kLanes;
    tables_[i] = two_tables(codes_, {s.scale[0][lane], s.scale[1][lane]},
                            {s.shift[0][lane], s.shift[1][lane]});
  }
  const __m256i* at(std::int64_t i) const { return reinterpret_cast<const __m256i*>(tables_ + i); }

 private:
  struct Scales {
    alignas(64) float scale[2][kLanes], shift[2][kLanes];
  };
  const AffineWords words_;
  const __m512 codes_;
  __m512i* tables_;
  Scales* scales_;
  bool made_ = false;
};

}  // namespace
}  // namespace quanthost::quanto
