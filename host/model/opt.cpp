// OPT: learned positions counted past the padding, norms before or after each half.
#include <ATen/ATen.h>

#include "host/model/decoder.hpp"

namespace quanthost::model {
namespace {

constexpr double kNormEps = 1e-5;            // fixed; config.json has no key for it
constexpr std::int64_t kPositionOffset = 2;  // the first rows of the position table are unused

std::shared_ptr<Layer> opt_norm(const ModelConfig& config, const at::TensorOptions& options) {
  const bool affine = config.flag("layer_norm_elementwise_affine", true);
  return std::make_shared<LayerNorm>(config.hidden_size, kNormEps, affine, affine, options);
}

std::shared_ptr<Layer> opt_linear(std::int64_t in, std::int64_t out, bool bias,
                                  const at::TensorOptions& options) {
  return std::make_shared<Linear>(in, out, bias, options);
}

class OptAttention : public Module {
 public:
  OptAttention(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Module("OPTAttention"),
        layer_(layer),
        shape_{config.heads, config.heads, config.head_dim, 1.0, 0.0, 0},
        query_scale_(config.attention_scale) {
    const std::int64_t width = config.hidden_size;
    const bool bias = config.flag("enable_bias", true);
    key_ = add("k_proj", opt_linear(width, width, bias, options));
    value_ = add("v_proj", opt_linear(width, width, bias, options));
    query_ = add("q_proj", opt_linear(width, width, bias, options));
    output_ = add("out_proj", opt_linear(width, width, bias, options));
  }

  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden, [&](const at::Tensor& x) {
      const at::Tensor query = split_heads((*query_)(x)*query_scale_, shape_.head_dim);
      const at::Tensor key = split_heads((*key_)(x), shape_.head_dim);
      const at::Tensor value = split_heads((*value_)(x), shape_.head_dim);
      return (*output_)(attend(query, key, value, shape_, inputs, layer_));
    });
  }

 private:
  std::int64_t layer_;
  AttentionShape shape_;
  double query_scale_;  // applied to the query, before it is rounded, instead of to the scores
  Slot<Layer> query_, key_, value_, output_;
};

class OptBlock : public Block {
 public:
  OptBlock(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Block("OPTDecoderLayer"), norm_first_(config.flag("do_layer_norm_before", true)) {
    const bool bias = config.flag("enable_bias", true);
    attention_ = add("self_attn", std::make_shared<OptAttention>(config, layer, options));
    activation_ = add<Layer>("activation_fn", std::make_shared<Activation>(config.activation));
    attention_norm_ = add("self_attn_layer_norm", opt_norm(config, options));
    up_ = add("fc1", opt_linear(config.hidden_size, config.intermediate_size, bias, options));
    down_ = add("fc2", opt_linear(config.intermediate_size, config.hidden_size, bias, options));
    mlp_norm_ = add("final_layer_norm", opt_norm(config, options));
  }

  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    if (norm_first_) {
      const at::Tensor middle = hidden + (*attention_)((*attention_norm_)(hidden), inputs);
      return middle + mlp((*mlp_norm_)(middle));
    }
    const at::Tensor middle = (*attention_norm_)(hidden + (*attention_)(hidden, inputs));
    return (*mlp_norm_)(middle + mlp(middle));
  }

 private:
  at::Tensor mlp(const at::Tensor& input) const { return (*down_)((*activation_)((*up_)(input))); }

  bool norm_first_;
  Slot<OptAttention> attention_;
  Slot<Layer> activation_, attention_norm_, up_, down_, mlp_norm_;
};

class OptBackbone : public Backbone {
 public:
  OptBackbone(const ModelConfig& config, const at::TensorOptions& options)
      : Backbone("OPTDecoder") {
    const std::int64_t embedded = config.integer("word_embed_proj_dim", config.hidden_size);
    const std::int64_t width = config.hidden_size;
    tokens_ = add<Layer>("embed_tokens",
                         std::make_shared<Embedding>(config.vocab_size, embedded, options));
    positions_ = add<Layer>("embed_positions", std::make_shared<Embedding>(
                                                   config.max_positions + kPositionOffset, width,
                                                   options, "OPTLearnedPositionalEmbedding"));
    if (embedded != width) {
      project_out_ = add("project_out", opt_linear(width, embedded, false, options));
      project_in_ = add("project_in", opt_linear(embedded, width, false, options));
    }
    if (config.flag("do_layer_norm_before", true) &&
        !config.flag("_remove_final_layer_norm", false)) {
      norm_ = add("final_layer_norm", opt_norm(config, options));
    }
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<OptBlock>(config, layer, options));
    }
    blocks_ = add("layers", std::move(blocks));
  }

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) override {
    const at::Tensor tokens = (*tokens_)(inputs.input_ids);
    return (project_in_ ? (*project_in_)(tokens) : tokens) +
           (*positions_)(position_ids + kPositionOffset);
  }
  ModuleList<Block>& blocks() override { return *blocks_; }
  at::Tensor finish(const at::Tensor& hidden) override {
    const at::Tensor normed = norm_ ? (*norm_)(hidden) : hidden;
    return project_out_ ? (*project_out_)(normed) : normed;
  }
  bool positions_skip_padding() const override { return true; }

 private:
  Slot<Layer> tokens_, positions_, project_in_, project_out_, norm_;
  Slot<ModuleList<Block>> blocks_;
};

}  // namespace

std::unique_ptr<Model> build_opt(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<OptBackbone>(config, options);
  auto base = std::make_shared<Holder>("OPTModel", "decoder", backbone);
  const std::int64_t embedded = config.integer("word_embed_proj_dim", config.hidden_size);
  return decoder_model(
      config, {"model", "decoder.layers", "decoder.embed_tokens", "lm_head", "OPTDecoderLayer"},
      base, backbone, opt_linear(embedded, config.vocab_size, false, options));
}

}  // namespace quanthost::model
