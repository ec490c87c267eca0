// What an architecture needs to know, read from config.json: one struct for all families.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost::model {

// Families that share a structure differ only in their row of the table in families.cpp.
enum class Structure { kLlama, kGptNeox, kGpt2, kOpt, kBert, kVit };

// Which decoder layers look back only `sliding_window` tokens, when config.json does not say it
// layer by layer.
enum class WindowRule { kNone, kAllLayers, kFromMaxWindowLayers, kEvenLayers };

struct FamilyTraits {
  std::string_view model_type;    // of config.json
  std::string_view class_prefix;  // "Llama" of "LlamaDecoderLayer"
  Structure structure = Structure::kLlama;
  bool tied_by_default = false;  // when config.json has no tie_word_embeddings
  // What follows is read by the llama structure alone.
  bool qkv_bias = false;           // whatever config.json says
  bool query_key_norm = false;     // a norm over each head's query and key
  bool fused_projections = false;  // qkv_proj and gate_up_proj
  bool experts = false;            // block_sparse_moe in the place of mlp
  bool gemma = false;              // norms around both halves, 1+weight norms, scaled embeddings
  WindowRule window = WindowRule::kNone;
};

// Throws kNotImplemented, naming the families there are.
const FamilyTraits& family_traits(std::string_view model_type);
std::vector<std::string_view> supported_families();

struct RopeConfig {
  std::string type = "default";  // default, linear, dynamic, llama3
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double original_max_positions = 0.0;
  double rotary_fraction = 1.0;  // of head_dim
};

struct ModelConfig {
  const FamilyTraits* family = nullptr;
  std::string architecture;  // class name, e.g. "LlamaForCausalLM"
  Json json;                 // config.json as it was read

  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;
  double norm_eps = 1e-5;
  std::string activation;
  std::string dtype;  // "bfloat16"; empty when config.json does not say
  bool tied_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  double attention_scale = 0.0;
  double attention_softcap = 0.0;  // 0: none
  double logit_softcap = 0.0;
  std::vector<std::int64_t> window;  // a layer: tokens it looks back, itself included; 0: all
  RopeConfig rope;

  bool has_head() const;  // false for "LlamaModel": forward gives the last hidden state
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  double number(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
};

// Reads the keys of transformers 4 and 5 alike. Throws kValue or kNotImplemented and names the key.
ModelConfig read_model_config(const Json& config);
ModelConfig read_model_config_file(const std::filesystem::path& config_json);

}  // namespace quanthost::model
