// Llama and its variations: mistral, mixtral, qwen2, qwen3, gemma2 and phi3 differ in their row of
// families.cpp alone.
#include <ATen/ATen.h>

#include <cmath>
#include <typeinfo>

#include "host/model/cpu/ops.hpp"
#include "host/model/decoder.hpp"
#include "host/model/experts.hpp"
#include "host/model/known_value.hpp"

namespace quanthost::model {
namespace {

std::string class_of(const ModelConfig& config, const char* suffix) {
  return std::string(config.family->class_prefix) + suffix;
}

std::shared_ptr<Layer> linear(std::int64_t in, std::int64_t out, bool bias,
                              const at::TensorOptions& options) {
  return std::make_shared<Linear>(in, out, bias, options);
}

std::shared_ptr<Layer> norm(const ModelConfig& config, std::int64_t width,
                            const at::TensorOptions& options) {
  const auto scale =
      config.family->gemma ? RMSNorm::Scale::kOnePlusWeight : RMSNorm::Scale::kWeight;
  return std::make_shared<RMSNorm>(width, config.norm_eps, scale, class_of(config, "RMSNorm"),
                                   options);
}

// The weights of layers that one kernel may compute together; empty when a layer was replaced, is
// watched by a hook, or the input is not for the kernels.
std::vector<cpu::Weights> joint_weights(const at::Tensor& input,
                                        std::initializer_list<Layer*> layers) {
  std::vector<cpu::Weights> weights;
  for (Layer* layer : layers) {
    if (typeid(*layer) != typeid(Linear) || layer->hooked()) return {};
    const auto& plain = static_cast<const Linear&>(*layer);
    if (!cpu::few_rows(input, plain.weight())) return {};
    weights.push_back({plain.weight(), plain.bias()});
  }
  return weights;
}

class LlamaAttention : public Module {
 public:
  LlamaAttention(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Module(class_of(config, "Attention")),
        layer_(layer),
        shape_{config.heads,
               config.kv_heads,
               config.head_dim,
               config.attention_scale,
               config.attention_softcap,
               config.window[static_cast<std::size_t>(layer)]} {
    const std::int64_t query_width = config.heads * config.head_dim;
    const std::int64_t key_width = config.kv_heads * config.head_dim;
    const bool bias = config.family->qkv_bias || config.attention_bias;
    if (config.family->fused_projections) {
      output_ =
          add("o_proj", linear(query_width, config.hidden_size, config.attention_bias, options));
      fused_ =
          add("qkv_proj", linear(config.hidden_size, query_width + 2 * key_width, bias, options));
      return;
    }
    query_ = add("q_proj", linear(config.hidden_size, query_width, bias, options));
    key_ = add("k_proj", linear(config.hidden_size, key_width, bias, options));
    value_ = add("v_proj", linear(config.hidden_size, key_width, bias, options));
    output_ =
        add("o_proj", linear(query_width, config.hidden_size, config.attention_bias, options));
    if (config.family->query_key_norm) {
      query_norm_ = add("q_norm", norm(config, config.head_dim, options));
      key_norm_ = add("k_norm", norm(config, config.head_dim, options));
    }
  }

  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden, [&](const at::Tensor& x) { return forward(x, inputs); });
  }

 private:
  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) {
    if (!inputs.cache) {
      const at::Tensor known = output_without_input(*output_);
      if (known.defined()) return known;
    }
    auto [query, key, value] = project(hidden);
    if (inputs.step) return step(query, key, value, inputs);
    return (*output_)(attend(rotated(query_norm_, query, inputs), rotated(key_norm_, key, inputs),
                             split_heads(value, shape_.head_dim), shape_, inputs, layer_));
  }

  at::Tensor step(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  const BlockInputs& inputs) {
    const auto normed = [&](const Slot<Layer>& head_norm, const at::Tensor& states) {
      if (!head_norm) return states.contiguous();
      return (*head_norm)(states.view({states.size(0), 1, -1, shape_.head_dim})).flatten(2);
    };
    at::Tensor rotated = normed(query_norm_, query);
    return (*output_)(cpu::attention_step(rotated, normed(key_norm_, key), value.contiguous(),
                                          inputs.cos, inputs.sin, shape_, *inputs.cache, layer_));
  }

  std::tuple<at::Tensor, at::Tensor, at::Tensor> project(const at::Tensor& hidden) {
    if (!fused_) {
      const auto weights = joint_weights(hidden, {&*query_, &*key_, &*value_});
      if (weights.empty()) return {(*query_)(hidden), (*key_)(hidden), (*value_)(hidden)};
      const auto states = cpu::linear(hidden, weights);
      return {states[0], states[1], states[2]};
    }
    const std::int64_t key_width = shape_.kv_heads * shape_.head_dim;
    const auto parts = (*fused_)(hidden).split_with_sizes(
        {shape_.heads * shape_.head_dim, key_width, key_width}, -1);
    return {parts[0], parts[1], parts[2]};
  }

  // Split into heads and turned; Qwen3 norms each head before.
  at::Tensor rotated(const Slot<Layer>& head_norm, const at::Tensor& states,
                     const BlockInputs& inputs) const {
    at::Tensor flat = states;
    if (head_norm) {
      const auto heads = states.view({states.size(0), states.size(1), -1, shape_.head_dim});
      flat = (*head_norm)(heads).flatten(2);
    }
    if (cpu::fits(flat) && cpu::fits(inputs.cos) && inputs.cos.scalar_type() == flat.scalar_type())
      return split_heads(cpu::rotate(flat, inputs.cos, inputs.sin, shape_.head_dim),
                         shape_.head_dim);
    return rotate(split_heads(flat, shape_.head_dim), inputs.cos, inputs.sin);
  }

  std::int64_t layer_;
  AttentionShape shape_;
  Slot<Layer> query_, key_, value_, output_, fused_, query_norm_, key_norm_;
};

class LlamaMlp : public Layer {
 public:
  LlamaMlp(const ModelConfig& config, const at::TensorOptions& options)
      : Layer(class_of(config, "MLP")) {
    const std::int64_t width = config.hidden_size;
    const std::int64_t inner = config.intermediate_size;
    const bool bias = config.mlp_bias;
    if (config.family->fused_projections) {
      fused_ = add("gate_up_proj", linear(width, 2 * inner, bias, options));
    } else {
      gate_ = add("gate_proj", linear(width, inner, bias, options));
      up_ = add("up_proj", linear(width, inner, bias, options));
    }
    down_ = add("down_proj", linear(inner, width, bias, options));
    activation_ =
        add(fused_ ? "activation_fn" : "act_fn", std::make_shared<Activation>(config.activation));
  }

  at::Tensor forward(const at::Tensor& input) override {
    if (const at::Tensor known = output_without_input(*down_); known.defined()) return known;
    const at::Tensor gated = gated_at_once(input);
    if (gated.defined()) return (*down_)(gated);
    if (!fused_) return (*down_)((*activation_)((*gate_)(input)) * (*up_)(input));
    const auto parts = (*fused_)(input).chunk(2, -1);
    return (*down_)(parts[1] * (*activation_)(parts[0]));
  }

 private:
  // Both projections, the activation and the product in one kernel; undefined where that cannot be.
  at::Tensor gated_at_once(const at::Tensor& input) {
    if (!activation_->is_silu() || activation_->hooked()) return {};
    const auto weights =
        fused_ ? joint_weights(input, {&*fused_}) : joint_weights(input, {&*gate_, &*up_});
    if (weights.empty() || weights.front().bias.defined()) return {};
    if (!fused_) {
      if (weights[0].weight.scalar_type() != weights[1].weight.scalar_type()) return {};
      return cpu::gated_linear(input, weights[0].weight, weights[1].weight);
    }
    const auto halves = weights[0].weight.chunk(2, 0);
    return cpu::gated_linear(input, halves[0], halves[1]);
  }

  Slot<Layer> gate_, up_, down_, fused_;
  Slot<Activation> activation_;
};

class LlamaBlock : public Block {
 public:
  LlamaBlock(const ModelConfig& config, std::int64_t layer, const at::TensorOptions& options)
      : Block(class_of(config, "DecoderLayer")) {
    attention_ = add("self_attn", std::make_shared<LlamaAttention>(config, layer, options));
    if (config.family->experts) {
      mlp_ = add<Layer>("block_sparse_moe", std::make_shared<SparseExperts>(config, options));
    } else {
      mlp_ = add<Layer>("mlp", std::make_shared<LlamaMlp>(config, options));
    }
    before_attention_ = add("input_layernorm", norm(config, config.hidden_size, options));
    const auto after = add("post_attention_layernorm", norm(config, config.hidden_size, options));
    if (config.family->gemma) {
      after_attention_ = after;
      before_mlp_ = add("pre_feedforward_layernorm", norm(config, config.hidden_size, options));
      after_mlp_ = add("post_feedforward_layernorm", norm(config, config.hidden_size, options));
    } else {
      before_mlp_ = after;  // the name notwithstanding
    }
    if (config.family->fused_projections) {
      add("resid_attn_dropout", std::make_shared<Dropout>());
      add("resid_mlp_dropout", std::make_shared<Dropout>());
    }
  }

  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    const at::Tensor attended =
        normed(after_attention_, (*attention_)((*before_attention_)(hidden), inputs));
    const auto [middle, mlp_input] = add_and_norm(hidden, attended);
    return middle + normed(after_mlp_, (*mlp_)(mlp_input));
  }

 private:
  static at::Tensor normed(const Slot<Layer>& norm, const at::Tensor& states) {
    return norm ? (*norm)(states) : states;
  }

  std::pair<at::Tensor, at::Tensor> add_and_norm(const at::Tensor& hidden,
                                                 const at::Tensor& attended) {
    Layer& norm = *before_mlp_;
    if (typeid(norm) == typeid(RMSNorm) && !norm.hooked() && cpu::fits(hidden) &&
        cpu::fits(attended)) {
      const cpu::NormSpec spec = static_cast<const RMSNorm&>(norm).spec();
      if (spec.weight.scalar_type() == hidden.scalar_type())
        return cpu::add_rms_norm(hidden, attended, spec);
    }
    const at::Tensor middle = hidden + attended;
    return {middle, norm(middle)};
  }

  Slot<LlamaAttention> attention_;
  Slot<Layer> mlp_, before_attention_, after_attention_, before_mlp_, after_mlp_;
};

// Gemma scales what it embeds by the square root of the width, rounded to the dtype of the weight.
class ScaledEmbedding : public Embedding {
 public:
  ScaledEmbedding(const ModelConfig& config, const at::TensorOptions& options)
      : Embedding(config.vocab_size, config.hidden_size, options,
                  class_of(config, "TextScaledWordEmbedding")),
        scale_(at::tensor(std::sqrt(static_cast<double>(config.hidden_size)), at::kFloat)) {
    add_transient_buffer("embed_scale", scale_);
  }
  at::Tensor forward(const at::Tensor& ids) override {
    const at::Tensor rows = Embedding::forward(ids);
    return rows * scale_.to(rows.options());
  }

 private:
  at::Tensor scale_;  // the same tensor as the buffer
};

class LlamaBackbone : public RotaryBackbone {
 public:
  LlamaBackbone(const ModelConfig& config, const at::TensorOptions& options)
      : RotaryBackbone(class_of(config, "Model")) {
    std::shared_ptr<Layer> embedding;
    if (config.family->gemma) {
      embedding = std::make_shared<ScaledEmbedding>(config, options);
    } else {
      embedding = std::make_shared<Embedding>(config.vocab_size, config.hidden_size, options);
    }
    embedding_ = add("embed_tokens", std::move(embedding));
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<LlamaBlock>(config, layer, options));
    }
    blocks_ = add("layers", std::move(blocks));
    norm_ = add("norm", norm(config, config.hidden_size, options));
    rotary_ = add("rotary_emb",
                  std::make_shared<RotaryEmbedding>(config, class_of(config, "RotaryEmbedding")));
  }
};

}  // namespace

std::unique_ptr<Model> build_llama(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<LlamaBackbone>(config, options);
  return decoder_model(
      config, {"model", "layers", "embed_tokens", "lm_head", class_of(config, "DecoderLayer")},
      backbone, backbone, linear(config.hidden_size, config.vocab_size, false, options));
}

}  // namespace quanthost::model
