// Number formats in plain integer arithmetic: bfloat16, binary16 and the three float8 types, as
// torch converts them.
//
// Everything here has internal linkage on purpose: a file that is compiled for one instruction set
// must never lend its copy of an inline function to a file compiled for another.
#pragma once

#include <cstdint>
#include <cstring>

// Kernel sources define this as QH_HOST_DEVICE before they include the header.
#ifndef QH_FORMATS_FUNCTION
#define QH_FORMATS_FUNCTION inline
#endif

namespace quanthost::cpu {

struct BFloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

// A float8 type by its parts. Values are (-1)^s 2^(e-bias) 1.m, subnormals as usual.
struct Float8Format {
  int mantissa_bits;
  int bias;
  bool unsigned_zero;           // "fnuz": 0x80 is the one NaN and there is no -0
  std::uint32_t nan;            // code of the positive NaN
  std::uint32_t first_special;  // magnitudes from here on are NaN or infinity (0x80: none are)
  float max;
};
inline constexpr Float8Format kE4m3fn{3, 7, false, 0x7f, 0x7f, 448.0f};
inline constexpr Float8Format kE4m3fnuz{3, 8, true, 0x80, 0x80, 240.0f};
inline constexpr Float8Format kE5m2{2, 15, false, 0x7f, 0x7c, 57344.0f};

namespace {

QH_FORMATS_FUNCTION std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
QH_FORMATS_FUNCTION float float_of(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

QH_FORMATS_FUNCTION float to_float(float value) { return value; }
QH_FORMATS_FUNCTION float to_float(BFloat16 value) {
  return float_of(static_cast<std::uint32_t>(value.bits) << 16);
}
QH_FORMATS_FUNCTION float to_float(Float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x0400u) return float_of(sign | ((magnitude << 13) + (112u << 23)));
  return float_of(sign | bits_of(static_cast<float>(magnitude) * 0x1p-24f));
}

template <typename T>
QH_FORMATS_FUNCTION T from_float(float value);
template <>
QH_FORMATS_FUNCTION float from_float<float>(float value) {
  return value;
}
template <>
QH_FORMATS_FUNCTION BFloat16 from_float<BFloat16>(float value) {
  const std::uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
template <>
QH_FORMATS_FUNCTION Float16 from_float<Float16>(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return {static_cast<std::uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu))};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // ≥ 65520
  if (magnitude <
      0x38800000u) {  // < 2^-14: a multiple of 2^-24, which is what the sum's last bit is worth
    const std::uint32_t sum = bits_of(float_of(magnitude) + 0.5f);
    return {static_cast<std::uint16_t>(sign | (sum - 0x3f000000u))};
  }
  const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23);
  return {static_cast<std::uint16_t>(sign | rounded >> 13)};
}

QH_FORMATS_FUNCTION std::uint8_t float8_from_float(float value, const Float8Format& f) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t sign = bits >> 24 & 0x80u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<std::uint8_t>(f.unsigned_zero ? f.nan : sign | f.nan);
  const int drop = 23 - f.mantissa_bits;
  const std::uint32_t smallest_normal = static_cast<std::uint32_t>(128 - f.bias) << 23;
  std::uint32_t code;
  if (magnitude < smallest_normal) {
    // Adding 2^k, whose last mantissa bit is worth one subnormal step, rounds to a whole number of
    // steps.
    const std::uint32_t anchor = static_cast<std::uint32_t>(127 + 24 - f.bias - f.mantissa_bits)
                                 << 23;
    code = bits_of(float_of(magnitude) + float_of(anchor)) - anchor;
  } else {
    const std::uint32_t half = (1u << (drop - 1)) - 1u + (magnitude >> drop & 1u);
    code = (magnitude + half - (static_cast<std::uint32_t>(127 - f.bias) << 23)) >> drop;
  }
  if (f.unsigned_zero && code == 0) return 0;
  return static_cast<std::uint8_t>(sign | code);
}

QH_FORMATS_FUNCTION float float_from_float8(std::uint8_t code, const Float8Format& f) {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80u) << 24;
  const std::uint32_t magnitude = code & 0x7fu;
  if (f.unsigned_zero && code == 0x80u) return float_of(0x7fc00000u);
  if (magnitude >= f.first_special)  // e5m2 has infinities: mantissa 0 stays 0
    return float_of(sign | 0x7f800000u |
                    (f.mantissa_bits == 2 ? (magnitude & 3u) << 21 : 0x400000u));
  const int drop = 23 - f.mantissa_bits;
  if (magnitude < 1u << f.mantissa_bits) {
    const float step = float_of(static_cast<std::uint32_t>(128 - f.bias - f.mantissa_bits) << 23);
    return float_of(sign | bits_of(static_cast<float>(magnitude) * step));
  }
  return float_of(sign | ((magnitude << drop) + (static_cast<std::uint32_t>(127 - f.bias) << 23)));
}

}  // namespace
}  // namespace quanthost::cpu
