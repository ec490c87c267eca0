// GPT-NeoX: rotary on a part of each head, queries, keys and values interleaved by head, halves in
// parallel.
#include <ATen/ATen.h>

#include "host/model/decoder.hpp"

namespace quanthost::model {
namespace {

std::shared_ptr<LayerNorm> gpt_neox_norm(const ModelConfig& config,
                                         const at::TensorOptions& options) {
  return std::make_shared<LayerNorm>(config.hidden_size, config.norm_eps, true, true, options);
}

class NeoxAttention : public Module {
 public:
  NeoxAttention(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Module("GPTNeoXAttention"),
        layer_(layer),
        shape_{config.heads, config.heads, config.head_dim, config.attention_scale, 0.0, 0} {
    const std::int64_t width = config.hidden_size;
    fused_ = add<Layer>("query_key_value",
                        std::make_shared<Linear>(width, 3 * width, config.attention_bias, options));
    output_ =
        add<Layer>("dense", std::make_shared<Linear>(width, width, config.attention_bias, options));
  }

  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden, [&](const at::Tensor& x) {
      const auto parts = split_heads((*fused_)(x), 3 * shape_.head_dim).chunk(3, -1);
      const at::Tensor query = rotate(parts[0], inputs.cos, inputs.sin);
      const at::Tensor key = rotate(parts[1], inputs.cos, inputs.sin);
      return (*output_)(attend(query, key, parts[2], shape_, inputs, layer_));
    });
  }

 private:
  std::int64_t layer_;
  AttentionShape shape_;
  Slot<Layer> fused_, output_;
};

class NeoxMlp : public Layer {
 public:
  NeoxMlp(const ModelConfig& config, const at::TensorOptions& options) : Layer("GPTNeoXMLP") {
    up_ = add<Layer>(
        "dense_h_to_4h",
        std::make_shared<Linear>(config.hidden_size, config.intermediate_size, true, options));
    down_ = add<Layer>(
        "dense_4h_to_h",
        std::make_shared<Linear>(config.intermediate_size, config.hidden_size, true, options));
    activation_ = add<Layer>("act", std::make_shared<Activation>(config.activation));
  }
  at::Tensor forward(const at::Tensor& input) override {
    return (*down_)((*activation_)((*up_)(input)));
  }

 private:
  Slot<Layer> up_, down_, activation_;
};

class NeoxBlock : public Block {
 public:
  NeoxBlock(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Block("GPTNeoXLayer"), parallel_(config.flag("use_parallel_residual", true)) {
    before_attention_ = add<Layer>("input_layernorm", gpt_neox_norm(config, options));
    before_mlp_ = add<Layer>("post_attention_layernorm", gpt_neox_norm(config, options));
    add("post_attention_dropout", std::make_shared<Dropout>());
    add("post_mlp_dropout", std::make_shared<Dropout>());
    attention_ = add("attention", std::make_shared<NeoxAttention>(config, layer, options));
    mlp_ = add<Layer>("mlp", std::make_shared<NeoxMlp>(config, options));
  }

  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    const at::Tensor attended = (*attention_)((*before_attention_)(hidden), inputs);
    if (parallel_) return (*mlp_)((*before_mlp_)(hidden)) + attended + hidden;
    const at::Tensor middle = attended + hidden;
    return (*mlp_)((*before_mlp_)(middle)) + middle;
  }

 private:
  bool parallel_;  // both halves read the block's input
  Slot<Layer> before_attention_, before_mlp_, mlp_;
  Slot<NeoxAttention> attention_;
};

class NeoxBackbone : public RotaryBackbone {
 public:
  NeoxBackbone(const ModelConfig& config, const at::TensorOptions& options)
      : RotaryBackbone("GPTNeoXModel") {
    embedding_ = add<Layer>(
        "embed_in", std::make_shared<Embedding>(config.vocab_size, config.hidden_size, options));
    add("emb_dropout", std::make_shared<Dropout>());
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<NeoxBlock>(config, layer, options));
    }
    blocks_ = add("layers", std::move(blocks));
    norm_ = add<Layer>("final_layer_norm", gpt_neox_norm(config, options));
    rotary_ =
        add("rotary_emb", std::make_shared<RotaryEmbedding>(config, "GPTNeoXRotaryEmbedding"));
  }
};

}  // namespace

std::unique_ptr<Model> build_gpt_neox(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<NeoxBackbone>(config, options);
  return decoder_model(
      config, {"gpt_neox", "layers", "embed_in", "embed_out", "GPTNeoXLayer"}, backbone, backbone,
      std::make_shared<Linear>(config.hidden_size, config.vocab_size, false, options));
}

}  // namespace quanthost::model
