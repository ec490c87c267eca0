#include "host/load/dispatch.hpp"

#include <algorithm>

#include "host/load/loader.hpp"

namespace quanthost {
namespace {

// The index of the block that a module lies in, or nothing.
std::optional<std::size_t> block_of(const std::string& module, const std::string& blocks) {
  const std::string prefix = blocks + ".";
  if (blocks.empty() || !module.starts_with(prefix)) return std::nullopt;
  return static_cast<std::size_t>(std::stoul(module.substr(prefix.size())));
}

bool holds_tensors(const model::ModuleEntry& entry) {
  return dynamic_cast<PluginModule*>(entry.module) ||
         !entry.module->parameters(/*recurse=*/false).empty();
}

}  // namespace

bool Dispatch::needed(const LoadedModel& loaded) {
  const auto devices = loaded.device_map.devices();
  return std::any_of(devices.begin(), devices.end(),
                     [](const std::string& d) { return d != "cpu" && d != "disk"; });
}

Dispatch::Dispatch(LoadedModel& loaded)
    : model_(*loaded.model), host_(loaded.execs->on("cpu")), now_(host_) {
  for (std::size_t i = 0; i < model_.block_count(); ++i)
    blocks_.push_back(loaded.exec_for(model_.block_name(i)));
  hook_layers(loaded);
  const bool on_host = std::all_of(blocks_.begin(), blocks_.end(),
                                   [](const Place& place) { return place->memory().is_cpu(); });
  model_.set_block_entry([this](std::size_t index, at::Tensor& hidden,
                                model::BlockInputs& shared) { enter_block(index, hidden, shared); },
                         on_host ? model::BlockMemory::kHost : model::BlockMemory::kDevices);
}

Dispatch::~Dispatch() { model_.set_block_entry(nullptr, model::BlockMemory::kHost); }

void Dispatch::hook_layers(LoadedModel& loaded) {
  const model::ModelInfo& info = model_.info();
  for (const model::ModuleEntry& entry : loaded.context->modules()) {
    auto* layer = dynamic_cast<model::Layer*>(entry.module);
    if (!layer || !holds_tensors(entry)) continue;
    const Place place = loaded.exec_for(entry.name);
    if (const auto index = block_of(entry.name, info.blocks)) {
      if (place != blocks_.at(*index)) hook_inner_layer(*layer, place, blocks_[*index]);
    } else {
      hook_outer_layer(*layer, place, entry.name == info.input_embeddings,
                       entry.name == info.output_embeddings);
    }
  }
}

void Dispatch::hook_outer_layer(model::Layer& layer, const Place& place, bool is_input,
                                bool is_output) {
  hooks_.push_back(layer.on_input([this, place, is_input](at::Tensor& input) {
    if (is_input) {  // a forward begins
      now_ = host_;
      shared_.clear();
    }
    enter(place, input);
  }));
  if (!is_output) return;
  // Logits go where the token ids came from.
  hooks_.push_back(layer.on_output([this](const at::Tensor&, at::Tensor& output) {
    now_->synchronize();
    output = host_->take(output);
  }));
}

void Dispatch::hook_inner_layer(model::Layer& layer, const Place& place, const Place& block) {
  hooks_.push_back(layer.on_input([this, place](at::Tensor& input) { enter(place, input); }));
  hooks_.push_back(layer.on_output(
      [this, block](const at::Tensor&, at::Tensor& output) { enter(block, output); }));
}

void Dispatch::enter_block(std::size_t index, at::Tensor& hidden, model::BlockInputs& shared) {
  const Place& place = blocks_[index];
  enter(place, hidden);
  for (at::Tensor* tensor :
       {&shared.mask, &shared.sliding_mask, &shared.position_ids, &shared.cos, &shared.sin}) {
    if (tensor->defined()) *tensor = moved(*tensor, place);
  }
}

void Dispatch::enter(const Place& place, at::Tensor& value) {
  if (now_ == place) return;
  now_->synchronize();  // what is still computed there has to be done before another device reads
                        // it
  value = place->take(value);
  now_ = place;
  ++moves_;
}

at::Tensor Dispatch::moved(const at::Tensor& shared, const Place& place) {
  if (place == host_ && shared.is_cpu()) return shared;
  at::Tensor& there = shared_[{shared.unsafeGetTensorImpl(), place.get()}];
  if (!there.defined()) there = place->take(shared);
  return there;
}

}  // namespace quanthost
