#include "host/checkpoint/safetensors_file.hpp"

#include <gtest/gtest.h>

#include <array>

#include "host/base/error.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace quanthost {
namespace {

using testing::safetensors_bytes;
using testing::TemporaryDirectory;

// What Python's safetensors 0.8.0 writes for {b: F16[1,-2], a: I32[7], c: U8[1]} with metadata
// format=pt.
const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
    R"("b":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},"c":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}  )";
const std::string kData("\x07\0\0\0\x00\x3c\x00\xc0\x01", 9);

TEST(SafetensorsFile, ListsTensorsInTheOrderOfTheirBytes) {
  TemporaryDirectory directory;
  const auto file = SafetensorsFile::open(directory.write("x", safetensors_bytes(kHeader, kData)));
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.tensors()[1].dtype, Dtype::kF16);
  EXPECT_EQ(file.tensors()[1].shape, Shape{2});
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
}

TEST(SafetensorsFile, GivesTheSameBytesByMappingAndByReading) {
  TemporaryDirectory directory;
  const auto file = SafetensorsFile::open(directory.write("x", safetensors_bytes(kHeader, kData)));
  const TensorInfo* tensor = file.find("b");
  ASSERT_NE(tensor, nullptr);
  std::array<std::byte, 4> read{};
  file.read(*tensor, read);
  const auto view = file.view(*tensor);
  EXPECT_TRUE(std::equal(view.begin(), view.end(), read.begin(), read.end()));
  EXPECT_EQ(read[3], std::byte{0xc0});
}

TEST(SafetensorsFile, ReadsAPartOfATensorAndNeverPastItsEnd) {
  TemporaryDirectory directory;
  const auto file = SafetensorsFile::open(directory.write("x", safetensors_bytes(kHeader, kData)));
  std::array<std::byte, 3> part{};
  file.read(*file.find("a"), part, 1);
  EXPECT_EQ(part[0], std::byte{0});
  EXPECT_THROW(file.read(*file.find("a"), part, 2), Error);
  EXPECT_THROW(file.read(*file.find("a"), part, ~std::uint64_t{0}), Error);
}

TEST(SafetensorsFile, FindsNothingUnderAnUnknownName) {
  TemporaryDirectory directory;
  const auto file = SafetensorsFile::open(directory.write("x", safetensors_bytes("{}", "")));
  EXPECT_EQ(file.find("a"), nullptr);
  EXPECT_TRUE(file.tensors().empty());
}

TEST(SafetensorsFile, RefusesADirectoryAndAMissingFileByName) {
  TemporaryDirectory directory;
  for (const auto& path : {directory.path(), directory / "missing.safetensors"}) {
    try {
      SafetensorsFile::open(path);
      FAIL() << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kOs);
      EXPECT_NE(e.message().find(path.string()), std::string::npos) << e.message();
    }
  }
}

}  // namespace
}  // namespace quanthost
