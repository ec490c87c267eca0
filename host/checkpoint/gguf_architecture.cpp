#include "host/checkpoint/gguf_architecture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "host/base/error.hpp"
#include "host/checkpoint/gguf_rope.hpp"

namespace quanthost {
namespace {

// A family that ggml stores like llama. Adding one is adding a row.
struct Family {
  std::string_view gguf_name;
  std::string_view model_type;
  std::string_view class_name;
  bool interleaved_qk;  // ggml's "normal" rotary embedding: rows of q and k were reordered for it
  bool qkv_bias_is_fixed;  // q, k and v always have a bias, and config.json has no entry for it
  bool has_head_dim;       // config.json has an entry for it
  bool qk_norm;            // a norm over each head of q and k
};

constexpr Family kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", true, false, true, false},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false, true, false, false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false, false, true, true},
};

void refuse_part(const GgufMetadata& metadata) {
  const std::uint64_t parts = metadata.unsigned_number("split.count").value_or(1);
  if (parts <= 1) return;
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("the file is one of {} parts of a model", parts),
              "put them together first: llama-gguf-split --merge FIRST_PART.gguf WHOLE.gguf");
}

const Family& family_of(const GgufMetadata& metadata) {
  const std::string& name = metadata.required_text("general.architecture");
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.gguf_name == name) {
      if (metadata.unsigned_number(name + ".expert_count").value_or(0) == 0) return family;
      throw Error(ErrorKind::kNotImplemented,
                  fmt::format("GGUF files of {} with experts are not converted", name));
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.gguf_name);
  }
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("GGUF architecture \"{}\" is not converted", name),
              "architectures that are: " + known);
}

struct Sizes {
  std::int64_t layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary;
};

// Counts bounded far above any model, so that products of two of them cannot overflow.
std::int64_t count(const GgufMetadata& metadata, const std::string& key) {
  const std::uint64_t value = metadata.required_unsigned(key);
  if (value == 0 || value > std::uint64_t{1} << 30)
    fail(ErrorKind::kValue, "metadata {} is {}", key, value);
  return static_cast<std::int64_t>(value);
}

Sizes sizes_of(const GgufFile& file, const std::string& arch) {
  const GgufMetadata& metadata = file.metadata();
  Sizes sizes{};
  sizes.layers = count(metadata, arch + ".block_count");
  sizes.hidden = count(metadata, arch + ".embedding_length");
  sizes.intermediate = count(metadata, arch + ".feed_forward_length");
  sizes.heads = count(metadata, arch + ".attention.head_count");
  const std::string kv_key = arch + ".attention.head_count_kv";
  sizes.kv_heads = metadata.contains(kv_key) ? count(metadata, kv_key) : sizes.heads;
  sizes.head_dim = sizes.hidden / sizes.heads;
  for (const char* key : {".rope.dimension_count", ".attention.key_length"}) {
    if (metadata.contains(arch + key)) sizes.head_dim = count(metadata, arch + key);
  }
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->dimensions.size() != 2) {
    fail(ErrorKind::kKey, "tensor token_embd.weight is missing or has not two dimensions");
  }
  sizes.vocabulary = static_cast<std::int64_t>(embedding->dimensions[1]);
  return sizes;
}

// GGUF keeps fractions as float32: 1e-05 comes back as 9.999999747378752e-06. This is the shortest
// decimal that rounds to the same float32, which is what the model's authors wrote.
double shortest_decimal(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(value)).ptr;
  double shortest = value;
  std::from_chars(text, end, shortest);
  return shortest;
}

Json config_of(const GgufFile& file, const Family& family, const Sizes& sizes) {
  const GgufMetadata& metadata = file.metadata();
  const std::string arch(family.gguf_name);
  const auto epsilon = metadata.number(arch + ".attention.layer_norm_rms_epsilon");
  if (!epsilon)
    fail(ErrorKind::kKey, "metadata {}.attention.layer_norm_rms_epsilon is missing", arch);
  const double theta = metadata.number(arch + ".rope.freq_base").value_or(10000.0);
  Json config = {
      {"architectures", {family.class_name}},
      {"model_type", family.model_type},
      {"hidden_act", "silu"},
      {"hidden_size", sizes.hidden},
      {"intermediate_size", sizes.intermediate},
      {"num_hidden_layers", sizes.layers},
      {"num_attention_heads", sizes.heads},
      {"num_key_value_heads", sizes.kv_heads},
      {"max_position_embeddings", count(metadata, arch + ".context_length")},
      {"rms_norm_eps", shortest_decimal(*epsilon)},
      {"rope_theta", shortest_decimal(theta)},
      {"rope_scaling", rope_scaling_of(file, arch, theta, sizes.head_dim)},
      {"tie_word_embeddings", file.find("output.weight") == nullptr},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"use_cache", true},
      {"vocab_size", sizes.vocabulary},
  };
  if (family.has_head_dim) config["head_dim"] = sizes.head_dim;
  if (!family.qkv_bias_is_fixed)
    config["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
  if (family.model_type == "llama")
    config["mlp_bias"] = file.find("blk.0.ffn_gate.bias") != nullptr;
  if (!family.has_head_dim && sizes.head_dim * sizes.heads != sizes.hidden) {
    fail(ErrorKind::kNotImplemented,
         "{} with heads of {} is not converted: {} heads times {} is not {}", arch, sizes.head_dim,
         sizes.heads, sizes.head_dim, sizes.hidden);
  }
  return config;
}

class TensorMap {
 public:
  TensorMap(const GgufFile& file, const Family& family, const Sizes& sizes)
      : file_(file), family_(family), sizes_(sizes) {}

  std::vector<GgufMapping> build() && {
    add("token_embd.weight", "model.embed_tokens.weight", {sizes_.vocabulary, sizes_.hidden});
    for (std::int64_t layer = 0; layer < sizes_.layers; ++layer) add_layer(layer);
    add("output_norm.weight", "model.norm.weight", {sizes_.hidden});
    if (file_.find("output.weight"))
      add("output.weight", "lm_head.weight", {sizes_.vocabulary, sizes_.hidden});
    used_.insert(std::string(kRopeFactorsTensor));  // became part of config.json
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!used_.contains(tensor.name)) {
        fail(ErrorKind::kNotImplemented, "tensor {} is not one that a {} model has", tensor.name,
             family_.gguf_name);
      }
    }
    return std::move(mappings_);
  }

 private:
  void add_layer(std::int64_t layer) {
    const std::string from = fmt::format("blk.{}.", layer);
    const std::string to = fmt::format("model.layers.{}.", layer);
    const std::int64_t q = sizes_.heads * sizes_.head_dim;
    const std::int64_t kv = sizes_.kv_heads * sizes_.head_dim;
    const auto interleaved = [&](std::int64_t heads) { return family_.interleaved_qk ? heads : 0; };
    add(from + "attn_norm.weight", to + "input_layernorm.weight", {sizes_.hidden});
    add_linear(from + "attn_q", to + "self_attn.q_proj", q, sizes_.hidden,
               interleaved(sizes_.heads));
    add_linear(from + "attn_k", to + "self_attn.k_proj", kv, sizes_.hidden,
               interleaved(sizes_.kv_heads));
    add_linear(from + "attn_v", to + "self_attn.v_proj", kv, sizes_.hidden);
    add_linear(from + "attn_output", to + "self_attn.o_proj", sizes_.hidden, q);
    if (family_.qk_norm) {
      add(from + "attn_q_norm.weight", to + "self_attn.q_norm.weight", {sizes_.head_dim});
      add(from + "attn_k_norm.weight", to + "self_attn.k_norm.weight", {sizes_.head_dim});
    }
    add(from + "ffn_norm.weight", to + "post_attention_layernorm.weight", {sizes_.hidden});
    add_linear(from + "ffn_gate", to + "mlp.gate_proj", sizes_.intermediate, sizes_.hidden);
    add_linear(from + "ffn_up", to + "mlp.up_proj", sizes_.intermediate, sizes_.hidden);
    add_linear(from + "ffn_down", to + "mlp.down_proj", sizes_.hidden, sizes_.intermediate);
  }

  void add_linear(const std::string& from, const std::string& to, std::int64_t out, std::int64_t in,
                  std::int64_t interleaved_heads = 0) {
    add(from + ".weight", to + ".weight", {out, in}, interleaved_heads);
    if (file_.find(from + ".bias")) add(from + ".bias", to + ".bias", {out}, interleaved_heads);
  }

  void add(const std::string& from, const std::string& to, const Shape& shape,
           std::int64_t interleaved_heads = 0) {
    const GgufTensor* source = file_.find(from);
    if (source == nullptr)
      fail(ErrorKind::kKey, "tensor {} is missing, which is needed for {}", from, to);
    const Shape stored(source->dimensions.rbegin(), source->dimensions.rend());
    if (stored != shape) {
      fail(ErrorKind::kValue, "tensor {}: its shape is [{}], the metadata asks for [{}]", from,
           fmt::join(stored, ", "), fmt::join(shape, ", "));
    }
    if (interleaved_heads != 0 && shape[0] / interleaved_heads % 2 != 0) {
      fail(ErrorKind::kValue, "tensor {}: heads of {} rows cannot be split in halves", from,
           shape[0] / interleaved_heads);
    }
    if (interleaved_heads != 0 && shape.size() == 1 && info_of(source->type).block_elements != 1) {
      fail(ErrorKind::kNotImplemented, "tensor {}: a quantized bias cannot be reordered", from);
    }
    used_.insert(from);
    mappings_.push_back(
        {{to, Dtype::kF32, shape}, source, static_cast<std::uint64_t>(interleaved_heads)});
  }

  const GgufFile& file_;
  const Family& family_;
  const Sizes& sizes_;
  std::vector<GgufMapping> mappings_;
  std::set<std::string> used_;
};

}  // namespace

GgufModel describe_gguf_model(const GgufFile& file) {
  try {
    refuse_part(file.metadata());
    const Family& family = family_of(file.metadata());
    const Sizes sizes = sizes_of(file, std::string(family.gguf_name));
    return {config_of(file, family, sizes), TensorMap(file, family, sizes).build()};
  } catch (const Error& e) {
    throw e.within(file.path().string());
  }
}

}  // namespace quanthost
