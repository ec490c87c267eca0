// What BERT and ViT share: attention in both directions and the first half of the feed-forward
// network.
#pragma once

#include "host/model/attention.hpp"
#include "host/model/layers.hpp"

namespace quanthost::model {

class EncoderAttention : public Module {
 public:
  EncoderAttention(std::string class_name, const ModelConfig& config, bool bias,
                   const at::TensorOptions& options);
  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs);

 private:
  AttentionShape shape_;
  Slot<Layer> query_, key_, value_;
};

class EncoderIntermediate : public Layer {
 public:
  EncoderIntermediate(std::string class_name, const ModelConfig& config,
                      const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override { return (*activation_)((*dense_)(input)); }

 private:
  Slot<Layer> dense_, activation_;
};

// Looks at the first token alone; part of the tree and of checkpoints, not of the last hidden
// state.
class EncoderPooler : public Layer {
 public:
  EncoderPooler(std::string class_name, std::int64_t width, std::int64_t pooled,
                const std::string& activation, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& hidden) override {
    return (*activation_)((*dense_)(hidden.select(1, 0)));
  }

 private:
  Slot<Layer> dense_, activation_;
};

}  // namespace quanthost::model
