#include "host/checkpoint/checkpoint_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/checkpoint/checkpoint.hpp"
#include "host/checkpoint/companion_files.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace quanthost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::read_bytes;
using testing::safetensors_bytes;
using testing::TemporaryDirectory;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(SafetensorsWriter, WritesTheBytesOfPythonsWriter) {
  using namespace std::string_literals;
  TemporaryDirectory directory;
  SafetensorsWriter writer(
      directory / "x", {{"c", Dtype::kU8, {1}}, {"a", Dtype::kI32, {1}}, {"b", Dtype::kF16, {2}}},
      {{"format", "pt"}});
  writer.write("b", bytes("\x00\x3c\x00\xc0"s));
  writer.write("c", bytes("\x01"));
  writer.write("a", bytes("\x07\0\0\0"s));
  writer.finish();
  // safetensors 0.8.0, save_file({"b": F16[1, -2], "a": I32[7], "c": U8[1]}, metadata={"format":
  // "pt"})
  EXPECT_EQ(
      read_bytes(directory / "x"),
      safetensors_bytes(
          R"({"__metadata__":{"format":"pt"},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
          R"("b":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},)"
          R"("c":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}  )",
          "\x07\0\0\0\x00\x3c\x00\xc0\x01"s));
}

TEST(SafetensorsWriter, WritesAFileWithoutTensors) {
  TemporaryDirectory directory;
  SafetensorsWriter(directory / "x", {}).finish();
  EXPECT_EQ(read_bytes(directory / "x"), safetensors_bytes("{}      ", ""));
}

TEST(SafetensorsWriter, KeepsNamesThatNeedEscapes) {
  TemporaryDirectory directory;
  const std::string name = "a\"\\\n\x01\x7f é/";
  SafetensorsWriter writer(directory / "x", {{name, Dtype::kU8, {1}}}, {{"k\"", "v\t"}});
  writer.write(name, bytes("x"));
  writer.finish();
  const auto file = SafetensorsFile::open(directory / "x");
  EXPECT_EQ(file.tensors()[0].name, name);
  EXPECT_EQ(file.metadata().at("k\""), "v\t");
}

TEST(SafetensorsWriter, TakesATensorInParts) {
  TemporaryDirectory directory;
  SafetensorsWriter writer(directory / "x", {{"a", Dtype::kU8, {5}}});
  writer.write_part("a", 3, bytes("de"));
  writer.write_part("a", 0, bytes("abc"));
  writer.finish();
  EXPECT_THAT(read_bytes(directory / "x"), ::testing::EndsWith("abcde"));
}

TEST(SafetensorsWriter, RefusesWhatWasNotDeclared) {
  TemporaryDirectory directory;
  SafetensorsWriter writer(directory / "x", {{"a", Dtype::kU8, {2}}});
  EXPECT_THAT(message_of([&] { writer.write("b", bytes("xy")); }),
              HasSubstr("tensor b was not declared"));
  EXPECT_THAT(message_of([&] { writer.write("a", bytes("x")); }),
              HasSubstr("declared with 2 bytes, 1 were given"));
  EXPECT_THAT(message_of([&] { writer.write_part("a", 1, bytes("xy")); }),
              HasSubstr("would pass its end"));
  EXPECT_THAT(message_of([&] { writer.finish(); }),
              HasSubstr("2 of its 2 bytes were never written"));
  writer.write("a", bytes("xy"));
  EXPECT_THAT(message_of([&] { writer.write("a", bytes("xy")); }), HasSubstr("written twice"));
}

TEST(SafetensorsWriter, RefusesDeclarationsThatCannotBeStored) {
  TemporaryDirectory directory;
  const auto declare = [&](std::vector<TensorDeclaration> tensors) {
    return message_of([&] { SafetensorsWriter(directory / "x", tensors); });
  };
  EXPECT_THAT(declare({{"a", Dtype::kU8, {1}}, {"a", Dtype::kI8, {1}}}),
              HasSubstr("tensor a: the name is used twice"));
  EXPECT_THAT(declare({{"__metadata__", Dtype::kU8, {1}}}), HasSubstr("reserved"));
  EXPECT_THAT(declare({{"a", Dtype::kF4, {3}}}), HasSubstr("tensor a: 3 elements of 4 bits"));
  EXPECT_THAT(declare({{"a", Dtype::kU8, {-1}}}), HasSubstr("negative"));
}

TEST(SafetensorsWriter, SaysThatTheDiskIsFull) {
  // /dev/full takes no byte and has no space to reserve.
  EXPECT_THAT(message_of([] {
                SafetensorsWriter("/dev/full", {{"a", Dtype::kU8, {1}}});
              }),
              AllOf(HasSubstr("/dev/full"), HasSubstr("No space left on device"),
                    HasSubstr("free some space")));
}

TEST(CheckpointWriter, SplitsLikeHuggingfaceHub) {
  // split_torch_state_dict_into_shards of huggingface_hub 1.x: a 60-byte tensor with a limit of 50
  // has its own shard, which is closed before the one that was begun.
  const auto shards = split_into_shards({{"a", Dtype::kU8, {20}},
                                         {"b", Dtype::kU8, {60}},
                                         {"c", Dtype::kU8, {30}},
                                         {"d", Dtype::kU8, {1}}},
                                        50);
  std::vector<std::string> names;
  for (const auto& shard : shards) {
    names.emplace_back();
    for (const auto& tensor : shard) names.back() += tensor.name;
  }
  EXPECT_THAT(names, ElementsAre("b", "ac", "d"));
}

TEST(CheckpointWriter, WritesShardsThatTheReaderPutsTogether) {
  TemporaryDirectory directory;
  CheckpointWriterOptions options;
  options.max_shard_bytes = 3;
  CheckpointWriter writer(directory.path(),
                          {{"a", Dtype::kU8, {2}}, {"b", Dtype::kU8, {2}}, {"c", Dtype::kU8, {1}}},
                          options);
  for (const TensorInfo& tensor : writer.tensors())
    writer.write(tensor.name, bytes("xy").first(tensor.bytes()));
  writer.finish();
  EXPECT_EQ(read_bytes(directory / "model.safetensors.index.json"),
            "{\n  \"metadata\": {\n    \"total_parameters\": 5,\n    \"total_size\": 5\n  },\n  "
            "\"weight_map\": {\n"
            "    \"a\": \"model-00001-of-00002.safetensors\",\n    \"b\": "
            "\"model-00002-of-00002.safetensors\",\n"
            "    \"c\": \"model-00002-of-00002.safetensors\"\n  }\n}\n");
  const auto checkpoint = Checkpoint::open(directory.path());
  EXPECT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
}

TEST(CompanionFiles, AreCopiedWithoutWeightsOrConfig) {
  TemporaryDirectory from;
  TemporaryDirectory to;
  for (const char* name : {"tokenizer.json", "merges.txt", "config.json", "model.safetensors"})
    from.write(name, name);
  EXPECT_THAT(copy_companion_files(from.path(), to.path()),
              ElementsAre("tokenizer.json", "merges.txt"));
  EXPECT_EQ(read_bytes(to / "merges.txt"), "merges.txt");
  EXPECT_FALSE(std::filesystem::exists(to / "config.json"));
}

}  // namespace
}  // namespace quanthost
