#include "host/model/config.hpp"

#include <cmath>
#include <fstream>
#include <initializer_list>
#include <iterator>

namespace quanthost::model {
namespace {

// The first of `keys` that is there and not null. Families name the same thing differently.
const Json* first_of(const Json& config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = config.find(key);
    if (found != config.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

double as_number(const Json& value, std::string_view key) {
  if (!value.is_number())
    fail(ErrorKind::kValue, "config.json: '{}' is {}, a number is needed", key, value.dump());
  return value.get<double>();
}

std::int64_t as_integer(const Json& value, std::string_view key) {
  constexpr std::int64_t kLargest = std::int64_t{1}
                                    << 31;  // keeps every product of two sizes within 64 bits
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
      value.get<std::int64_t>() > kLargest) {
    fail(ErrorKind::kValue, "config.json: '{}' is {}, an integer from 0 to 2^31 is needed", key,
         value.dump());
  }
  return value.get<std::int64_t>();
}

std::int64_t integer_of(const Json& config, std::initializer_list<const char*> keys,
                        std::int64_t fallback) {
  const Json* value = first_of(config, keys);
  return value ? as_integer(*value, *keys.begin()) : fallback;
}

double number_of(const Json& config, std::initializer_list<const char*> keys, double fallback) {
  const Json* value = first_of(config, keys);
  return value ? as_number(*value, *keys.begin()) : fallback;
}

std::string text_of(const Json& config, std::initializer_list<const char*> keys,
                    const char* fallback) {
  const Json* value = first_of(config, keys);
  if (!value) return fallback;
  if (!value->is_string())
    fail(ErrorKind::kValue, "config.json: '{}' is {}, a string is needed", *keys.begin(),
         value->dump());
  return value->get<std::string>();
}

RopeConfig read_rope(const ModelConfig& config) {
  const Json& json = config.json;
  RopeConfig rope;
  rope.theta = number_of(json, {"rope_theta", "rotary_emb_base"}, 10000.0);
  const double fraction = config.family->structure == Structure::kGptNeox ? 0.25 : 1.0;
  rope.rotary_fraction = number_of(json, {"partial_rotary_factor", "rotary_pct"}, fraction);
  // transformers 5 keeps everything in rope_parameters; 4 has rope_scaling beside rope_theta.
  if (const Json* inner = first_of(json, {"rope_parameters", "rope_scaling"})) {
    if (!inner->is_object())
      fail(ErrorKind::kValue, "config.json: rope_parameters is {}, an object is needed",
           inner->dump());
    rope.type = text_of(*inner, {"rope_type", "type"}, "default");
    rope.theta = number_of(*inner, {"rope_theta"}, rope.theta);
    rope.factor = number_of(*inner, {"factor"}, 1.0);
    rope.low_freq_factor = number_of(*inner, {"low_freq_factor"}, 1.0);
    rope.high_freq_factor = number_of(*inner, {"high_freq_factor"}, 4.0);
    rope.original_max_positions = number_of(*inner, {"original_max_position_embeddings"}, 0.0);
    rope.rotary_fraction = number_of(*inner, {"partial_rotary_factor"}, rope.rotary_fraction);
  }
  if (rope.original_max_positions == 0.0)
    rope.original_max_positions = static_cast<double>(config.max_positions);
  return rope;
}

WindowRule window_rule(const ModelConfig& config) {
  const WindowRule rule = config.family->window;
  if (rule == WindowRule::kFromMaxWindowLayers && !config.flag("use_sliding_window", false))
    return WindowRule::kNone;
  return rule;
}

std::vector<std::int64_t> read_windows(const ModelConfig& config) {
  const WindowRule rule = window_rule(config);
  const std::int64_t window = rule == WindowRule::kNone ? 0 : config.integer("sliding_window", 0);
  const std::int64_t first = config.integer("max_window_layers", 28);
  const Json* types = first_of(config.json, {"layer_types"});
  if (types && (!types->is_array() || static_cast<std::int64_t>(types->size()) < config.layers)) {
    fail(ErrorKind::kValue, "config.json: layer_types needs one entry for each of the {} layers",
         config.layers);
  }
  std::vector<std::int64_t> windows;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    bool slides = rule == WindowRule::kAllLayers ||
                  (rule == WindowRule::kFromMaxWindowLayers && layer >= first) ||
                  (rule == WindowRule::kEvenLayers && layer % 2 == 0);
    if (types && rule != WindowRule::kAllLayers)
      slides = (*types)[static_cast<std::size_t>(layer)] == "sliding_attention";
    windows.push_back(slides ? window : 0);
  }
  return windows;
}

void need_positive(std::int64_t value, std::string_view key) {
  if (value <= 0) fail(ErrorKind::kValue, "config.json: '{}' is missing or zero", key);
}

void check_sizes(const ModelConfig& config) {
  need_positive(config.hidden_size, "hidden_size");
  need_positive(config.layers, "num_hidden_layers");
  need_positive(config.heads, "num_attention_heads");
  need_positive(config.kv_heads, "num_key_value_heads");
  need_positive(config.head_dim, "head_dim");
  if (config.family->structure != Structure::kVit) need_positive(config.vocab_size, "vocab_size");
  if (config.heads % config.kv_heads != 0) {
    fail(ErrorKind::kValue,
         "config.json: num_attention_heads {} is not a multiple of num_key_value_heads {}",
         config.heads, config.kv_heads);
  }
}

void read_sizes(ModelConfig& config) {
  const Json& json = config.json;
  config.vocab_size = integer_of(json, {"vocab_size"}, 0);
  config.hidden_size = integer_of(json, {"hidden_size", "n_embd"}, 0);
  config.intermediate_size =
      integer_of(json, {"intermediate_size", "ffn_dim", "n_inner"}, 4 * config.hidden_size);
  config.layers = integer_of(json, {"num_hidden_layers", "n_layer"}, 0);
  config.heads = integer_of(json, {"num_attention_heads", "n_head"}, 0);
  config.kv_heads = integer_of(json, {"num_key_value_heads"}, config.heads);
  config.head_dim =
      integer_of(json, {"head_dim"}, config.heads > 0 ? config.hidden_size / config.heads : 0);
  config.max_positions = integer_of(json, {"max_position_embeddings", "n_positions"}, 2048);
  check_sizes(config);
}

}  // namespace

bool ModelConfig::has_head() const {
  // Every class with a head ends in For… or LMHeadModel; a bare model ends in Model.
  return architecture.find("For") != std::string::npos ||
         architecture.find("LMHead") != std::string::npos;
}

std::int64_t ModelConfig::integer(std::string_view key, std::int64_t fallback) const {
  return integer_of(json, {std::string(key).c_str()}, fallback);
}

double ModelConfig::number(std::string_view key, double fallback) const {
  return number_of(json, {std::string(key).c_str()}, fallback);
}

bool ModelConfig::flag(std::string_view key, bool fallback) const {
  const Json* value = first_of(json, {std::string(key).c_str()});
  if (!value) return fallback;
  if (!value->is_boolean())
    fail(ErrorKind::kValue, "config.json: '{}' is {}, true or false is needed", key, value->dump());
  return value->get<bool>();
}

ModelConfig read_model_config(const Json& json) {
  if (!json.is_object()) fail(ErrorKind::kValue, "config.json: an object is needed");
  ModelConfig config;
  config.json = json;
  config.family = &family_traits(text_of(json, {"model_type"}, ""));
  const Json* classes = first_of(json, {"architectures"});
  if (classes && classes->is_array() && !classes->empty() && classes->front().is_string()) {
    config.architecture = classes->front().get<std::string>();
  } else {
    config.architecture = std::string(config.family->class_prefix) + "Model";
  }
  read_sizes(config);
  config.norm_eps = number_of(json, {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"}, 1e-5);
  config.activation =
      text_of(json, {"hidden_activation", "hidden_act", "activation_function"}, "silu");
  config.dtype = text_of(json, {"dtype", "torch_dtype"}, "");
  config.tied_embeddings = config.flag("tie_word_embeddings", config.family->tied_by_default);
  config.attention_bias =
      config.flag("attention_bias", config.family->structure == Structure::kGptNeox);
  config.mlp_bias = config.flag("mlp_bias", false);
  const double head_scalar = config.family->gemma ? config.number("query_pre_attn_scalar", 256.0)
                                                  : static_cast<double>(config.head_dim);
  config.attention_scale = 1.0 / std::sqrt(head_scalar);
  config.attention_softcap = config.number("attn_logit_softcapping", 0.0);
  config.logit_softcap = config.number("final_logit_softcapping", 0.0);
  config.window = read_windows(config);
  config.rope = read_rope(config);
  return config;
}

ModelConfig read_model_config_file(const std::filesystem::path& config_json) {
  std::ifstream file(config_json, std::ios::binary);
  if (!file) fail(ErrorKind::kOs, "{}: cannot be read", config_json.string());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return read_model_config(parse_json(text, config_json.string()));
}

}  // namespace quanthost::model
