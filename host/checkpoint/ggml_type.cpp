#include "host/checkpoint/ggml_type.hpp"

#include <array>
#include <cstring>

#include "host/base/error.hpp"
#include "host/checkpoint/float_bits.hpp"

namespace quanthost {
namespace {

constexpr std::uint32_t kBlock = 32;
constexpr std::uint32_t kSuperBlock = 256;

constexpr std::array<GgmlTypeInfo, 11> kTypes = {{
    {GgmlType::kF32, "F32", 1, 4},
    {GgmlType::kF16, "F16", 1, 2},
    {GgmlType::kBF16, "BF16", 1, 2},
    {GgmlType::kQ4_0, "Q4_0", kBlock, 2 + 16},
    {GgmlType::kQ4_1, "Q4_1", kBlock, 2 + 2 + 16},
    {GgmlType::kQ5_0, "Q5_0", kBlock, 2 + 4 + 16},
    {GgmlType::kQ5_1, "Q5_1", kBlock, 2 + 2 + 4 + 16},
    {GgmlType::kQ8_0, "Q8_0", kBlock, 2 + 32},
    {GgmlType::kQ4_K, "Q4_K", kSuperBlock, 2 + 2 + 12 + 128},
    {GgmlType::kQ5_K, "Q5_K", kSuperBlock, 2 + 2 + 12 + 32 + 128},
    {GgmlType::kQ6_K, "Q6_K", kSuperBlock, 128 + 64 + 16 + 2},
}};

using Bytes = const std::uint8_t*;  // of one block, whose size the caller has checked

std::uint16_t u16_at(Bytes p) { return static_cast<std::uint16_t>(p[0] | p[1] << 8); }
float f16_at(Bytes p) { return float_from_f16(u16_at(p)); }
std::uint32_t u32_at(Bytes p) {
  return p[0] | p[1] << 8 | p[2] << 16 | static_cast<std::uint32_t>(p[3]) << 24;
}
int low(std::uint8_t byte) { return byte & 15; }
int high(std::uint8_t byte) { return byte >> 4; }

void f32_block(Bytes p, float* out) { *out = std::bit_cast<float>(u32_at(p)); }
void f16_block(Bytes p, float* out) { *out = f16_at(p); }
void bf16_block(Bytes p, float* out) { *out = float_from_bf16(u16_at(p)); }

// In the 32-element blocks a byte holds elements i (low bits) and i + 16 (high bits).
void q4_0_block(Bytes p, float* out) {
  const float scale = f16_at(p);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(low(p[2 + i]) - 8);
    out[i + 16] = scale * static_cast<float>(high(p[2 + i]) - 8);
  }
}

void q4_1_block(Bytes p, float* out) {
  const float scale = f16_at(p);
  const float minimum = f16_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(low(p[4 + i])) + minimum;
    out[i + 16] = scale * static_cast<float>(high(p[4 + i])) + minimum;
  }
}

// The fifth bits of all 32 elements lie together in one word.
int fifth_bit(std::uint32_t word, int element) {
  return static_cast<int>(word >> element & 1) << 4;
}

void q5_0_block(Bytes p, float* out) {
  const float scale = f16_at(p);
  const std::uint32_t bits = u32_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>((low(p[6 + i]) | fifth_bit(bits, i)) - 16);
    out[i + 16] = scale * static_cast<float>((high(p[6 + i]) | fifth_bit(bits, i + 16)) - 16);
  }
}

void q5_1_block(Bytes p, float* out) {
  const float scale = f16_at(p);
  const float minimum = f16_at(p + 2);
  const std::uint32_t bits = u32_at(p + 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(low(p[8 + i]) | fifth_bit(bits, i)) + minimum;
    out[i + 16] = scale * static_cast<float>(high(p[8 + i]) | fifth_bit(bits, i + 16)) + minimum;
  }
}

void q8_0_block(Bytes p, float* out) {
  const float scale = f16_at(p);
  for (int i = 0; i < 32; ++i)
    out[i] = scale * static_cast<float>(static_cast<std::int8_t>(p[2 + i]));
}

struct ScaleAndMinimum {
  float scale;
  float minimum;
};

// Q4_K and Q5_K keep eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each
// whole in bytes 0 to 7, the others with their low 4 bits in bytes 8 to 11 and their high 2 bits
// above those of bytes 0 to 7.
ScaleAndMinimum k_scale(Bytes p, int group) {
  const Bytes packed = p + 4;
  int scale = 0;
  int minimum = 0;
  if (group < 4) {
    scale = packed[group] & 63;
    minimum = packed[group + 4] & 63;
  } else {
    scale = low(packed[group + 4]) | packed[group - 4] >> 6 << 4;
    minimum = high(packed[group + 4]) | packed[group] >> 6 << 4;
  }
  return {f16_at(p) * static_cast<float>(scale), f16_at(p + 2) * static_cast<float>(minimum)};
}

void q4_k_block(Bytes p, float* out) {
  const Bytes packed = p + 16;
  for (int group = 0; group < 8; ++group) {
    const auto [scale, minimum] = k_scale(p, group);
    for (int i = 0; i < 32; ++i) {
      const std::uint8_t byte = packed[group / 2 * 32 + i];
      out[group * 32 + i] =
          scale * static_cast<float>(group % 2 ? high(byte) : low(byte)) - minimum;
    }
  }
}

void q5_k_block(Bytes p, float* out) {
  const Bytes fifth_bits = p + 16;
  const Bytes packed = p + 48;
  for (int group = 0; group < 8; ++group) {
    const auto [scale, minimum] = k_scale(p, group);
    for (int i = 0; i < 32; ++i) {
      const std::uint8_t byte = packed[group / 2 * 32 + i];
      const int value = (group % 2 ? high(byte) : low(byte)) + (fifth_bits[i] >> group & 1) * 16;
      out[group * 32 + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

// Two halves of 128 elements; in each, four runs of 32 whose low 4 bits and high 2 bits share the
// same bytes.
void q6_k_block(Bytes p, float* out) {
  const float scale = f16_at(p + 208);
  for (int half = 0; half < 2; ++half) {
    const Bytes low_bits = p + half * 64;
    const Bytes high_bits = p + 128 + half * 32;
    const Bytes scales = p + 192 + half * 8;
    for (int run = 0; run < 4; ++run) {
      for (int i = 0; i < 32; ++i) {
        const std::uint8_t byte = low_bits[run % 2 * 32 + i];
        const int value =
            ((run / 2 ? high(byte) : low(byte)) | (high_bits[i] >> run * 2 & 3) << 4) - 32;
        const float group_scale =
            scale * static_cast<float>(static_cast<std::int8_t>(scales[run * 2 + i / 16]));
        out[half * 128 + run * 32 + i] = group_scale * static_cast<float>(value);
      }
    }
  }
}

using BlockFunction = void (*)(Bytes, float*);

BlockFunction block_function(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return f32_block;
    case GgmlType::kF16:
      return f16_block;
    case GgmlType::kBF16:
      return bf16_block;
    case GgmlType::kQ4_0:
      return q4_0_block;
    case GgmlType::kQ4_1:
      return q4_1_block;
    case GgmlType::kQ5_0:
      return q5_0_block;
    case GgmlType::kQ5_1:
      return q5_1_block;
    case GgmlType::kQ8_0:
      return q8_0_block;
    case GgmlType::kQ4_K:
      return q4_k_block;
    case GgmlType::kQ5_K:
      return q5_k_block;
    case GgmlType::kQ6_K:
      return q6_k_block;
  }
  fail(ErrorKind::kInternal, "no dequantization for ggml type {}",
       static_cast<std::uint32_t>(type));
}

}  // namespace

const GgmlTypeInfo* find_ggml_type(std::uint32_t value) {
  for (const GgmlTypeInfo& info : kTypes) {
    if (static_cast<std::uint32_t>(info.type) == value) return &info;
  }
  return nullptr;
}

const GgmlTypeInfo& info_of(GgmlType type) {
  if (const GgmlTypeInfo* info = find_ggml_type(static_cast<std::uint32_t>(type))) return *info;
  fail(ErrorKind::kInternal, "unknown ggml type {}", static_cast<std::uint32_t>(type));
}

void dequantize(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const GgmlTypeInfo& info = info_of(type);
  const std::size_t count = blocks.size() / info.block_bytes;
  if (count * info.block_bytes != blocks.size() || count * info.block_elements != out.size()) {
    fail(ErrorKind::kInternal, "{}: {} bytes do not hold {} elements", info.name, blocks.size(),
         out.size());
  }
  const BlockFunction dequantize_block = block_function(type);
  const auto* bytes = reinterpret_cast<Bytes>(blocks.data());
  for (std::size_t i = 0; i < count; ++i) {
    dequantize_block(bytes + i * info.block_bytes, out.data() + i * info.block_elements);
  }
}

}  // namespace quanthost
