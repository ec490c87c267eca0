// The 4-bit formats: code tables, decision thresholds and the rules that turn a float into a code.
//
// Two upstream rules exist and differ on purpose: bitsandbytes quantizes on the CPU through
// LibTorch (kCpu) and on a GPU in its own kernels (kCuda). Each of our paths matches its own
// original. Everything here is `static`: these functions are compiled into translation units for
// different instruction sets, and a shared copy would be illegal.
#ifndef QUANTHOST_PLUGINS_BNB4_FORMAT_HPP
#define QUANTHOST_PLUGINS_BNB4_FORMAT_HPP

#include <bit>
#include <cstdint>

namespace quanthost::bnb4 {

enum class QuantType : int32_t { kNf4 = 1, kFp4 = 2 };
enum class Rule : int32_t { kCpu = 1, kCuda = 2 };
enum class FloatType : int32_t { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

// Storage of the two 16-bit types; arithmetic on them happens in float32.
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

namespace detail {
constexpr float f(uint32_t bits) { return std::bit_cast<float>(bits); }
}  // namespace detail

// Value of each code.
inline constexpr float kNf4Codes[16] = {
    detail::f(0xbf800000), detail::f(0xbf3239b1), detail::f(0xbf066b30), detail::f(0xbeca32a0),
    detail::f(0xbe91a24d), detail::f(0xbe3d353f), detail::f(0xbdba7871), detail::f(0x00000000),
    detail::f(0x3da2faff), detail::f(0x3e24cae3), detail::f(0x3e7c04dd), detail::f(0x3ead033a),
    detail::f(0x3ee1a4b8), detail::f(0x3f1007ab), detail::f(0x3f3913b3), detail::f(0x3f800000)};
inline constexpr float kFp4Codes[16] = {
    detail::f(0x00000000), detail::f(0x3baaaaab), detail::f(0x3f2aaaab), detail::f(0x3f800000),
    detail::f(0x3eaaaaab), detail::f(0x3f000000), detail::f(0x3e2aaaab), detail::f(0x3e800000),
    detail::f(0x00000000), detail::f(0xbbaaaaab), detail::f(0xbf2aaaab), detail::f(0xbf800000),
    detail::f(0xbeaaaaab), detail::f(0xbf000000), detail::f(0xbe2aaaab), detail::f(0xbe800000)};

// Midpoints between neighbours in ascending order; a value lies in the bin of as many thresholds as
// it exceeds. The 16th entry only fills the vector register.
inline constexpr float kNf4Thresholds[16] = {
    detail::f(0xbf591cd8), detail::f(0xbf1c5270), detail::f(0xbeeb8480), detail::f(0xbeadea76),
    detail::f(0xbe703cec), detail::f(0xbe0d38bc), detail::f(0xbd3a7871), detail::f(0x3d22faff),
    detail::f(0x3df64862), detail::f(0x3e5067e0), detail::f(0x3e9582d4), detail::f(0x3ec753f9),
    detail::f(0x3f006d04), detail::f(0x3f248daf), detail::f(0x3f5c89da), detail::f(0x7f800000)};
inline constexpr float kFp4CpuThresholds[16] = {
    detail::f(0xbf555556), detail::f(0xbf155556), detail::f(0xbed55556), detail::f(0xbe955556),
    detail::f(0xbe555556), detail::f(0xbdb00000), detail::f(0xbb2aaaab), detail::f(0x00000000),
    detail::f(0x3b2aaaab), detail::f(0x3db00000), detail::f(0x3e555556), detail::f(0x3e955556),
    detail::f(0x3ed55556), detail::f(0x3f155556), detail::f(0x3f555556), detail::f(0x7f800000)};
// Code of each bin, in ascending order of value.
inline constexpr uint8_t kNf4Order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr uint8_t kFp4CpuOrder[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

// FP4 as CUDA decides it: magnitudes in ascending order, the sign in bit 3.
inline constexpr float kFp4CudaThresholds[7] = {
    detail::f(0x3b2aaab9), detail::f(0x3db00000), detail::f(0x3e555555), detail::f(0x3e955555),
    detail::f(0x3ed55556), detail::f(0x3f155550), detail::f(0x3f555555)};
inline constexpr uint8_t kFp4CudaOrder[8] = {0, 1, 6, 7, 4, 5, 2, 3};

// bitsandbytes' CPU path keeps the divisor away from zero.
inline constexpr float kSmallestAbsmax = 1e-38f;

static inline const float* code_table(QuantType type) {
  return type == QuantType::kNf4 ? kNf4Codes : kFp4Codes;
}
static inline const float* cpu_thresholds(QuantType type) {
  return type == QuantType::kNf4 ? kNf4Thresholds : kFp4CpuThresholds;
}
static inline const uint8_t* cpu_order(QuantType type) {
  return type == QuantType::kNf4 ? kNf4Order : kFp4CpuOrder;
}

// CPU rule: NaN exceeds every threshold.
static inline uint8_t encode_cpu(float value, QuantType type) {
  const float* thresholds = cpu_thresholds(type);
  int bin = 0;
  for (int i = 0; i < 15; ++i) bin += !(thresholds[i] >= value);
  return cpu_order(type)[bin];
}

// CUDA rule: NaN exceeds none.
static inline uint8_t encode_cuda(float value, QuantType type) {
  int bin = 0;
  if (type == QuantType::kNf4) {
    for (int i = 0; i < 15; ++i) bin += value > kNf4Thresholds[i];
    return static_cast<uint8_t>(bin);
  }
  const float magnitude = value < 0 ? -value : value;
  for (int i = 0; i < 7; ++i) bin += magnitude > kFp4CudaThresholds[i];
  return static_cast<uint8_t>((value < 0 ? 8 : 0) | kFp4CudaOrder[bin]);
}

// -- 16-bit conversions, round to nearest even

static inline float to_float(float value) { return value; }
static inline float to_float(Bfloat value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
static inline float to_float(Half value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * detail::f(0x33800000);  // 2^-24: exact
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

static inline Bfloat to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
static inline Half to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u)
    return {static_cast<uint16_t>(sign | 0x7c00u)};  // rounds past 65504
  if (magnitude < 0x38800000u) {                     // subnormal half
    // Adding 0.5 puts the unit of a subnormal half into the last place of a float: the sum rounds
    // to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}
static inline void from_float(float value, float* out) { *out = value; }
static inline void from_float(float value, Bfloat* out) { *out = to_bfloat(value); }
static inline void from_float(float value, Half* out) { *out = to_half(value); }

static inline int64_t float_bytes(FloatType type) { return type == FloatType::kFloat32 ? 4 : 2; }

// -- layout

// Two codes a byte, the first element in the high nibble. Blocks run over the flattened tensor,
// row-major; the last one may be short. A block always starts on a byte, since block sizes are
// even.
static inline int64_t block_count(int64_t elements, int64_t blocksize) {
  return elements / blocksize + (elements % blocksize != 0);
}
static inline int64_t packed_bytes(int64_t elements) { return elements / 2 + elements % 2; }
static inline uint8_t nibble_at(const uint8_t* packed, int64_t element) {
  const uint8_t byte = packed[element / 2];
  return element % 2 == 0 ? byte >> 4 : byte & 15;
}
static inline bool is_blocksize(int64_t blocksize) {
  return blocksize >= 32 && blocksize <= 4096 && (blocksize & (blocksize - 1)) == 0;
}

}  // namespace quanthost::bnb4

#endif
