#include "host/checkpoint/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/base/error.hpp"
#include "host/checkpoint/describe.hpp"
#include "host/checkpoint/known_hash.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace quanthost {
namespace {

using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::TemporaryDirectory;

std::string file_with(std::string_view dtype, std::string_view shape, std::string_view data,
                      std::string_view name = "model.embed_tokens.weight") {
  return safetensors_bytes(
      fmt::format(R"({{"{}":{{"dtype":"{}","shape":{},"data_offsets":[0,{}]}}}})", name, dtype,
                  shape, data.size()),
      data);
}

// All findings as lines of text.
std::string findings(const std::filesystem::path& path) {
  std::string text;
  for (const Finding& finding : check_checkpoint(path).findings) {
    text += fmt::format("{}|{}|{}|{}\n", finding.severity == Severity::kError ? "error" : "warning",
                        finding.file, finding.tensor, finding.message);
  }
  return text;
}

TEST(CheckCheckpoint, FindsNothingInASoundOne) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", file_with("F32", "[1]", "abcd"));
  directory.write("config.json", R"({"vocab_size":1,"tie_word_embeddings":true})");
  const CheckReport report = check_checkpoint(directory.path());
  EXPECT_TRUE(report.findings.empty()) << findings(directory.path());
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.bytes, 4u);
}

TEST(CheckCheckpoint, NamesTensorsWithNanInfinityOrBadBooleans) {
  using namespace std::string_literals;
  const struct {
    const char* dtype;
    std::string data;
    const char* expected;
  } cases[] = {{"F32", "\x01\x00\x80\x7f"s, "1 of its values are NaN"},
               {"F32", "\x00\x00\x80\xff"s, "1 of its values are infinite"},
               {"F64", "\x00\x00\x00\x00\x00\x00\xf8\x7f"s, "NaN"},
               {"F16", "\x00\x7c"s, "infinite"},
               {"BF16", "\xc0\x7f"s, "NaN"},
               {"F8_E4M3", "\xff"s, "NaN"},
               {"F8_E5M2", "\x7c"s, "infinite"},
               {"F8_E4M3FNUZ", "\x80"s, "NaN"},
               {"BOOL", "\x02"s, "neither 0 nor 1"}};
  for (const auto& c : cases) {
    TemporaryDirectory directory;
    const auto path =
        directory.write("w.safetensors", file_with(c.dtype, "[1]", c.data, "bad.weight"));
    EXPECT_THAT(findings(path),
                AllOf(HasSubstr("error|w.safetensors|bad.weight|"), HasSubstr(c.expected)));
  }
}

TEST(CheckCheckpoint, GoesOnAfterTheFirstFinding) {
  TemporaryDirectory directory;
  directory.write("s.safetensors", file_with("F32", "[1]", std::string("\0\0\xc0\x7f", 4), "a"));
  directory.write("broken.safetensors", "x");
  directory.write("tokenizer.json", "{");
  directory.write(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":99},"weight_map":{"a":"s.safetensors","b":"gone.safetensors"}})");
  const std::string text = findings(directory.path());
  EXPECT_THAT(text, HasSubstr("gone.safetensors is missing"));
  EXPECT_THAT(text, HasSubstr("header too small"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "warning|model.safetensors.index.json||total_size is 99, the tensors have 4 bytes"));
  EXPECT_THAT(text, HasSubstr("tokenizer.json: not valid JSON"));
  EXPECT_THAT(text, HasSubstr("config.json||is missing"));
  EXPECT_THAT(text, HasSubstr("error|s.safetensors|a|1 of its values are NaN"));
}

TEST(CheckCheckpoint, ComparesConfigAndTensors) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", file_with("U8", "[2]", "ab"));
  directory.write("config.json", R"({"vocab_size":3,"tie_word_embeddings":false})");
  EXPECT_THAT(findings(directory.path()),
              AllOf(HasSubstr("vocab_size is 3, the tensor has 2 rows"),
                    HasSubstr("tie_word_embeddings is false, but it is not stored")));
  directory.write("model.safetensors", file_with("U8", "[2]", "ab", "model.layers.0.w"));
  directory.write("config.json", R"({"num_hidden_layers":2})");
  EXPECT_THAT(findings(directory.path()),
              HasSubstr("error|config.json|layers.1.|num_hidden_layers is 2"));
}

TEST(CheckCheckpoint, StopsWhenProgressSaysSo) {
  TemporaryDirectory directory;
  const auto path = directory.write("w.safetensors", file_with("U8", "[2]", "ab"));
  try {
    check_checkpoint(path, [](std::uint64_t done, std::uint64_t total) {
      EXPECT_EQ(total, 2u);
      return done == 0;
    });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kCancelled);
  }
}

TEST(DescribeCheckpoint, TellsArchitectureSizesAndQuantization) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", file_with("BF16", "[2,1]", "abcd"));
  directory.write(
      "config.json",
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","dtype":"bfloat16",)"
      R"("quantization_config":{"quant_method":"gptq","bits":4}})");
  const auto description = describe_checkpoint(directory.path());
  EXPECT_EQ(description.architecture, "LlamaForCausalLM");
  EXPECT_EQ(description.config_dtype, Dtype::kBF16);
  EXPECT_EQ(description.quant_method, "gptq");
  EXPECT_EQ(description.elements, 2u);
  const Json json = to_json(description);
  EXPECT_EQ(json["tensors"][0]["shape"], Json({2, 1}));
  EXPECT_EQ(json["dtypes"][0]["dtype"], "BF16");
  EXPECT_EQ(json["quantization_config"]["bits"], 4);
}

TEST(DescribeCheckpoint, KnowsQuantoByItsMap) {
  TemporaryDirectory directory;
  directory.write("model.safetensors", file_with("I8", "[2]", "ab"));
  directory.write("quanto_qmap.json", R"({"lm_head":{"weights":"qint8","activations":"none"}})");
  EXPECT_EQ(describe_checkpoint(directory.path()).quant_method, "quanto");
}

TEST(KnownHash, IsTheNameOfAFileInAHuggingFaceCache) {
  TemporaryDirectory directory;
  const std::string hash(64, 'a');
  std::filesystem::create_directories(directory / "models--x/blobs");
  directory.write("models--x/blobs/" + hash, "content");
  directory.write("models--x/blobs/" + std::string(40, 'b'), "{}");
  const auto snapshot = directory.path() / "models--x/snapshots/main";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_symlink("../../blobs/" + hash, snapshot / "model.safetensors");
  std::filesystem::create_symlink("../../blobs/" + std::string(40, 'b'), snapshot / "config.json");
  EXPECT_EQ(known_sha256(snapshot / "model.safetensors"), hash);
  EXPECT_EQ(known_sha256(snapshot / "config.json"), std::nullopt) << "git's hash is another";
}

TEST(KnownHash, IsWhatADownloadIntoAFolderNoted) {
  TemporaryDirectory directory;
  const std::string hash(64, 'c');
  std::filesystem::create_directories(directory / ".cache/huggingface/download");
  directory.write("model.safetensors", "content");
  directory.write("other.safetensors", "content");
  directory.write(".cache/huggingface/download/model.safetensors.metadata",
                  std::string(40, '1') + "\n" + hash + "\n1700000000.5\n");
  EXPECT_EQ(known_sha256(directory.path() / "model.safetensors"), hash);
  EXPECT_EQ(known_sha256(directory.path() / "other.safetensors"), std::nullopt);
}

}  // namespace
}  // namespace quanthost
