#include "host/model/model.hpp"

#include <ATen/ATen.h>

#include "host/base/error.hpp"
#include "host/model/architectures.hpp"
#include "host/model/cpu/ops.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::model {
namespace {

bool single_step(const at::Tensor& hidden, const KvCache* cache) {
  return cache && hidden.size(1) == 1 && cpu::few_rows(hidden, hidden);
}

// Of rows padded on the left: how many padding tokens each begins with.
std::vector<std::int64_t> leading_padding(const at::Tensor& attention_mask) {
  const at::Tensor mask = attention_mask.to(at::kCPU, at::kLong);
  const at::Tensor padding = mask.size(1) - mask.sum(1);
  const at::Tensor place = at::arange(mask.size(1)).unsqueeze(0);
  if (!at::equal(mask, (place >= padding.unsqueeze(1)).to(at::kLong))) {
    fail(ErrorKind::kValue,
         "attention_mask: with a key-value cache each row must be zeros and then ones (left "
         "padding)");
  }
  return {padding.data_ptr<std::int64_t>(), padding.data_ptr<std::int64_t>() + padding.numel()};
}

// With a cache the padding is remembered from the first tokens on.
at::Tensor mask_with_past(const ModelInputs& inputs, KvCache* cache, std::int64_t keys) {
  if (!cache) return inputs.attention_mask;
  if (inputs.attention_mask.defined() && cache->length() == 0) {
    cache->set_first_token(leading_padding(inputs.attention_mask));
  }
  if (!cache->padded()) return {};
  const at::Tensor first = at::tensor(cache->first_token(), at::kLong);
  return (at::arange(keys).unsqueeze(0) >= first.unsqueeze(1)).to(at::kLong);
}

}  // namespace

Model::Model(ModelConfig config, ModelInfo info, std::shared_ptr<Module> root,
             std::shared_ptr<Backbone> backbone, Slot<Layer> head, bool head_sees_first_token)
    : config_(std::move(config)),
      info_(std::move(info)),
      root_(std::move(root)),
      backbone_(std::move(backbone)),
      head_(head),
      head_sees_first_token_(head_sees_first_token) {
  tie_weights();
}

at::TensorOptions Model::hidden_options() {
  const at::Tensor first = root_->parameters().front();
  const auto* embedding =
      dynamic_cast<const Embedding*>(find_module(*root_, info_.input_embeddings));
  return at::TensorOptions(embedding ? embedding->output_dtype() : first.scalar_type())
      .device(first.device());
}

at::Tensor Model::forward(const ModelInputs& inputs, KvCache* cache, std::int64_t logits_to_keep) {
  auto [hidden, shared] = prepare(inputs, cache);
  const std::int64_t tokens = hidden.size(1);
  for (std::size_t index = 0; index < block_count(); ++index)
    hidden = run_block(index, hidden, shared);
  if (cache) cache->advance(tokens);
  return finish(hidden, logits_to_keep);
}

Model::Prepared Model::prepare(const ModelInputs& inputs, KvCache* cache) {
  const at::Tensor& main =
      info_.main_input_name == "pixel_values" ? inputs.pixel_values : inputs.input_ids;
  if (!main.defined())
    fail(ErrorKind::kValue, "{} needs the input '{}'", root_->class_name(), info_.main_input_name);
  if (cache && !backbone_->causal())
    fail(ErrorKind::kValue, "{} has no use for a key-value cache", root_->class_name());
  const std::int64_t past = cache ? cache->length() : 0;

  Prepared prepared;
  BlockInputs& shared = prepared.shared;
  if (inputs.input_ids.defined())
    shared.position_ids = position_ids(inputs, past, inputs.input_ids.size(1));
  prepared.hidden = backbone_->embed(inputs, shared.position_ids);
  const std::int64_t tokens = prepared.hidden.size(1);
  shared.cache = cache;
  if (cache) cache->need_room(tokens);
  shared.step = block_memory_ == BlockMemory::kHost && single_step(prepared.hidden, cache);
  shared.causal = backbone_->causal() && tokens > 1;
  if (RotaryEmbedding* rotary = backbone_->rotary()) {
    std::tie(shared.cos, shared.sin) =
        rotary->angles(shared.position_ids, prepared.hidden.scalar_type());
  }
  MaskRequest request{.batch = prepared.hidden.size(0),
                      .queries = tokens,
                      .past = past,
                      .attention_mask = mask_with_past(inputs, cache, past + tokens),
                      .causal = shared.causal,
                      .window = 0,
                      .options = prepared.hidden.options()};
  if (!shared.step) shared.mask = additive_mask(request);
  for (std::int64_t window : config_.window) request.window = std::max(request.window, window);
  if (!shared.step && request.window > 0) shared.sliding_mask = additive_mask(request);
  return prepared;
}

at::Tensor Model::run_block(std::size_t index, const at::Tensor& hidden,
                            const BlockInputs& shared) {
  if (!block_entry_) return block(index)(hidden, shared);
  at::Tensor hidden_there = hidden;
  BlockInputs shared_there = shared;
  block_entry_(index, hidden_there, shared_there);
  return block(index)(hidden_there, shared_there);
}

at::Tensor Model::position_ids(const ModelInputs& inputs, std::int64_t past,
                               std::int64_t tokens) const {
  if (inputs.position_ids.defined()) return inputs.position_ids;
  if (backbone_->positions_skip_padding() && inputs.attention_mask.defined()) {
    const at::Tensor mask = inputs.attention_mask.to(at::kLong);
    return (mask.cumsum(1) * mask - 1).narrow(1, mask.size(1) - tokens, tokens);
  }
  return at::arange(past, past + tokens, inputs.input_ids.options().dtype(at::kLong)).unsqueeze(0);
}

at::Tensor Model::finish(const at::Tensor& hidden, std::int64_t logits_to_keep) {
  at::Tensor kept = hidden;
  if (logits_to_keep > 0 && logits_to_keep < hidden.size(1)) {
    kept = hidden.narrow(1, hidden.size(1) - logits_to_keep, logits_to_keep).contiguous();
  }
  kept = backbone_->finish(kept);
  if (!head_) return kept;
  if (head_sees_first_token_) kept = kept.select(1, 0);
  at::Tensor logits = (*head_)(kept);
  if (config_.logit_softcap <= 0.0) return logits;
  return at::tanh(logits / config_.logit_softcap) * config_.logit_softcap;
}

void Model::tie_weights() {
  for (const auto& [target, source] : info_.tied) {
    const auto [target_owner, target_leaf] = find_owner(*root_, target);
    const auto [source_owner, source_leaf] = find_owner(*root_, source);
    auto* tied = dynamic_cast<Module*>(target_owner);
    if (!source_owner || !tied || !tied->has_parameter(target_leaf)) continue;
    const auto parameters = source_owner->named_parameters(false);
    if (const at::Tensor* values = parameters.find(source_leaf))
      tied->set_parameter(target_leaf, *values);
  }
}

std::unique_ptr<Model> build_model(const ModelConfig& config, at::ScalarType dtype) {
  const at::TensorOptions options = without_memory(dtype);
  switch (config.family->structure) {
    case Structure::kLlama:
      return build_llama(config, options);
    case Structure::kGptNeox:
      return build_gpt_neox(config, options);
    case Structure::kGpt2:
      return build_gpt2(config, options);
    case Structure::kOpt:
      return build_opt(config, options);
    case Structure::kBert:
      return build_bert(config, options);
    case Structure::kVit:
      return build_vit(config, options);
  }
  fail(ErrorKind::kInternal, "a family without a structure: {}", config.family->model_type);
}

}  // namespace quanthost::model
