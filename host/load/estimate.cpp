#include "host/load/estimate.hpp"

#include <algorithm>
#include <map>

#include "host/load/offload.hpp"
#include "host/load/process_memory.hpp"

namespace quanthost {
namespace {

std::uint64_t bytes_of(const ModelTensor& tensor) {
  return static_cast<std::uint64_t>(tensor.elements()) * tensor.dtype.bits / 8;
}

std::uint64_t bytes_in_memory(const TensorPlan& plan) {
  return plan.cast ? plan.stored->elements() * c10::elementSize(*plan.cast) : plan.stored->bytes();
}

class Estimator {
 public:
  Estimator(LoadedModel& planned, const EstimateOptions& options)
      : planned_(planned), options_(options), config_(planned.model->config()) {
    for (const std::string& device : planned.device_map.devices()) needs_of(device);
    needs_of("cpu");
    for (const TensorPlan& plan : planned.plan) plans_[plan.name] = &plan;
  }

  MemoryNeeds estimate() {
    add_plain_tensors();
    for (const auto& module : planned_.context->plugin_modules()) add_module(*module);
    add_cache();
    add_workspace();
    add_loading();
    release_idle_memory();  // as a load does
    out_.process = process_memory().resident_bytes;
    return std::move(out_);
  }

 private:
  DeviceNeeds& needs_of(const std::string& device) {
    for (DeviceNeeds& needs : out_.devices) {
      if (needs.device == device) return needs;
    }
    return out_.devices.emplace_back(DeviceNeeds{device});
  }
  DeviceNeeds& needs_at(const std::string& name) {
    return needs_of(planned_.device_map.find(name).value_or("cpu"));
  }
  // Where a part that lies on disk is computed.
  DeviceNeeds& computing_at(const std::string& name) {
    return needs_of(planned_.exec_for(name)->device());
  }

  void add_plain_tensors() {
    for (const ModelTensor& tensor : planned_.context->tensors()) {
      if (tensor.plugin || !tensor.tied_to.empty()) continue;
      const auto plan = plans_.find(tensor.name);
      needs_at(tensor.name).weights +=
          plan == plans_.end() ? bytes_of(tensor) : bytes_in_memory(*plan->second);
    }
  }

  void add_module(const PluginModule& module) {
    DeviceNeeds& needs = needs_at(module.full_name());
    largest_dense_ = std::max(largest_dense_, dense_bytes(module));
    if (planned_.quantizer->pre_quantized()) return add_stored(module, needs);
    const qh_module_memory told = module.memory();
    if (told.weight_bytes > 0) {
      needs.weights += told.weight_bytes;
      needs.overhead += told.overhead_bytes + told.runtime_bytes;
      return;
    }
    out_.untold.push_back(module.full_name());
    for (const PluginParam& param : module.params()) {
      double bytes = param.element_bytes;
      for (const std::int64_t size : param.shape) bytes *= static_cast<double>(size);
      needs.weights += static_cast<std::uint64_t>(bytes);
    }
  }

  // What a quantized checkpoint holds below the module's name is what the module will hold.
  void add_stored(const PluginModule& module, DeviceNeeds& needs) const {
    const std::string prefix = module.full_name() + ".";
    std::uint64_t all = 0, largest = 0;
    for (const StoredTensor& stored : planned_.checkpoint->tensors()) {
      const auto name = planned_.names.find(stored.name());
      if (name == planned_.names.end() || !name->second.starts_with(prefix)) continue;
      all += stored.bytes();
      largest = std::max(largest, stored.bytes());
    }
    needs.weights += largest;
    needs.overhead += all - largest;
  }

  std::uint64_t element_size() const { return c10::elementSize(planned_.dtype); }

  std::uint64_t dense_bytes(const PluginModule& module) const {
    const qh_module_info info = module.describe();
    return static_cast<std::uint64_t>(info.in_features * info.out_features) * element_size();
  }

  void add_cache() {
    const model::Structure structure = config_.family->structure;
    if (structure == model::Structure::kBert || structure == model::Structure::kVit)
      return;  // they see the whole input at once
    const auto layer = static_cast<std::uint64_t>(2 * options_.batch * config_.kv_heads *
                                                  options_.context * config_.head_dim) *
                       element_size();
    for (std::size_t i = 0; i < planned_.model->block_count(); ++i)
      computing_at(planned_.model->block_name(i)).kv_cache += layer;
  }

  // The larger half of a block: its MLP holds the residual, the normed input, both projections,
  // the activation and their product; attention the residual, the normed input, and queries, keys
  // and values twice (as projected and as rotated, keys and values for every query head).
  std::uint64_t block_workspace() const {
    const std::int64_t mlp = 2 * config_.hidden_size + 4 * config_.intermediate_size;
    const std::int64_t attention =
        2 * config_.hidden_size + (5 * config_.heads + 2 * config_.kv_heads) * config_.head_dim;
    const std::int64_t tokens = options_.batch * options_.context;
    auto bytes = static_cast<std::uint64_t>(tokens * std::max(mlp, attention)) * element_size();
    if (config_.attention_softcap > 0)  // the scores themselves, and their softmax in float32
      bytes += static_cast<std::uint64_t>(tokens * config_.heads * options_.context) *
               (element_size() + sizeof(float));
    return bytes;
  }

  void add_workspace() {
    for (std::size_t i = 0; i < planned_.model->block_count(); ++i) {
      DeviceNeeds& needs = computing_at(planned_.model->block_name(i));
      needs.workspace = std::max(needs.workspace, block_workspace() + largest_dense_);
    }
    if (planned_.model->has_head()) {
      computing_at(planned_.model->info().output_embeddings).workspace +=
          static_cast<std::uint64_t>(options_.batch * config_.vocab_size) * element_size();
    }
  }

  // Read-ahead lies on the host. On top of it comes, on the device it goes to, one tensor that is
  // not quantized yet.
  void add_loading() {
    std::uint64_t total = 0, largest = 0;
    for (const auto& [name, plan] : plans_) {
      if (can_stay_in_file(*plan)) continue;
      total += bytes_in_memory(*plan);
      largest = std::max(largest, bytes_in_memory(*plan));
      if (!plan->quantized) continue;
      DeviceNeeds& needs = needs_of(planned_.exec_for(plan->name)->device());
      needs.loading = std::max(needs.loading, bytes_in_memory(*plan));
    }
    needs_of("cpu").loading += std::min(total, std::max(options_.stream.queue_bytes, largest));
  }

  LoadedModel& planned_;
  const EstimateOptions& options_;
  const model::ModelConfig& config_;
  std::map<std::string, const TensorPlan*> plans_;
  std::uint64_t largest_dense_ = 0;
  MemoryNeeds out_;
};

}  // namespace

MemoryNeeds estimate_memory(LoadedModel& planned, const EstimateOptions& options) {
  return Estimator(planned, options).estimate();
}

}  // namespace quanthost
