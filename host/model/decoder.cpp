#include "host/model/decoder.hpp"

namespace quanthost::model {

std::unique_ptr<Model> decoder_model(const ModelConfig& config, const DecoderNames& names,
                                     std::shared_ptr<Module> base,
                                     std::shared_ptr<Backbone> backbone,
                                     std::shared_ptr<Layer> head) {
  ModelInfo info{.base_prefix = names.prefix,
                 .blocks = names.blocks,
                 .input_embeddings = names.input_embeddings};
  info.no_split_classes = {names.block_class};
  if (!config.has_head())
    return std::make_unique<Model>(config, info, base, backbone, Slot<Layer>());
  info.blocks = names.prefix + "." + names.blocks;
  info.input_embeddings = names.prefix + "." + names.input_embeddings;
  info.output_embeddings = names.head;
  if (config.tied_embeddings)
    info.tied = {{names.head + ".weight", info.input_embeddings + ".weight"}};
  auto root = std::make_shared<WithHead>(config.architecture, names.prefix, std::move(base),
                                         names.head, std::move(head));
  return std::make_unique<Model>(config, info, root, backbone, root->head());
}

at::Tensor RotaryBackbone::embed(const ModelInputs& inputs, const at::Tensor&) {
  return (*embedding_)(inputs.input_ids);
}

}  // namespace quanthost::model
