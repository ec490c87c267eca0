// half_t (IEEE binary16) and bf16_t: two-byte storage with exact conversions, the same bits on
// every target. Rounding is to nearest, ties to even; subnormals are kept; a NaN becomes PyTorch's
// quiet NaN (0x7FC0 for bf16_t, sign | 0x7E00 for half_t).
#pragma once

#include <cstdint>
#include <cstring>

#include "quanthost/kernel/target.hpp"

namespace quanthost::gpu {

// Reinterprets the bytes of one trivially copyable value as another of the same size.
template <class To, class From>
QH_HOST_DEVICE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

// Trivial, so that arrays of them may lie in shared memory.
struct half_t {
  std::uint16_t bits;
};
struct bf16_t {
  std::uint16_t bits;
};

QH_HOST_DEVICE bool is_nan_bits(std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

QH_HOST_DEVICE float to_float(float value) { return value; }

QH_HOST_DEVICE float to_float(bf16_t value) {
  return bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// The compiled targets' own conversions of what is not a NaN; they round and keep subnormals as the
// rest of this file does.
#if defined(__CUDA_ARCH__)
#define QH_HARDWARE_HALF 1
inline __device__ float hardware_to_float(half_t value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}
inline __device__ half_t hardware_to_half(float value) {
  half_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}
#elif defined(__HIP_DEVICE_COMPILE__)
#define QH_HARDWARE_HALF 1
inline __device__ float hardware_to_float(half_t value) {
  return static_cast<float>(bit_cast<_Float16>(value.bits));
}
inline __device__ half_t hardware_to_half(float value) {
  return {bit_cast<std::uint16_t>(static_cast<_Float16>(value))};
}
#endif

QH_HOST_DEVICE float to_float(half_t value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
#if defined(QH_HARDWARE_HALF)
  return hardware_to_float(value);
#else
  if (magnitude >= 0x0400u) return bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  // A subnormal is magnitude * 2^-24, exact in float.
  const float unsigned_value = static_cast<float>(magnitude) * 5.9604644775390625e-08f;
  return bit_cast<float>(sign | bit_cast<std::uint32_t>(unsigned_value));
#endif
}

QH_HOST_DEVICE bf16_t to_bf16(float value) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(value);
  if (is_nan_bits(bits)) return {static_cast<std::uint16_t>(0x7fc0u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

QH_HOST_DEVICE half_t to_half(float value) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
#if defined(QH_HARDWARE_HALF)
  return hardware_to_half(value);
#else
  std::uint32_t half = 0;
  if (magnitude >= 0x477ff000u) {  // 65520 and up round to infinity
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal: rebias the exponent, round 13 bits away
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  } else if (magnitude > 0x33000000u) {  // subnormal: shift the significand into units of 2^-24
    const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t shift = 126u - (magnitude >> 23);
    const std::uint32_t rest = significand & ((1u << shift) - 1u);
    const std::uint32_t tie = 1u << (shift - 1u);
    half = significand >> shift;
    half += (rest > tie || (rest == tie && (half & 1u))) ? 1u : 0u;
  }
  return {static_cast<std::uint16_t>(sign | half)};
#endif
}

template <class T>
QH_HOST_DEVICE T from_float(float value);
template <>
QH_HOST_DEVICE float from_float<float>(float value) {
  return value;
}
template <>
QH_HOST_DEVICE bf16_t from_float<bf16_t>(float value) {
  return to_bf16(value);
}
template <>
QH_HOST_DEVICE half_t from_float<half_t>(float value) {
  return to_half(value);
}

}  // namespace quanthost::gpu
