#include "host/checkpoint/gguf_convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "tests/base/temporary_directory.hpp"
#include "tests/checkpoint/gguf_bytes.hpp"

namespace quanthost {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using ::testing::HasSubstr;
using testing::read_bytes;
using testing::TemporaryDirectory;

std::vector<float> counting(std::size_t count, float first = 0) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

struct TinyModel {
  std::string architecture = "llama";
  std::string pre_tokenizer = "smollm";
  bool head = false;  // a tensor output.weight of its own
  bool qkv_bias = false;
  std::string left_out;  // a tensor that is not written
};

TinyModel of_kind(std::string_view architecture, std::string_view pre_tokenizer) {
  TinyModel model;
  model.architecture = architecture;
  model.pre_tokenizer = pre_tokenizer;
  return model;
}

TinyModel without(std::string_view tensor) {
  TinyModel model;
  model.left_out = tensor;
  return model;
}

// Two heads of four, one of them for k and v; hidden size 8, one layer, five tokens.
GgufBytes tiny_gguf(const TinyModel& model) {
  GgufBytes file;
  const std::string& arch = model.architecture;
  file.text("general.architecture", arch)
      .u32(arch + ".block_count", 1)
      .u32(arch + ".context_length", 64);
  file.u32(arch + ".embedding_length", 8).u32(arch + ".feed_forward_length", 3);
  file.u32(arch + ".attention.head_count", 2).u32(arch + ".attention.head_count_kv", 1);
  file.f32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f)
      .f32(arch + ".rope.freq_base", 100000.0f);
  file.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", model.pre_tokenizer);
  file.texts("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab", "<tool>"});
  file.i32s("tokenizer.ggml.token_type", {3, 1, 1, 1, 4}).texts("tokenizer.ggml.merges", {"a b"});
  file.u32("tokenizer.ggml.bos_token_id", 0).u32("tokenizer.ggml.eos_token_id", 0);
  file.text("tokenizer.chat_template", "{{ messages }}");
  const auto tensor = [&](std::string_view name, const std::vector<std::uint64_t>& dimensions) {
    if (name == model.left_out) return;
    const auto count = std::accumulate(dimensions.begin(), dimensions.end(), std::uint64_t{1},
                                       std::multiplies<>());
    file.f32_tensor(name, dimensions, counting(count));
  };
  tensor("token_embd.weight", {8, 5});
  tensor("output_norm.weight", {8});
  tensor("blk.0.attn_norm.weight", {8});
  tensor("blk.0.ffn_norm.weight", {8});
  tensor("blk.0.attn_q.weight", {8, 8});
  tensor("blk.0.attn_k.weight", {8, 4});
  tensor("blk.0.attn_v.weight", {8, 4});
  tensor("blk.0.attn_output.weight", {8, 8});
  tensor("blk.0.ffn_gate.weight", {8, 3});
  tensor("blk.0.ffn_up.weight", {8, 3});
  tensor("blk.0.ffn_down.weight", {3, 8});
  if (model.qkv_bias) {
    tensor("blk.0.attn_q.bias", {8});
    tensor("blk.0.attn_k.bias", {4});
    tensor("blk.0.attn_v.bias", {4});
  }
  if (model.head) tensor("output.weight", {8, 5});
  return file;
}

struct Converted {
  TemporaryDirectory root;
  std::filesystem::path directory = root / "out";

  explicit Converted(const GgufBytes& file, Dtype dtype = Dtype::kF32) {
    GgufConvertOptions options;
    options.dtype = dtype;
    convert_gguf(root.write("tiny.gguf", file.build()), directory, options);
  }
  Json json(std::string_view name) const { return parse_json(read_bytes(directory / name), name); }
  std::vector<float> values(std::string_view name) const {
    const Checkpoint checkpoint = Checkpoint::open(directory);
    const auto view = checkpoint.at(name).view();
    std::vector<float> values(view.size() / sizeof(float));
    std::memcpy(values.data(), view.data(), view.size());
    return values;
  }
};

std::string refusal(const GgufBytes& file) {
  try {
    Converted converted(file);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// First element of each row of 8.
std::vector<int> rows(const std::vector<float>& values) {
  std::vector<int> rows;
  for (std::size_t i = 0; i < values.size(); i += 8)
    rows.push_back(static_cast<int>(values[i]) / 8);
  return rows;
}

TEST(ConvertGguf, WritesACheckpointThatOpens) {
  const Converted converted(tiny_gguf({}));
  const Checkpoint checkpoint = Checkpoint::open(converted.directory);
  EXPECT_EQ(checkpoint.tensors().size(), 11u);
  EXPECT_EQ(checkpoint.at("model.layers.0.mlp.down_proj.weight").shape(), (Shape{8, 3}));
  EXPECT_EQ(checkpoint.config_dtype(), Dtype::kF32);
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  EXPECT_EQ(converted.values("model.norm.weight"), counting(8));
}

TEST(ConvertGguf, PutsInterleavedRowsOfLlamaBackInHalves) {
  const Converted converted(tiny_gguf({}));
  EXPECT_THAT(rows(converted.values("model.layers.0.self_attn.q_proj.weight")),
              ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(rows(converted.values("model.layers.0.self_attn.k_proj.weight")),
              ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(rows(converted.values("model.layers.0.self_attn.v_proj.weight")),
              ElementsAre(0, 1, 2, 3));
}

TEST(ConvertGguf, LeavesTheRowsOfQwen2AndKeepsItsBiases) {
  TinyModel model = of_kind("qwen2", "qwen2");
  model.head = model.qkv_bias = true;
  const Converted converted(tiny_gguf(model));
  EXPECT_THAT(rows(converted.values("model.layers.0.self_attn.q_proj.weight")),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(converted.values("model.layers.0.self_attn.q_proj.bias"), counting(8));
  const Json config = converted.json("config.json");
  EXPECT_EQ(config["architectures"], Json({"Qwen2ForCausalLM"}));
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_FALSE(config.contains("attention_bias"))
      << "Qwen2 has no such entry: q, k and v always have a bias";
}

TEST(ConvertGguf, WritesTheConfigInTheAuthorsNumbers) {
  const Json config = Converted(tiny_gguf({}), Dtype::kBF16).json("config.json");
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["rope_theta"], 100000.0);
  EXPECT_EQ(config["head_dim"], 4);
  EXPECT_EQ(config["num_key_value_heads"], 1);
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_EQ(config["eos_token_id"], 0);
}

TEST(ConvertGguf, SplitsDigitsAsSmollmDoes) {
  const Json tokenizer = Converted(tiny_gguf({})).json("tokenizer.json");
  EXPECT_EQ(tokenizer["pre_tokenizer"]["pretokenizers"][0],
            Json({{"type", "Digits"}, {"individual_digits", true}}));
  EXPECT_EQ(tokenizer["model"]["vocab"]["ab"], 3);
  EXPECT_EQ(tokenizer["model"]["merges"], Json::parse(R"([["a","b"]])"));
  EXPECT_EQ(tokenizer["model"]["ignore_merges"], false);
}

TEST(ConvertGguf, MarksControlTokensAsSpecialAndUserTokensAsNot) {
  const Json added = Converted(tiny_gguf({})).json("tokenizer.json")["added_tokens"];
  ASSERT_EQ(added.size(), 2u);
  EXPECT_EQ(added[0]["special"], true);
  EXPECT_EQ(added[1]["content"], "<tool>");
  EXPECT_EQ(added[1]["special"], false);
}

TEST(ConvertGguf, PutsTheBeginTokenFirstForLlama3UnlessTheFileSaysNo) {
  GgufBytes file = tiny_gguf(of_kind("llama", "llama-bpe"));
  const Json tokenizer = Converted(file).json("tokenizer.json");
  EXPECT_EQ(tokenizer["post_processor"]["processors"][1]["single"][0]["SpecialToken"]["id"],
            "<|end|>");
  EXPECT_EQ(tokenizer["model"]["ignore_merges"], true);
  file.boolean("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(Converted(file).json("tokenizer.json")["post_processor"]["type"], "ByteLevel");
}

TEST(ConvertGguf, KeepsTheChatTemplateAndAllEndTokens) {
  GgufBytes file = tiny_gguf({});
  file.u32("tokenizer.ggml.eot_token_id", 4);
  const Converted converted(file);
  EXPECT_EQ(converted.json("tokenizer_config.json")["chat_template"], "{{ messages }}");
  EXPECT_EQ(converted.json("generation_config.json")["eos_token_id"], Json({0, 4}));
}

TEST(ConvertGguf, ReadsLlama3sFrequencyFactors) {
  GgufBytes file = tiny_gguf({});
  // theta 100000 and heads of 4: frequencies 1 and 10^-2.5, whose wavelengths 6 and 1987 are both
  // below 8192 / 4.
  file.f32_tensor("rope_freqs.weight", {2}, {1.0f, 1.0f});
  EXPECT_EQ(Converted(file).json("config.json")["rope_scaling"]["rope_type"], "llama3");
  GgufBytes other = tiny_gguf({});
  other.f32_tensor("rope_freqs.weight", {2}, {1.0f, 3.0f});
  EXPECT_THAT(refusal(other), HasSubstr("its factors are not those of Llama 3"));
}

TEST(ConvertGguf, NamesTheTensorThatIsMissingUnknownOrOfAnotherShape) {
  EXPECT_THAT(refusal(tiny_gguf(without("blk.0.ffn_up.weight"))),
              HasSubstr("tensor blk.0.ffn_up.weight is missing"));
  EXPECT_THAT(refusal(tiny_gguf({}).f32_tensor("blk.0.ssm_a", {1}, {1})),
              HasSubstr("blk.0.ssm_a is not one that"));
  GgufBytes file = tiny_gguf(without("blk.0.ffn_up.weight"));
  EXPECT_THAT(refusal(file.f32_tensor("blk.0.ffn_up.weight", {3, 8}, counting(24))),
              HasSubstr("its shape is [8, 3], the metadata asks for [3, 8]"));
}

TEST(ConvertGguf, SaysWhatItCannotConvert) {
  EXPECT_THAT(refusal(tiny_gguf(of_kind("mamba", "smollm"))),
              HasSubstr("architectures that are: llama, qwen2"));
  EXPECT_THAT(refusal(tiny_gguf(of_kind("llama", "bloom"))),
              HasSubstr("the pre-tokenizer \"bloom\" is not converted"));
  EXPECT_THAT(refusal(tiny_gguf({}).u32("llama.expert_count", 8)),
              HasSubstr("with experts are not converted"));
  EXPECT_THAT(refusal(tiny_gguf({}).u32("split.count", 3)), HasSubstr("one of 3 parts"));
  GgufConvertOptions options;
  options.dtype = Dtype::kF16;
  EXPECT_THROW(convert_gguf("any.gguf", "out", options), Error);
}

TEST(ConvertGguf, LeavesNothingBehindWhenCancelled) {
  TemporaryDirectory root;
  const auto file = root.write("tiny.gguf", tiny_gguf({}).build());
  EXPECT_THROW(convert_gguf(file, root / "out", {},
                            [](std::uint64_t done, std::uint64_t) { return done == 0; }),
               Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root.path()), {}), 1);
}

}  // namespace
}  // namespace quanthost
