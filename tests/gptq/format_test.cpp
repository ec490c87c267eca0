// Packing, zeros and group indices against words that AutoGPTQ and gptqmodel 7.7 wrote.
#include "format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <quanthost/cpu/formats.hpp>
#include <quanthost/plugin/error.hpp>
#include <random>

namespace quanthost::gptq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;
using Codes = std::vector<std::uint8_t>;

constexpr std::int64_t kSize = 32;

// Output column 0 holds (3k mod 2^bits), the others something else.
Codes sample_codes(int bits) {
  Codes codes(kSize * kSize);
  for (std::int64_t k = 0; k < kSize; ++k)
    for (std::int64_t n = 0; n < kSize; ++n)
      codes[static_cast<std::size_t>(k * kSize + n)] =
          static_cast<std::uint8_t>((3 * k + 5 * n) & largest_code(bits));
  return codes;
}
// One row of zeros, none of them 0.
Codes sample_zeros(int bits) {
  Codes zeros(kSize);
  for (std::int64_t n = 0; n < kSize; ++n)
    zeros[static_cast<std::size_t>(n)] =
        static_cast<std::uint8_t>((3 * n + 1) % largest_code(bits) + 1);
  return zeros;
}
Codes random_codes(std::int64_t count, int bits, unsigned seed) {
  std::mt19937 random(seed);
  Codes codes(static_cast<std::size_t>(count));
  for (auto& code : codes)
    code = static_cast<std::uint8_t>(random() & static_cast<unsigned>(largest_code(bits)));
  return codes;
}
Words column_zero(const Words& words) {
  Words column;
  for (std::size_t w = 0; w < words.size(); w += kSize) column.push_back(words[w]);
  return column;
}
Words packed_sample(int bits) {
  return column_zero(pack_weight(sample_codes(bits), kSize, kSize, bits));
}
Words v1_of(Words words, int bits, std::int64_t outputs = kSize) {
  convert_zeros(words, 1, outputs, bits, ZeroFormat::v2, ZeroFormat::v1);
  return words;
}

TEST(GptqFormat, PacksWeightsInUpstreamsWords) {
  EXPECT_THAT(packed_sample(2), ElementsAre(0x6c6c6c6c, 0x6c6c6c6c));
  EXPECT_THAT(packed_sample(3), ElementsAre(0x98abc398, 0xc398abc3, 0xabc398ab));
  EXPECT_THAT(packed_sample(4), ElementsAre(0x52fc9630, 0xda741eb8, 0x52fc9630, 0xda741eb8));
  EXPECT_THAT(packed_sample(8), ElementsAre(0x09060300, 0x15120f0c, 0x211e1b18, 0x2d2a2724,
                                            0x39363330, 0x45423f3c, 0x514e4b48, 0x5d5a5754));
}

TEST(GptqFormat, PacksZerosInUpstreamsWordsOfBothVersions) {
  const auto v2 = [](int bits) { return pack_zeros(sample_zeros(bits), 1, kSize, bits); };
  EXPECT_THAT(v2(2), ElementsAre(0xaaaaaaaa, 0xaaaaaaaa));
  EXPECT_THAT(v2(3), ElementsAre(0x0d59f86a, 0x67e1ab3f, 0x86acfc35));
  EXPECT_THAT(v2(4), ElementsAre(0x852eb852, 0x2eb852eb, 0xb852eb85, 0x52eb852e));
  EXPECT_EQ(v2(8).front(), 0x0b080502u);
  EXPECT_THAT(v1_of(v2(2), 2), ElementsAre(0x55555555, 0x55555555));
  EXPECT_THAT(v1_of(v2(3), 3), ElementsAre(0xc4356621, 0xd59886ac, 0x621ab310));
  EXPECT_THAT(v1_of(v2(4), 4), ElementsAre(0x741da741, 0x1da741da, 0xa741da74, 0x41da741d));
  EXPECT_EQ(v1_of(v2(8), 8).front(), 0x0a070401u);
}

TEST(GptqFormat, CutsThreeBitCodesAcrossWords) {
  Codes codes(kSize);
  codes[10] = 7;  // two bits at the top of word 0, one at the bottom of word 1
  codes[21] = 7;  // one bit at the top of word 1, two at the bottom of word 2
  Words words(3);
  pack(codes, kSize, 1, 3, WordLayout::continuous, words.data(), 1);
  EXPECT_THAT(words, ElementsAre(0xc0000000, 0x80000001, 0x00000003));
  EXPECT_EQ(code_at(words.data(), 1, 10, 3), 7u);
  EXPECT_EQ(code_at(words.data(), 1, 21, 3), 7u);
  EXPECT_EQ(code_at(words.data(), 1, 20, 3), 0u);
}

TEST(GptqFormat, SplitsPlanarCodesIntoPlanesWithTheLowBitsFirst) {
  Codes codes(kSize);
  codes[17] = 5;  // low plane of 2 bits: word 1, slot 1; high plane of 1 bit: word 2, bit 17
  Words words(3);
  pack(codes, kSize, 1, 3, WordLayout::planar, words.data(), 1);
  EXPECT_THAT(words, ElementsAre(0u, 1u << 2, 1u << 17));
  codes[17] = 0x55;  // 7 bits: 4 + 2 + 1
  words.assign(7, 0);
  pack(codes, kSize, 1, 7, WordLayout::planar, words.data(), 1);
  EXPECT_THAT(words, ElementsAre(0u, 0u, 5u << 4, 0u, 0u, 1u << 2, 1u << 17));
}

TEST(GptqFormat, IsTheSameInBothLayoutsWhereTheWidthDividesAWord) {
  for (int bits : {2, 4, 8}) {
    const Codes codes = random_codes(48 * 5, bits, 1);
    EXPECT_EQ(pack_weight(codes, 48, 5, bits, WordLayout::planar), pack_weight(codes, 48, 5, bits));
  }
}

TEST(GptqFormat, ReadsBackWhatItPackedForEveryWidthLayoutAndRaggedSize) {
  for (WordLayout layout : {WordLayout::continuous, WordLayout::planar})
    for (int bits = 2; bits <= 8; ++bits) {
      if (layout == WordLayout::continuous && (bits == 5 || bits == 6 || bits == 7)) continue;
      for (std::int64_t inputs : {1, 31, 32, 33, 100})
        for (std::int64_t outputs : {1, 7, 64}) {
          SCOPED_TRACE(std::to_string(bits) + " bits, " + std::to_string(inputs) + " x " +
                       std::to_string(outputs));
          const Codes codes = random_codes(inputs * outputs, bits, 2);
          const Words weight = pack_weight(codes, inputs, outputs, bits, layout);
          EXPECT_EQ(unpack_weight(weight, inputs, outputs, bits, layout), codes);
          const Words zeros = pack_zeros(codes, inputs, outputs, bits, layout);
          EXPECT_EQ(unpack_zeros(zeros, inputs, outputs, bits, layout), codes);
        }
    }
}

TEST(GptqFormat, ReadsSingleCodesAsWholeMatrices) {
  for (int bits : {2, 3, 4, 8}) {
    const Codes codes = random_codes(100 * 3, bits, 3);
    const Words words = pack_weight(codes, 100, 3, bits);
    for (std::int64_t k = 0; k < 100; ++k)
      ASSERT_EQ(code_at(words.data() + 1, 3, k, bits), codes[static_cast<std::size_t>(3 * k + 1)]);
  }
}

TEST(GptqFormat, BorrowsAcrossZerosOnTheWayToV1AndRestoresThemOnTheWayBack) {
  Codes zeros(8, 5);
  zeros[2] = 0;
  Words words = pack_zeros(zeros, 1, 8, 4);
  const Words v2 = words;
  convert_zeros(words, 1, 8, 4, ZeroFormat::v2, ZeroFormat::v1);
  EXPECT_THAT(words, ElementsAre(0x44443f44)) << "the field above the zero lent it 16";
  convert_zeros(words, 1, 8, 4, ZeroFormat::v1, ZeroFormat::v2);
  EXPECT_EQ(words, v2);
}

TEST(GptqFormat, RestoresEveryRowOfZerosFromV1) {
  for (int bits : {2, 3, 4, 8}) {
    const Words v2 = pack_zeros(random_codes(9 * 40, bits, 4), 9, 40, bits);
    Words words = v2;
    convert_zeros(words, 9, 40, bits, ZeroFormat::v2, ZeroFormat::v1);
    EXPECT_NE(words, v2);
    convert_zeros(words, 9, 40, bits, ZeroFormat::v1, ZeroFormat::v2);
    EXPECT_EQ(words, v2) << bits << " bits";
  }
}

TEST(GptqFormat, WrapsThreeBitZerosOneByOne) {
  Codes zeros(kSize, 4);
  zeros[1] = 0;
  const Words v1 = v1_of(pack_zeros(zeros, 1, kSize, 3), 3);
  const Codes stored = unpack_zeros(v1, 1, kSize, 3);
  EXPECT_EQ(stored[0], 3);
  EXPECT_EQ(stored[1], 7);
  EXPECT_EQ(stored[2], 3);
}

TEST(GptqFormat, KnowsSymmetricZerosByTheirWords) {
  const std::pair<int, std::pair<std::uint32_t, std::uint32_t>> kConstants[] = {
      {2, {0x55555555, 0xaaaaaaaa}}, {4, {0x77777777, 0x88888888}}, {8, {0x7f7f7f7f, 0x80808080}}};
  for (const auto& [bits, words] : kConstants) {
    const std::int64_t count = words_for(kSize, bits);
    const Words v1(static_cast<std::size_t>(count), words.first);
    const Words v2(static_cast<std::size_t>(count), words.second);
    EXPECT_EQ(symmetric_zero_format(v1, 1, kSize, bits), ZeroFormat::v1);
    EXPECT_EQ(symmetric_zero_format(v2, 1, kSize, bits), ZeroFormat::v2);
    EXPECT_EQ(v1_of(v2, bits), v1);
  }
  const Words three = pack_zeros(Codes(kSize, 4), 1, kSize, 3);
  EXPECT_EQ(symmetric_zero_format(three, 1, kSize, 3), ZeroFormat::v2);
  EXPECT_EQ(symmetric_zero_format(v1_of(three, 3), 1, kSize, 3), ZeroFormat::v1);
}

TEST(GptqFormat, TrustsSymmetricZerosOverTheLabelAndTheLabelOtherwise) {
  const Words v1(4, 0x77777777);
  const DetectedZeros wrong = detect_zero_format(ZeroFormat::v2, true, v1, 1, kSize, 4);
  EXPECT_EQ(wrong.format, ZeroFormat::v1);
  EXPECT_TRUE(wrong.label_is_wrong);
  EXPECT_FALSE(detect_zero_format(ZeroFormat::v1, true, v1, 1, kSize, 4).label_is_wrong);
  EXPECT_EQ(detect_zero_format(ZeroFormat::v2, false, v1, 1, kSize, 4).format, ZeroFormat::v2)
      << "asymmetric zeros may happen to be 7";
  const Words mixed = pack_zeros(sample_zeros(4), 1, kSize, 4);
  EXPECT_EQ(detect_zero_format(ZeroFormat::v1, true, mixed, 1, kSize, 4).format, ZeroFormat::v1);
}

TEST(GptqFormat, NumbersGroupsWithAShortLastOne) {
  EXPECT_EQ(groups_of(576, 128), 5);
  EXPECT_EQ(groups_of(576, -1), 1);
  EXPECT_THAT(consecutive_groups(7, 3), ElementsAre(0, 0, 0, 1, 1, 1, 2));
  EXPECT_THAT(consecutive_groups(3, -1), ElementsAre(0, 0, 0));
}

TEST(GptqFormat, OrdersRowsByGroupAndKeepsTheirOrderInside) {
  const std::vector<std::int32_t> g_idx = {1, 0, 2, 0, 1};
  EXPECT_THAT(rows_by_group(g_idx, 3), ElementsAre(1, 3, 0, 4, 2));
}

TEST(GptqFormat, DequantizesWithOneRounding) {
  const Codes codes = {15, 0, 3, 9}, zeros = {7, 8};
  const std::vector<float> scales = {0.1f, 0.3f};
  const std::vector<std::int32_t> g_idx = {0, 0};
  EXPECT_THAT(dequantize<float>(codes, zeros, scales, g_idx, 2),
              ElementsAre(0.1f * 8, 0.3f * -8, 0.1f * -4, 0.3f));
  // torch 2.11: (tensor([0.1], dtype=float16) * -7) is -0.69970703125, for bfloat16 -0.69921875.
  const std::vector<cpu::Float16> half = {{0x2e66}};
  EXPECT_EQ(dequantize<cpu::Float16>(Codes{0}, Codes{7}, half, std::vector<std::int32_t>{0}, 1)
                .front()
                .bits,
            0xb999);
  const std::vector<cpu::BFloat16> brain = {{0x3dcd}};
  EXPECT_EQ(dequantize<cpu::BFloat16>(Codes{0}, Codes{7}, brain, std::vector<std::int32_t>{0}, 1)
                .front()
                .bits,
            0xbf33);
}

template <typename Body>
std::string refusal(Body&& body) {
  try {
    body();
  } catch (const qh::Error& error) {
    EXPECT_EQ(error.kind(), QH_ERR_VALUE);
    return error.message();
  }
  return "nothing was refused";
}

TEST(GptqFormat, RefusesWhatDoesNotFitAndSaysWhy) {
  EXPECT_THAT(refusal([] { check_bits(5); }), HasSubstr("5 bits cannot be packed"));
  EXPECT_THAT(refusal([] { check_bits(9, WordLayout::planar); }), HasSubstr("9 bits"));
  EXPECT_THAT(refusal([] { pack_weight(Codes{16}, 1, 1, 4); }), HasSubstr("code 16 does not fit"));
  EXPECT_THAT(refusal([] { unpack_weight(Words(3), 32, 1, 4); }),
              HasSubstr("qweight has 3 elements; its shape needs 4 x 1"));
  EXPECT_THAT(refusal([] { unpack_zeros(Words(3), INT64_MAX / 2, 32, 4); }), HasSubstr("qzeros"));
  EXPECT_THAT(refusal([] { unpack_weight(Words(3), INT64_MAX - 40, 1, 8); }), HasSubstr("qweight"));
  EXPECT_THAT(refusal([] {
                rows_by_group(std::vector<std::int32_t>{0, 2}, 2);
              }),
              HasSubstr("g_idx[1] is 2, and there are 2 groups"));
  EXPECT_THAT(refusal([] { rows_by_group(std::vector<std::int32_t>{-1}, 2); }),
              HasSubstr("g_idx[0] is -1"));
}

}  // namespace
}  // namespace quanthost::gptq
