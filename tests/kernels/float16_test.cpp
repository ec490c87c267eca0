// The conversions of half_t and bf16_t against the compiler's own _Float16, and against the
// rounding rule.
#include "quanthost/kernel/float16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace quanthost::testing {
namespace {

using gpu::bit_cast;

TEST(Half, ConvertsEveryBitPatternToTheFloatItStandsFor) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const float got = gpu::to_float(gpu::half_t{pattern});
    const auto expected = static_cast<float>(bit_cast<_Float16>(pattern));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << std::hex << bits;
    } else {
      ASSERT_EQ(bit_cast<std::uint32_t>(got), bit_cast<std::uint32_t>(expected))
          << std::hex << bits;
      ASSERT_EQ(gpu::to_half(got).bits, pattern) << std::hex << bits;
    }
  }
}

void expect_half_as_compiler(float value) {
  if (std::isnan(value)) return;
  const auto expected = bit_cast<std::uint16_t>(static_cast<_Float16>(value));
  ASSERT_EQ(gpu::to_half(value).bits, expected) << std::hexfloat << value;
}

TEST(Half, RoundsToNearestEvenAroundEveryRepresentableValue) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = gpu::to_float(gpu::half_t{static_cast<std::uint16_t>(bits)});
    const float high = bits + 1 == 0x7c00
                           ? 65536.0f
                           : gpu::to_float(gpu::half_t{static_cast<std::uint16_t>(bits + 1)});
    const float tie = low + (high - low) / 2;
    for (const float value : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e9f)}) {
      expect_half_as_compiler(value);
      expect_half_as_compiler(-value);
    }
  }
}

TEST(Half, ConvertsAnyFloatAsTheCompilerDoes) {
  std::mt19937 random(1);
  for (int i = 0; i < 300000; ++i)
    expect_half_as_compiler(bit_cast<float>(static_cast<std::uint32_t>(random())));
  expect_half_as_compiler(std::numeric_limits<float>::infinity());
  expect_half_as_compiler(-std::numeric_limits<float>::infinity());
  expect_half_as_compiler(std::numeric_limits<float>::denorm_min());
  expect_half_as_compiler(std::numeric_limits<float>::max());
}

TEST(Half, TurnsANanIntoTheQuietNanWithItsSign) {
  EXPECT_EQ(gpu::to_half(bit_cast<float>(0x7f812345u)).bits, 0x7e00);
  EXPECT_EQ(gpu::to_half(bit_cast<float>(0xffc00000u)).bits, 0xfe00);
}

TEST(Bf16, KeepsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const gpu::bf16_t value{static_cast<std::uint16_t>(bits)};
    const float wide = gpu::to_float(value);
    ASSERT_EQ(bit_cast<std::uint32_t>(wide), bits << 16);
    if (std::isnan(wide)) continue;
    ASSERT_EQ(gpu::to_bf16(wide).bits, value.bits);
  }
}

TEST(Bf16, RoundsToTheNearestOfItsTwoNeighboursAndToEvenOnATie) {
  std::mt19937 random(2);
  for (int i = 0; i < 300000; ++i) {
    std::uint32_t bits = static_cast<std::uint32_t>(random());
    if (i % 3 == 0) bits = (bits & 0xffff0000u) | 0x8000u;  // a tie
    if ((bits & 0x7f800000u) == 0x7f800000u) continue;
    const std::uint32_t below = bits >> 16;
    const std::uint32_t rest = bits & 0xffffu;
    const bool up = rest > 0x8000u || (rest == 0x8000u && (below & 1u));
    ASSERT_EQ(gpu::to_bf16(bit_cast<float>(bits)).bits, below + (up ? 1 : 0)) << std::hex << bits;
  }
}

TEST(Bf16, TurnsEveryNanIntoOneQuietNan) {
  EXPECT_EQ(gpu::to_bf16(bit_cast<float>(0x7f800001u)).bits, 0x7fc0);
  EXPECT_EQ(gpu::to_bf16(bit_cast<float>(0xffffffffu)).bits, 0x7fc0);
}

}  // namespace
}  // namespace quanthost::testing
