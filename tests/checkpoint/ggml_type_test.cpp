#include "host/checkpoint/ggml_type.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "host/base/error.hpp"
#include "host/checkpoint/float_bits.hpp"
#include "host/checkpoint/safetensors_file.hpp"
#include "tests/folders.hpp"

namespace quanthost {
namespace {

class GgmlTypeTest : public ::testing::TestWithParam<GgmlType> {};

TEST_P(GgmlTypeTest, DequantizesToTheBitsOfTheReference) {
  const auto golden = SafetensorsFile::open(test::source_folder() +
                                            "/tests/checkpoint/golden/ggml_blocks.safetensors");
  const std::string name(info_of(GetParam()).name);
  const auto blocks = golden.view(*golden.find(name + ".blocks"));
  const auto expected = golden.view(*golden.find(name + ".values"));
  std::vector<float> values(expected.size() / sizeof(float));
  dequantize(GetParam(), blocks, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    float wanted;
    std::memcpy(&wanted, expected.data() + i * sizeof wanted, sizeof wanted);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(wanted))
        << "element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GgmlTypeTest,
                         ::testing::Values(GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16,
                                           GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0,
                                           GgmlType::kQ5_1, GgmlType::kQ8_0, GgmlType::kQ4_K,
                                           GgmlType::kQ5_K, GgmlType::kQ6_K),
                         [](const auto& info) { return std::string(info_of(info.param).name); });

TEST(GgmlType, RefusesSizesThatDoNotFit) {
  std::vector<std::byte> block(18);
  std::vector<float> values(31);
  EXPECT_THROW(dequantize(GgmlType::kQ4_0, block, values), Error);
  EXPECT_EQ(find_ggml_type(9), nullptr);
}

TEST(FloatBits, RoundsToBfloat16HalfToEven) {
  const auto rounded = [](std::uint32_t bits) {
    return bf16_from_float(std::bit_cast<float>(bits));
  };
  EXPECT_EQ(rounded(0x3f808000), 0x3f80) << "a tie goes to the even neighbour below";
  EXPECT_EQ(rounded(0x3f818000), 0x3f82) << "or above";
  EXPECT_EQ(rounded(0x3f808001), 0x3f81);
  EXPECT_EQ(rounded(0x7f7fffff), 0x7f80) << "the largest float becomes infinity";
  EXPECT_EQ(rounded(0xff800000), 0xff80);
  EXPECT_EQ(rounded(0x7f800001), 0x7fc0) << "a NaN stays one";
}

TEST(FloatBits, ReadsEveryHalf) {
  EXPECT_EQ(float_from_f16(0x3c00), 1.0f);
  EXPECT_EQ(float_from_f16(0x8001), -0x1p-24f) << "the smallest subnormal";
  EXPECT_EQ(float_from_f16(0x03ff), 0x3ffp-24f);
  EXPECT_EQ(float_from_f16(0x7bff), 65504.0f);
  EXPECT_EQ(float_from_f16(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(float_from_f16(0x7e00)));
  EXPECT_TRUE(std::signbit(float_from_f16(0x8000)));
}

}  // namespace
}  // namespace quanthost
