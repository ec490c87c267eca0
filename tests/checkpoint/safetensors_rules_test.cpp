// Every rule of the format, broken once or more: the reader refuses the file and names the rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/base/error.hpp"
#include "host/checkpoint/safetensors_file.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace quanthost {
namespace {

using testing::little_endian;
using testing::safetensors_bytes;
using testing::TemporaryDirectory;

struct BrokenFile {
  const char* name;
  std::string bytes;
  const char* rule;  // a part of the message
};

void PrintTo(const BrokenFile& file, std::ostream* out) { *out << file.name; }

// A header with one tensor "a", whose entry is given.
std::string one(std::string_view entry, std::string_view data = "") {
  return safetensors_bytes("{\"a\":" + std::string(entry) + "}", data);
}

std::string two(std::string_view first_offsets, std::string_view second_offsets,
                std::string_view data) {
  return safetensors_bytes(fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":{}}},)"
                                       R"("b":{{"dtype":"U8","shape":[2],"data_offsets":{}}}}})",
                                       first_offsets, second_offsets),
                           data);
}

std::string nested(std::size_t depth) {
  return one(R"({"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":)" + std::string(depth, '[') +
             std::string(depth, ']') + "}");
}

const std::vector<BrokenFile>& broken_files() {
  using namespace std::string_literals;
  static const std::vector<BrokenFile> files = {
      {"Empty", "", "header too small"},
      {"SevenBytes", "\x02\0\0\0\0\0\0"s, "header too small"},
      {"LengthAboveLimit", little_endian(100'000'001) + "{}", "header too large"},
      {"LengthOfAllOnes", std::string(8, '\xff') + "{}", "header too large"},
      {"LengthPastEnd", little_endian(3) + "{}", "invalid header length"},
      {"LengthWithoutHeader", little_endian(2), "invalid header length"},
      {"LoneContinuationByte", safetensors_bytes("{\"\x80\":1}", ""), "invalid UTF-8"},
      {"OverlongSlash", safetensors_bytes("{\"\xc0\xaf\":1}", ""), "invalid UTF-8"},
      {"Surrogate", safetensors_bytes("{\"\xed\xa0\x80\":1}", ""), "invalid UTF-8"},
      {"AboveUnicode", safetensors_bytes("{\"\xf4\x90\x80\x80\":1}", ""), "invalid UTF-8"},
      {"CutOffSequence", safetensors_bytes("{\"\xe2\x82", ""), "invalid UTF-8"},
      {"EmptyHeader", little_endian(0), "invalid header start"},
      {"OnlySpaces", safetensors_bytes("        ", ""), "invalid header start"},
      {"Array", safetensors_bytes("[]", ""), "invalid header start"},
      {"String", safetensors_bytes("\"{}\"", ""), "invalid header start"},
      {"ByteOrderMark", safetensors_bytes("\xef\xbb\xbf{}", ""), "invalid header start"},
      {"NulAfterObject", safetensors_bytes("{}\0"s, ""), "NUL"},
      {"JunkAfterObject", safetensors_bytes("{}x", ""), "invalid JSON"},
      {"TwoObjects", safetensors_bytes("{}{}", ""), "invalid JSON"},
      {"CutOffObject", safetensors_bytes("{\"a\":{", ""), "invalid JSON"},
      {"TrailingComma", safetensors_bytes("{\"a\":null,}", ""), "must be an object"},
      {"Comment", safetensors_bytes("{/*no*/}", ""), "invalid JSON"},
      {"LoneEscapedSurrogate", safetensors_bytes(R"({"\ud800":{}})", ""), "invalid JSON"},
      {"NestedTooDeeply", nested(200), "nested too deeply"},
      {"TensorIsNumber", one("7"), "must be an object"},
      {"TensorIsNull", one("null"), "must be an object"},
      {"TensorIsArray", one(R"(["U8",[0],[0,0]])"), "must be an object"},
      {"MetadataIsArray", safetensors_bytes(R"({"__metadata__":[]})", ""), "must be an object"},
      {"MetadataHoldsNumber", safetensors_bytes(R"({"__metadata__":{"a":1}})", ""), "strings only"},
      {"MetadataHoldsNull", safetensors_bytes(R"({"__metadata__":{"a":null}})", ""),
       "strings only"},
      {"MetadataHoldsObject", safetensors_bytes(R"({"__metadata__":{"a":{}}})", ""),
       "strings only"},
      {"NoDtype", one(R"({"shape":[0],"data_offsets":[0,0]})"), "dtype is missing"},
      {"NoShape", one(R"({"dtype":"U8","data_offsets":[0,0]})"), "shape is missing"},
      {"NoOffsets", one(R"({"dtype":"U8","shape":[0]})"), "data_offsets is missing"},
      {"DtypeTwice", one(R"({"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]})"),
       "occurs twice"},
      {"UnknownDtype", one(R"({"dtype":"U7","shape":[0],"data_offsets":[0,0]})"), "unknown dtype"},
      {"LowerCaseDtype", one(R"({"dtype":"u8","shape":[0],"data_offsets":[0,0]})"),
       "unknown dtype"},
      {"DtypeIsNumber", one(R"({"dtype":8,"shape":[0],"data_offsets":[0,0]})"),
       "dtype may not be or hold"},
      {"ShapeIsNumber", one(R"({"dtype":"U8","shape":0,"data_offsets":[0,0]})"),
       "shape may not be or hold"},
      {"ShapeIsNegative", one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,0]})"),
       "a negative number"},
      {"ShapeIsFraction", one(R"({"dtype":"U8","shape":[1.0],"data_offsets":[0,1]})", "x"),
       "a fraction"},
      {"ShapeIsNested", one(R"({"dtype":"U8","shape":[[1]],"data_offsets":[0,1]})", "x"),
       "an array"},
      {"ShapeAboveLimit",
       one(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]})"), "too large"},
      {"OffsetsAreOne", one(R"({"dtype":"U8","shape":[0],"data_offsets":[0]})"), "holds 1 numbers"},
      {"OffsetsAreThree", one(R"({"dtype":"U8","shape":[0],"data_offsets":[0,0,0]})"),
       "holds 3 numbers"},
      {"OffsetsAreTexts", one(R"({"dtype":"U8","shape":[0],"data_offsets":["0","0"]})"),
       "a string"},
      {"OffsetsAboveU64",
       one(R"({"dtype":"U8","shape":[0],"data_offsets":[0,18446744073709551616]})"), "too large"},
      {"EndBeforeBegin", one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,0]})", "x"),
       "invalid offset"},
      {"FirstBeginsLate", one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,2]})", "xy"),
       "invalid offset"},
      {"Hole", two("[0,2]", "[3,5]", "abcde"), "invalid offset for tensor b"},
      {"Overlap", two("[0,2]", "[1,3]", "abc"), "invalid offset for tensor b"},
      {"SameBytes", two("[0,2]", "[0,2]", "ab"), "invalid offset for tensor b"},
      {"OneByteTooMany", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,2]})", "xy"),
       "invalid shape, data type"},
      {"OneByteTooFew", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,3]})", "xyz"),
       "invalid shape, data type"},
      {"ShapeOverflows",
       one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), "overflows"},
      {"BitsOverflow", one(R"({"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]})"),
       "overflows"},
      {"OverflowBeforeZero",
       one(R"({"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]})"),
       "overflows"},
      {"HalfAByte", one(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", "x"),
       "do not fill whole bytes"},
      {"SixBitsLeftOver", one(R"({"dtype":"F6_E2M3","shape":[3],"data_offsets":[0,2]})", "xy"),
       "do not fill whole bytes"},
      {"DataMissing", one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})", "x"),
       "incomplete metadata"},
      {"DataLeftOver", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})", "xy"),
       "incomplete metadata"},
      {"DataWithoutTensors", safetensors_bytes("{}", "x"), "incomplete metadata"},
      {"ExbibyteMissing",
       one(R"({"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]})"),
       "incomplete metadata"},
  };
  return files;
}

class SafetensorsRule : public ::testing::TestWithParam<BrokenFile> {};

TEST_P(SafetensorsRule, IsNamedWhenAFileBreaksIt) {
  TemporaryDirectory directory;
  const auto path = directory.write("broken.safetensors", GetParam().bytes);
  try {
    SafetensorsFile::open(path);
    FAIL() << "the file was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kValue);
    EXPECT_THAT(e.what(), ::testing::HasSubstr(GetParam().rule));
    EXPECT_THAT(e.what(), ::testing::HasSubstr(path.string()));
  }
}

INSTANTIATE_TEST_SUITE_P(Broken, SafetensorsRule, ::testing::ValuesIn(broken_files()),
                         [](const auto& info) { return std::string(info.param.name); });

std::vector<TensorInfo> accepted(std::string_view header, std::string_view data) {
  return parse_safetensors_header(header, data.size()).tensors;
}

TEST(SafetensorsHeader, AcceptsAnEmptyFileAndSpaceAroundTheObject) {
  EXPECT_TRUE(accepted("{}", "").empty());
  EXPECT_TRUE(accepted(" \n\t{}\r\n  ", "").empty());
}

TEST(SafetensorsHeader, AcceptsScalarsAndEmptyTensorsAnywhere) {
  const auto tensors = accepted(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                R"("e":{"dtype":"F64","shape":[0,5],"data_offsets":[4,4]},)"
                                R"("f":{"dtype":"U8","shape":[3,0],"data_offsets":[0,0]}})",
                                "abcd");
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[0].name, "f");
  EXPECT_EQ(tensors[1].elements(), 1u);
  EXPECT_EQ(tensors[2].elements(), 0u);
}

TEST(SafetensorsHeader, KeepsTheLastOfTwoEntriesWithOneName) {
  const auto tensors = accepted(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[5,14]},)"
                                R"("a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
                                "x");
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].dtype, Dtype::kI8);
}

TEST(SafetensorsHeader, IgnoresFieldsItDoesNotKnowWhateverTheyHold) {
  const auto tensors = accepted(
      R"({"a":{"x":{"dtype":7,"shape":[[-1.5]]},"dtype":"U8","y":[{"data_offsets":[null]}],)"
      R"("shape":[1],"z":"text","data_offsets":[0,1],"w":false}})",
      "x");
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].shape, Shape{1});
}

TEST(SafetensorsHeader, AcceptsMetadataThatIsNull) {
  EXPECT_TRUE(parse_safetensors_header(R"({"__metadata__":null})", 0).metadata.empty());
}

TEST(SafetensorsHeader, AcceptsSubByteTypesThatFillWholeBytes) {
  const auto tensors = accepted(R"({"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]},)"
                                R"("b":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[3,6]}})",
                                "abcdef");
  EXPECT_EQ(tensors.size(), 2u);
}

}  // namespace
}  // namespace quanthost
