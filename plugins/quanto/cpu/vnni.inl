// What VNNI adds: products of bytes that are summed in 32 bits.
#pragma once

#include "cpu/linear_wide.inl"

namespace quanthost::quanto {
namespace {

// int8 activations by int8 weights. vpdpbusd wants one side unsigned: x is staged as x + 128, and
// 128 times the sum of the weights is taken off at the end.
struct VnniInt8 : Int8Rows {
  static constexpr const char* kName = "int8 vnni";
  using Session = NoSession;
  static std::uint32_t staged(std::uint32_t four_bytes) { return four_bytes ^ 0x80808080u; }
  static std::int32_t correction(const LinearArgs& a, std::int64_t output) {
    const auto* w = reinterpret_cast<const std::int8_t*>(a.weight.data) + output * a.inputs;
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < a.inputs; ++k) sum += w[k];
    return sum * 128;
  }
  template <int kTiles>
  static void rows(const std::uint8_t* panel, std::int64_t steps, const std::uint8_t* const* x,
                   std::int32_t* sums) {
    constexpr int kRows = 8;
    for (std::int64_t first = 0; first < kWideRows; first += kRows) {
      __m512i acc[kRows][kTiles];
      for (int r = 0; r < kRows; ++r)
        for (int t = 0; t < kTiles; ++t)
          acc[r][t] = _mm512_loadu_si512(sums + (t * kWideRows + first + r) * kWideTokens);
      for (std::int64_t word = 0; word < steps * 16; ++word) {
        __m512i xv[kTiles];
        for (int t = 0; t < kTiles; ++t) xv[t] = _mm512_loadu_si512(x[t] + word * 64);
        for (int r = 0; r < kRows; ++r) {
          std::int32_t four;
          std::memcpy(&four, panel + (first + r) * kPanelStride + word * 4, 4);
          const __m512i w = _mm512_set1_epi32(four);
          for (int t = 0; t < kTiles; ++t) acc[r][t] = _mm512_dpbusd_epi32(acc[r][t], xv[t], w);
        }
      }
      for (int r = 0; r < kRows; ++r)
        for (int t = 0; t < kTiles; ++t)
          _mm512_storeu_si512(sums + (t * kWideRows + first + r) * kWideTokens, acc[r][t]);
    }
  }
  static void multiply(const std::uint8_t* panel, std::int64_t steps, const std::uint8_t* x0,
                       const std::uint8_t* x1, std::int32_t* sums) {
    const std::uint8_t* const tiles[] = {x0, x1};
    if (x1)
      rows<2>(panel, steps, tiles, sums);
    else
      rows<1>(panel, steps, tiles, sums);
  }
};

// float16 or bfloat16 activations by int8 weights for a few tokens, without widening a weight: a
// token becomes fixed point relative to its largest value, its digits of base 256 are multiplied
// apart, and the sums are exact integers. The weights are the unsigned side, as w + 128; 128 times
// the sum of a token's digits is taken off at the end. Two digits carry more than bfloat16 does;
// float16 gets three, which hold its values exactly down to 2^-11 of the largest.
inline int fixed_digits(const LinearArgs& a) { return a.x_dtype == Dtype::bf16 ? 2 : 3; }

struct FixedToken {
  double step;  // what one unit is worth; NaN for a token that holds a value that is not finite
  std::int64_t sum;               // of the units
  const std::uint8_t* digits[3];  // lowest first, each from -128 to 127
};
inline std::int64_t fixed_columns(const LinearArgs& a) { return round_up(a.inputs, 64); }
inline std::int64_t fixed_token_bytes(const LinearArgs& a) {
  return 64 + fixed_digits(a) * fixed_columns(a);
}
inline std::int64_t fixed_staged_bytes(const LinearArgs& a) {
  return a.tokens * fixed_token_bytes(a);
}

inline FixedToken fixed_token(const LinearArgs& a, std::int64_t token) {
  const auto* at = static_cast<const std::uint8_t*>(a.staged) + token * fixed_token_bytes(a);
  FixedToken out{};
  std::memcpy(&out.step, at, sizeof out.step);
  std::memcpy(&out.sum, at + sizeof out.step, sizeof out.sum);
  for (int i = 0; i < fixed_digits(a); ++i) out.digits[i] = at + 64 + i * fixed_columns(a);
  return out;
}

// Units of a value of 1: a power of two for three digits; for two the largest value becomes 127
// units and 127 256ths, so that both digits are used to their ends. 0 where there is nothing to
// count.
inline float fixed_units(std::uint32_t top_bits, int digits) {
  const int exponent = static_cast<int>(top_bits >> 23) - 127;
  if (top_bits >= 0x7f800000u || exponent < -100) return 0.0f;
  if (digits == 2) return 32639.0f / float_of(top_bits);
  return float_of(static_cast<std::uint32_t>(127 + 21 - exponent) << 23);
}

inline void fixed_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const int digits = fixed_digits(a);
  with_type(a.x_dtype, [&](auto tag) {
    using T = decltype(tag);
    for (std::int64_t token = begin; token < end; ++token) {
      const T* x = static_cast<const T*>(a.x) + token * a.inputs;
      auto* at = static_cast<std::uint8_t*>(a.staged) + token * fixed_token_bytes(a);
      const std::uint32_t top = row_absmax_bits(x, a.inputs);
      const float up = fixed_units(top, digits);
      const double step = top >= 0x7f800000u ? __builtin_nan("")
                          : up == 0.0f       ? 0.0
                                             : 1.0 / static_cast<double>(up);
      std::uint8_t* planes[3];
      for (int i = 0; i < digits; ++i) {
        planes[i] = at + 64 + i * fixed_columns(a);
        std::memset(planes[i] + a.inputs, 0, static_cast<std::size_t>(fixed_columns(a) - a.inputs));
      }
      __m512i sums = _mm512_setzero_si512();
      for_each_vector(a.inputs, [&](std::int64_t k, int n) {
        const Floats v = up == 0.0f ? floats(0.0f) : load_part(x + k, n) * floats(up);
        Ints left = to_ints(v);
        const __m512i wide = left.v;
        sums = _mm512_add_epi64(sums, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(wide)));
        sums = _mm512_add_epi64(sums, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(wide, 1)));
        for (int i = 0; i < digits; ++i) {
          store_u8_part(planes[i] + k, left, n);
          left = Ints{_mm512_srai_epi32((left + ints(128)).v, 8)};
        }
      });
      const std::int64_t sum = _mm512_reduce_add_epi64(sums);
      std::memcpy(at, &step, sizeof step);
      std::memcpy(at + sizeof step, &sum, sizeof sum);
    }
  });
}

inline std::int64_t lane_sum(__m512i v) {
  return _mm512_reduce_add_epi64(
      _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(v)),
                       _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(v, 1))));
}

template <int kTokens, int kRows, int kDigits>
inline void fixed_rows(const LinearArgs& a, std::int64_t output, std::int64_t first_token) {
  FixedToken tokens[kTokens];
  for (int t = 0; t < kTokens; ++t) tokens[t] = fixed_token(a, first_token + t);
  __m512i acc[kRows][kTokens][kDigits];
  for (int r = 0; r < kRows; ++r)
    for (int t = 0; t < kTokens; ++t)
      for (int i = 0; i < kDigits; ++i) acc[r][t][i] = _mm512_setzero_si512();
  const __m512i sign = _mm512_set1_epi8(-128);
  const std::uint8_t* weights = a.weight.data + output * a.inputs;
  const auto step = [&](std::int64_t k, __mmask64 mask) {
    __m512i w[kRows];
    for (int r = 0; r < kRows; ++r) {
      const std::uint8_t* at = weights + r * a.inputs + k;
      // The next item's rows: the processor's own prefetching ends with a page, and so often a row.
      _mm_prefetch(reinterpret_cast<const char*>(at + kRows * a.inputs), _MM_HINT_T1);
      w[r] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, at), sign);
    }
    for (int t = 0; t < kTokens; ++t)
      for (int i = 0; i < kDigits; ++i) {
        const __m512i x = _mm512_loadu_si512(tokens[t].digits[i] + k);
        for (int r = 0; r < kRows; ++r) acc[r][t][i] = _mm512_dpbusd_epi32(acc[r][t][i], w[r], x);
      }
  };
  std::int64_t k = 0;
  for (; k + 64 <= a.inputs; k += 64) step(k, ~__mmask64{0});
  if (k < a.inputs) step(k, (__mmask64{1} << (a.inputs - k)) - 1);
  for (int r = 0; r < kRows; ++r) {
    const double scale = output_scale(a, output + r);
    for (int t = 0; t < kTokens; ++t) {
      std::int64_t sum = 0;
      for (int i = kDigits - 1; i >= 0; --i) sum = sum * 256 + lane_sum(acc[r][t][i]);
      sum -= tokens[t].sum * 128;
      write_output(a, first_token + t, output + r,
                   static_cast<float>(static_cast<double>(sum) * tokens[t].step * scale));
    }
  }
}

inline constexpr std::int64_t kFixedRows = 4;  // outputs of an item

template <int kDigits>
inline void fixed_item(const LinearArgs& a, std::int64_t output, std::int64_t outputs) {
  std::int64_t t = 0;
  if (outputs == kFixedRows) {
    for (; t + 2 <= a.tokens; t += 2) fixed_rows<2, kFixedRows, kDigits>(a, output, t);
    if (t < a.tokens) fixed_rows<1, kFixedRows, kDigits>(a, output, t);
    return;
  }
  for (std::int64_t o = output; o < output + outputs; ++o)
    for (t = 0; t < a.tokens; ++t) fixed_rows<1, 1, kDigits>(a, o, t);
}

inline void fixed_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void*) {
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t output = item * kFixedRows, left = a.outputs - output;
    const std::int64_t outputs = left < kFixedRows ? left : kFixedRows;
    if (fixed_digits(a) == 2)
      fixed_item<2>(a, output, outputs);
    else
      fixed_item<3>(a, output, outputs);
  }
}

inline const LinearPath kFixedPath = {
    "int8 fixed point",
    fixed_staged_bytes,
    [](const LinearArgs& a) { return a.tokens; },
    fixed_stage,
    [](const LinearArgs& a) { return ceil_div(a.outputs, kFixedRows); },
    [](const LinearArgs&) -> std::int64_t { return 0; },
    fixed_run};

inline constexpr std::int64_t kFixedTokens = 4;
// A lane sums a sixteenth of a row's byte products: beyond this width it could overflow.
inline constexpr std::int64_t kFixedInputs = 1 << 19;
inline bool takes_fixed_path(const LinearArgs& a) {
  return a.weight.qtype == QType::int8 && a.x_dtype != Dtype::f32 && a.tokens <= kFixedTokens &&
         a.inputs <= kFixedInputs;
}

}  // namespace
}  // namespace quanthost::quanto
