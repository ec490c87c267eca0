#include "host/checkpoint/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace quanthost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::TemporaryDirectory;

std::string one_byte_tensor(std::string_view name) {
  return safetensors_bytes(
      fmt::format(R"({{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}})", name), "x");
}

std::string two_byte_tensors(std::string_view first, std::string_view second) {
  return safetensors_bytes(
      fmt::format(R"({{"__metadata__":{{"format":"pt"}},)"
                  R"("{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},)"
                  R"("{}":{{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}}})",
                  first, second),
      "xy");
}

std::vector<std::string> names(const std::vector<StoredTensor>& tensors) {
  std::vector<std::string> names;
  for (const StoredTensor& tensor : tensors) names.push_back(tensor.name());
  return names;
}

std::string message_of_opening(const std::filesystem::path& path) {
  try {
    Checkpoint::open(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Checkpoint, OpensADirectoryWithOneFile) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", two_byte_tensors("layers.10.w", "layers.9.w"));
  const auto checkpoint = Checkpoint::open(directory.path());
  EXPECT_THAT(names(checkpoint.tensors()), ElementsAre("layers.10.w", "layers.9.w"));
  EXPECT_THAT(names(checkpoint.tensors_by_name()), ElementsAre("layers.9.w", "layers.10.w"));
  EXPECT_EQ(checkpoint.total_bytes(), 2u);
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  EXPECT_EQ(checkpoint.at("layers.9.w").view()[0], std::byte{'y'});
}

TEST(Checkpoint, OpensAFileByName) {
  TemporaryDirectory directory;
  const auto path = directory.write("weights.safetensors", one_byte_tensor("a"));
  EXPECT_THAT(names(Checkpoint::open(path).tensors()), ElementsAre("a"));
}

TEST(Checkpoint, OpensTheOnlySafetensorsFileWhateverItsName) {
  TemporaryDirectory directory;
  directory.write("gptq_model-4bit-128g.safetensors", one_byte_tensor("a"));
  EXPECT_THAT(names(Checkpoint::open(directory.path()).tensors()), ElementsAre("a"));
}

TEST(Checkpoint, TakesTheTensorsOfAShardedCheckpointFromItsIndexAlone) {
  TemporaryDirectory directory;
  directory.write("model-00001-of-00002.safetensors", two_byte_tensors("a", "stray"));
  directory.write("model-00002-of-00002.safetensors", one_byte_tensor("b"));
  directory.write(
      "model.safetensors.index.json",
      R"({"weight_map":{"b":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors"}})");
  const auto checkpoint = Checkpoint::open(directory.path());
  EXPECT_THAT(names(checkpoint.tensors()), ElementsAre("a", "b"));
  EXPECT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.find("stray"), nullptr);
}

TEST(Checkpoint, NamesTheMissingShardAndATensorOfIt) {
  TemporaryDirectory directory;
  directory.write("model.safetensors.index.json",
                  R"({"weight_map":{"lm_head.weight":"model-00002-of-00002.safetensors"}})");
  EXPECT_THAT(
      message_of_opening(directory.path()),
      AllOf(HasSubstr("model-00002-of-00002.safetensors is missing"), HasSubstr("lm_head.weight")));
}

TEST(Checkpoint, NamesTheTensorThatItsShardDoesNotHold) {
  TemporaryDirectory directory;
  directory.write("s.safetensors", one_byte_tensor("a"));
  directory.write("model.safetensors.index.json",
                  R"({"weight_map":{"a":"s.safetensors","b":"s.safetensors"}})");
  EXPECT_THAT(message_of_opening(directory.path()),
              HasSubstr("tensor b is said to be in s.safetensors"));
}

TEST(Checkpoint, RefusesAnIndexThatLeavesTheDirectory) {
  TemporaryDirectory directory;
  for (const auto* file : {"../s.safetensors", "/etc/passwd", "a/../../s.safetensors", ""}) {
    directory.write("model.safetensors.index.json",
                    fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", file));
    EXPECT_THAT(message_of_opening(directory.path()), HasSubstr("outside the directory"));
  }
}

TEST(Checkpoint, SaysWhatToDoAboutPicklesAndGguf) {
  TemporaryDirectory directory;
  EXPECT_THAT(message_of_opening(directory.path()), HasSubstr("no safetensors file"));
  directory.write("pytorch_model.bin", "");
  EXPECT_THAT(message_of_opening(directory.path()), HasSubstr("safe_serialization=True"));
  directory.write("model.gguf", "");
  EXPECT_THAT(message_of_opening(directory.path()), HasSubstr("quanthost convert"));
}

TEST(Checkpoint, NamesASimilarTensorWhenOneIsAskedForThatIsNotThere) {
  TemporaryDirectory directory;
  const auto checkpoint =
      Checkpoint::open(directory.write("w.safetensors", one_byte_tensor("model.norm.weight")));
  try {
    checkpoint.at("norm.weight");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kKey);
    EXPECT_THAT(e.what(), HasSubstr("model.norm.weight"));
  }
}

TEST(Checkpoint, ReadsTheDtypeUnderItsNewAndItsOldName) {
  const auto dtype_with = [](std::string_view config) {
    TemporaryDirectory directory;
    directory.write("model.safetensors", one_byte_tensor("a"));
    directory.write("config.json", config);
    return Checkpoint::open(directory.path()).config_dtype();
  };
  EXPECT_EQ(dtype_with(R"({"dtype":"bfloat16","torch_dtype":"float16"})"), Dtype::kBF16);
  EXPECT_EQ(dtype_with(R"({"torch_dtype":"float16"})"), Dtype::kF16);
  EXPECT_EQ(dtype_with(R"({"dtype":null,"torch_dtype":"torch.float32"})"), Dtype::kF32);
  EXPECT_EQ(dtype_with("{}"), std::nullopt);
  EXPECT_THROW(dtype_with(R"({"dtype":"auto"})"), Error);
  EXPECT_THROW(dtype_with(R"({"dtype":7})"), Error);
}

TEST(Checkpoint, PrefersTheQuantizationConfigOfConfigJson) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", one_byte_tensor("a"));
  EXPECT_EQ(Checkpoint::open(directory.path()).quantization_config(), nullptr);
  directory.write("quant_config.json", R"({"from":"quant_config"})");
  EXPECT_EQ(Checkpoint::open(directory.path()).quantization_config()->at("from"), "quant_config");
  directory.write("quantize_config.json", R"({"from":"quantize_config"})");
  EXPECT_EQ(Checkpoint::open(directory.path()).quantization_config()->at("from"),
            "quantize_config");
  directory.write("config.json", R"({"quantization_config":{"from":"config"}})");
  EXPECT_EQ(Checkpoint::open(directory.path()).quantization_config()->at("from"), "config");
}

TEST(Checkpoint, NamesTheJsonFileThatIsBroken) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", one_byte_tensor("a"));
  directory.write("config.json", "{\"hidden_size\": ");
  EXPECT_THAT(message_of_opening(directory.path()),
              AllOf(HasSubstr("config.json"), HasSubstr("not valid JSON")));
  directory.write("config.json", "[]");
  EXPECT_THAT(message_of_opening(directory.path()),
              HasSubstr("config.json: must hold a JSON object"));
}

TEST(Checkpoint, SaysWhereAnInterruptedSaveLeftTheOldOne) {
  TemporaryDirectory directory;
  EXPECT_THAT(message_of_opening(directory / "model"), HasSubstr("no such file or directory"));
  std::filesystem::create_directory(directory / ".model.quanthost-old-00000001");
  EXPECT_THAT(message_of_opening(directory / "model"), HasSubstr(".model.quanthost-old-00000001"));
}

}  // namespace
}  // namespace quanthost
