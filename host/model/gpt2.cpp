// GPT-2: learned positions and Conv1D layers.
#include <ATen/ATen.h>

#include <cmath>

#include "host/model/decoder.hpp"

namespace quanthost::model {
namespace {

std::shared_ptr<LayerNorm> gpt2_norm(const ModelConfig& config, const at::TensorOptions& options) {
  return std::make_shared<LayerNorm>(config.hidden_size, config.norm_eps, true, true, options);
}

double attention_scale(const ModelConfig& config, std::int64_t layer) {
  double scale = config.flag("scale_attn_weights", true) ? config.attention_scale : 1.0;
  if (config.flag("scale_attn_by_inverse_layer_idx", false))
    scale /= static_cast<double>(layer + 1);
  return scale;
}

class Gpt2Attention : public Module {
 public:
  Gpt2Attention(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Module("GPT2Attention"), layer_(layer), shape_{config.heads,
                                                       config.heads,
                                                       config.head_dim,
                                                       attention_scale(config, layer),
                                                       0.0,
                                                       0} {
    const std::int64_t width = config.hidden_size;
    fused_ = add<Layer>("c_attn", std::make_shared<Conv1D>(width, 3 * width, options));
    output_ = add<Layer>("c_proj", std::make_shared<Conv1D>(width, width, options));
    add("attn_dropout", std::make_shared<Dropout>());
    add("resid_dropout", std::make_shared<Dropout>());
  }

  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden, [&](const at::Tensor& x) {
      const auto parts = (*fused_)(x).chunk(3, -1);
      const at::Tensor attended =
          attend(split_heads(parts[0], shape_.head_dim), split_heads(parts[1], shape_.head_dim),
                 split_heads(parts[2], shape_.head_dim), shape_, inputs, layer_);
      return (*output_)(attended);
    });
  }

 private:
  std::int64_t layer_;
  AttentionShape shape_;
  Slot<Layer> fused_, output_;
};

class Gpt2Mlp : public Layer {
 public:
  Gpt2Mlp(const ModelConfig& config, const at::TensorOptions& options) : Layer("GPT2MLP") {
    up_ = add<Layer>(
        "c_fc", std::make_shared<Conv1D>(config.hidden_size, config.intermediate_size, options));
    down_ = add<Layer>(
        "c_proj", std::make_shared<Conv1D>(config.intermediate_size, config.hidden_size, options));
    activation_ = add<Layer>("act", std::make_shared<Activation>(config.activation));
    add("dropout", std::make_shared<Dropout>());
  }
  at::Tensor forward(const at::Tensor& input) override {
    return (*down_)((*activation_)((*up_)(input)));
  }

 private:
  Slot<Layer> up_, down_, activation_;
};

class Gpt2Block : public Block {
 public:
  Gpt2Block(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Block("GPT2Block") {
    before_attention_ = add<Layer>("ln_1", gpt2_norm(config, options));
    attention_ = add("attn", std::make_shared<Gpt2Attention>(config, layer, options));
    before_mlp_ = add<Layer>("ln_2", gpt2_norm(config, options));
    mlp_ = add<Layer>("mlp", std::make_shared<Gpt2Mlp>(config, options));
  }

  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    const at::Tensor middle = (*attention_)((*before_attention_)(hidden), inputs) + hidden;
    return middle + (*mlp_)((*before_mlp_)(middle));
  }

 private:
  Slot<Layer> before_attention_, before_mlp_, mlp_;
  Slot<Gpt2Attention> attention_;
};

class Gpt2Backbone : public Backbone {
 public:
  Gpt2Backbone(const ModelConfig& config, const at::TensorOptions& options)
      : Backbone("GPT2Model") {
    tokens_ = add<Layer>(
        "wte", std::make_shared<Embedding>(config.vocab_size, config.hidden_size, options));
    positions_ = add<Layer>(
        "wpe", std::make_shared<Embedding>(config.max_positions, config.hidden_size, options));
    add("drop", std::make_shared<Dropout>());
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<Gpt2Block>(config, layer, options));
    }
    blocks_ = add("h", std::move(blocks));
    norm_ = add<Layer>("ln_f", gpt2_norm(config, options));
  }

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) override {
    return (*tokens_)(inputs.input_ids) + (*positions_)(position_ids);
  }
  ModuleList<Block>& blocks() override { return *blocks_; }
  at::Tensor finish(const at::Tensor& hidden) override { return (*norm_)(hidden); }

 private:
  Slot<Layer> tokens_, positions_, norm_;
  Slot<ModuleList<Block>> blocks_;
};

}  // namespace

std::unique_ptr<Model> build_gpt2(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<Gpt2Backbone>(config, options);
  return decoder_model(
      config, {"transformer", "h", "wte", "lm_head", "GPT2Block"}, backbone, backbone,
      std::make_shared<Linear>(config.hidden_size, config.vocab_size, false, options));
}

}  // namespace quanthost::model
