#include "host/checkpoint/gguf_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/base/error.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/gguf_bytes.hpp"

namespace quanthost {
namespace {

using ::testing::ElementsAre;
using testing::gguf_text;
using testing::GgufBytes;
using ::testing::HasSubstr;
using testing::raw;

GgufContents parse(std::string_view bytes) { return parse_gguf(std::as_bytes(std::span(bytes))); }

TEST(GgufFile, ReadsAllScalarTypes) {
  GgufBytes file;
  file.entry("u8", 0, raw<std::uint8_t>(200)).entry("i8", 1, raw<std::int8_t>(-3));
  file.entry("u16", 2, raw<std::uint16_t>(65535)).entry("i16", 3, raw<std::int16_t>(-300));
  file.u32("u32", 4'000'000'000u)
      .entry("i32", 5, raw<std::int32_t>(7))
      .f32("f32", 0.5f)
      .boolean("b", true);
  file.text("s", "héllo")
      .entry("u64", 10, raw<std::uint64_t>(1))
      .entry("i64", 11, raw<std::int64_t>(-1));
  file.entry("f64", 12, raw(2.25));
  for (const std::uint32_t version : {2u, 3u}) {
    const GgufMetadata metadata = parse(file.build(version)).metadata;
    EXPECT_EQ(metadata.unsigned_number("u8"), 200u);
    EXPECT_EQ(metadata.number("i8"), -3.0);
    EXPECT_EQ(metadata.unsigned_number("u16"), 65535u);
    EXPECT_EQ(metadata.number("i16"), -300.0);
    EXPECT_EQ(metadata.unsigned_number("u32"), 4'000'000'000u);
    EXPECT_EQ(metadata.unsigned_number("i32"), 7u);
    EXPECT_EQ(metadata.number("f32"), 0.5);
    EXPECT_EQ(metadata.boolean("b"), true);
    EXPECT_EQ(*metadata.text("s"), "héllo");
    EXPECT_EQ(metadata.unsigned_number("u64"), 1u);
    EXPECT_EQ(metadata.number("f64"), 2.25);
    EXPECT_EQ(metadata.unsigned_number("none"), std::nullopt);
  }
}

TEST(GgufFile, ReadsArraysAndSkipsNestedOnes) {
  const std::string inner = raw<std::uint32_t>(0) + raw<std::uint64_t>(2) + "ab";
  GgufBytes file;
  file.texts("texts", {"a", ""}).i32s("numbers", {1, -2});
  file.entry("nested", 9, raw<std::uint32_t>(9) + raw<std::uint64_t>(2) + inner + inner)
      .u32("after", 5);
  const GgufMetadata metadata = parse(file.build()).metadata;
  EXPECT_THAT(*metadata.texts("texts"), ElementsAre("a", ""));
  EXPECT_THAT(*metadata.signed_numbers("numbers"), ElementsAre(1, -2));
  EXPECT_EQ(std::get<GgufNestedArray>(metadata.entries().at("nested")).count, 2u);
  EXPECT_EQ(metadata.unsigned_number("after"), 5u);
}

TEST(GgufFile, SaysWhichKeyHasTheWrongType) {
  const GgufMetadata metadata =
      parse(GgufBytes().text("name", "x").entry("i", 5, raw(-1)).build()).metadata;
  const auto message = [&](auto&& read) -> std::string {
    try {
      read();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(message([&] { metadata.unsigned_number("name"); }),
              HasSubstr("metadata name: a number that is not"));
  EXPECT_THAT(message([&] { metadata.unsigned_number("i"); }),
              HasSubstr("metadata i: a number that is not negative"));
  EXPECT_THAT(message([&] { metadata.boolean("name"); }),
              HasSubstr("metadata name: a boolean is needed"));
  EXPECT_THAT(message([&] { metadata.texts("name"); }),
              HasSubstr("metadata name: an array of texts"));
  EXPECT_THAT(message([&] { metadata.required_text("other"); }),
              HasSubstr("metadata other is missing"));
}

TEST(GgufFile, GivesTheBytesOfItsTensors) {
  testing::TemporaryDirectory directory;
  GgufBytes bytes;
  bytes.f32_tensor("first", {1}, {1.0f}).f32_tensor("second", {2, 1}, {2.0f, 3.0f});
  const auto file = GgufFile::open(directory.write("m.gguf", bytes.build()));
  const GgufTensor* tensor = file.find("second");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> values(2);
  dequantize(tensor->type, file.view(*tensor), values);
  EXPECT_THAT(values, ElementsAre(2.0f, 3.0f));
}

struct BrokenGguf {
  const char* name;
  std::string bytes;
  const char* reason;
};

void PrintTo(const BrokenGguf& file, std::ostream* out) { *out << file.name; }

std::string head(std::uint32_t version, std::uint64_t tensors, std::uint64_t entries) {
  return "GGUF" + raw(version) + raw(tensors) + raw(entries);
}

std::vector<BrokenGguf> broken_files() {
  const auto array_of = [](std::uint32_t type, std::uint64_t count, std::string_view bytes) {
    return raw(type) + raw(count) + std::string(bytes);
  };
  std::string deep = array_of(0, 0, "");
  for (int i = 0; i < 6; ++i) deep = array_of(9, 1, deep);
  const std::uint64_t huge = ~std::uint64_t{0};
  return {
      {"Empty", "", "not a GGUF file"},
      {"OtherMagic", "GGML" + raw<std::uint32_t>(3), "not a GGUF file"},
      {"Version1", head(1, 0, 0), "version 1 is not read"},
      {"Version4", head(4, 0, 0), "version 4 is not read"},
      {"BigEndian", head(0x03000000, 0, 0), "big-endian"},
      {"NoCounts", "GGUF" + raw<std::uint32_t>(3), "cut off"},
      {"EntriesPastEnd", head(3, 0, 1), "metadata entries cannot lie"},
      {"EntriesOverflow", head(3, 0, huge), "metadata entries cannot lie"},
      {"TensorsOverflow", head(3, huge, 0), "tensors cannot lie"},
      {"KeyPastEnd", head(3, 0, 1) + raw(huge) + std::string(32, 'x'), "cut off"},
      {"KeyNotUtf8", GgufBytes().u32("\xff", 1).build(), "not valid UTF-8"},
      {"KeyTwice", GgufBytes().u32("k", 1).u32("k", 2).build(), "metadata k: the key occurs twice"},
      {"UnknownType", GgufBytes().entry("k", 13, "xxxxxxxx").build(),
       "metadata k: unknown value type 13"},
      {"TextPastEnd", GgufBytes().entry("k", 8, raw<std::uint64_t>(1000)).build(), "metadata k"},
      {"ArrayTooLong", GgufBytes().entry("k", 9, array_of(4, huge, "")).build(),
       "array elements cannot lie"},
      {"TextsTooMany", GgufBytes().entry("k", 9, array_of(8, huge / 4, "")).build(),
       "texts cannot lie"},
      {"ArrayOfUnknown", GgufBytes().entry("k", 9, array_of(77, 1, "x")).build(),
       "unknown value type 77"},
      {"ArraysTooDeep", GgufBytes().entry("k", 9, deep).build(), "nested too deeply"},
      {"AlignmentZero", GgufBytes().u32("general.alignment", 0).build(), "not a power of two"},
      {"AlignmentOdd", GgufBytes().u32("general.alignment", 24).build(), "not a power of two"},
      {"AlignmentText", GgufBytes().text("general.alignment", "32").build(),
       "metadata general.alignment"},
      {"NoDimension", GgufBytes().tensor_entry("t", {}, 0, 0).build(), "0 dimensions"},
      {"FiveDimensions", GgufBytes().tensor_entry("t", {1, 1, 1, 1, 1}, 0, 0).build(),
       "5 dimensions"},
      {"DimensionZero", GgufBytes().tensor_entry("t", {4, 0}, 0, 0).build(),
       "one of its dimensions is 0"},
      {"DimensionsOverflow", GgufBytes().tensor_entry("t", {huge, huge}, 0, 0).build(),
       "overflows"},
      {"BytesOverflow", GgufBytes().tensor_entry("t", {std::uint64_t{1} << 62}, 0, 0).build(),
       "overflows"},
      {"TypeNotRead", GgufBytes().tensor_entry("t", {256}, 10, 0).build(),
       "tensor t: its ggml type 10 is not read"},
      {"PartOfABlock", GgufBytes().tensor("t", {16, 2}, 2, std::string(18, 'x')).build(),
       "not whole blocks"},
      {"OffsetNotAligned", GgufBytes().tensor_entry("t", {1}, 0, 4).build(),
       "not a multiple of 32"},
      {"OffsetPastEnd", GgufBytes().tensor_entry("t", {1}, 0, 1 << 20).build(), "past the end"},
      {"OffsetOverflows", GgufBytes().tensor_entry("t", {1}, 0, huge - 31).build(), "past the end"},
      {"DataCutOff", GgufBytes().tensor("t", {9}, 0, std::string(35, 'x')).build(), "past the end"},
      {"TensorTwice", GgufBytes().f32_tensor("t", {1}, {1}).f32_tensor("t", {1}, {1}).build(),
       "name occurs twice"},
  };
}

class GgufRule : public ::testing::TestWithParam<BrokenGguf> {};

TEST_P(GgufRule, IsNamedWhenAFileBreaksIt) {
  try {
    parse(GetParam().bytes);
    FAIL() << "the file was accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(GetParam().reason));
  }
}

INSTANTIATE_TEST_SUITE_P(Broken, GgufRule, ::testing::ValuesIn(broken_files()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GgufFile, IsRefusedWhereverItIsCutOff) {
  GgufBytes file;
  file.u32("a", 1).texts("b", {"x", "y"}).f32_tensor("t", {3}, {1, 2, 3});
  const std::string whole = file.build();
  EXPECT_EQ(parse(whole).tensors.size(), 1u);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(parse(std::string_view(whole).substr(0, length)), Error) << length;
  }
}

}  // namespace
}  // namespace quanthost
