// What decoders have in common: where their parts lie in the tree, and the backbone of those that
// know positions by rotation alone.
#pragma once

#include "host/model/architectures.hpp"

namespace quanthost::model {

// Names within the model without its head; with one, all but the head's lie below `prefix`.
struct DecoderNames {
  std::string prefix, blocks, input_embeddings, head, block_class;
};

// `base` is the model without its head, and holds `backbone` or is it. `head` is left out when
// config.json names an architecture without one.
std::unique_ptr<Model> decoder_model(const ModelConfig& config, const DecoderNames& names,
                                     std::shared_ptr<Module> base,
                                     std::shared_ptr<Backbone> backbone,
                                     std::shared_ptr<Layer> head);

// Embedding, blocks, norm. The constructor of an architecture adds them under its names.
class RotaryBackbone : public Backbone {
 public:
  using Backbone::Backbone;

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) override;
  ModuleList<Block>& blocks() override { return *blocks_; }
  at::Tensor finish(const at::Tensor& hidden) override { return (*norm_)(hidden); }
  RotaryEmbedding* rotary() override { return &*rotary_; }

 protected:
  Slot<Layer> embedding_, norm_;
  Slot<ModuleList<Block>> blocks_;
  Slot<RotaryEmbedding> rotary_;
};

}  // namespace quanthost::model
