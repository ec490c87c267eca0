#include "host/load/model_context.hpp"

#include <mutex>
#include <numeric>

#include "host/load/abi_strings.hpp"
#include "host/load/key_report.hpp"
#include "host/load/skip_rules.hpp"

namespace quanthost {
namespace {

std::string joined(const std::string& prefix, const std::string& leaf) {
  return prefix.empty() ? leaf : prefix + "." + leaf;
}

std::pair<std::string, std::string> split_last(const std::string& name) {
  const auto dot = name.rfind('.');
  return dot == std::string::npos ? std::pair{std::string(), name}
                                  : std::pair{name.substr(0, dot), name.substr(dot + 1)};
}

// Of a layer that a quantizer may replace; zeros for any other module.
Features features_of(const torch::nn::Module& module) {
  if (const auto* linear = dynamic_cast<const model::Linear*>(&module))
    return {linear->in_features(), linear->out_features()};
  if (const auto* conv = dynamic_cast<const model::Conv1D*>(&module))
    return {conv->in_features(), conv->out_features()};
  if (const auto* conv = dynamic_cast<const model::Conv2d*>(&module)) return {0, 0, conv->stride()};
  return {};
}

void need_same_features(const PluginModule& module, const Features& replaced) {
  if (replaced.in == 0 || !(module.module_class().table.flags & QH_MODULE_LINEAR)) return;
  const qh_module_info info = module.describe();
  if (info.in_features == replaced.in && info.out_features == replaced.out) return;
  fail(ErrorKind::kValue, "{}: the plugin's {} has shape [{}, {}], the layer it replaces [{}, {}]",
       module.full_name(), module.module_class().name, info.out_features, info.in_features,
       replaced.out, replaced.in);
}

}  // namespace

std::int64_t ModelTensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

ModelContext::ModelContext(model::Model& model, Json config, const Checkpoint* checkpoint,
                           std::string name_or_path, Execs& execs)
    : model_(model),
      root_(model.root()),
      info_(model.info()),
      config_(std::move(config)),
      checkpoint_(checkpoint),
      name_or_path_(std::move(name_or_path)),
      execs_(execs),
      tokenizers_(checkpoint ? checkpoint->directory() : std::filesystem::path()) {}

std::vector<model::ModuleEntry> ModelContext::modules() { return model::walk_modules(root_); }

std::vector<ModelTensor> ModelContext::own_tensors(
    const model::ModuleEntry& module, model::TensorKind kind,
    const std::unordered_map<std::string, std::string>& tied) {
  const bool buffers = kind == model::TensorKind::kBuffer;
  std::vector<ModelTensor> out;
  if (auto* plugin = dynamic_cast<PluginModule*>(module.module)) {
    for (const PluginParam& p : plugin->params()) {
      if (p.is_buffer != buffers) continue;
      out.push_back({joined(module.name, p.name),
                     p.dtype,
                     p.shape,
                     buffers,
                     true,
                     {},
                     plugin,
                     p.element_bytes,
                     plugin});
    }
    return out;
  }
  const auto* typed = dynamic_cast<const model::Module*>(module.module);
  for (const auto& item :
       buffers ? module.module->named_buffers(false) : module.module->named_parameters(false)) {
    if (!item.value().defined()) continue;
    const at::Tensor& tensor = item.value();
    const std::string name = joined(module.name, item.key());
    const auto tie = tied.find(name);
    out.push_back({name, to_qh_dtype(tensor.scalar_type()), tensor.sizes().vec(), buffers,
                   !buffers || !typed || typed->persistent(item.key()),
                   tie == tied.end() ? "" : tie->second, nullptr, 0, module.module});
  }
  return out;
}

std::vector<ModelTensor> ModelContext::tensors() {
  std::unordered_map<std::string, std::string> tied;
  for (const auto& entry : model::walk_parameters(root_)) {
    if (!entry.tied_to.empty()) tied.emplace(entry.name, entry.tied_to);
  }
  for (const auto& [name, owner] : info_.tied) {
    if (!plugin_module(split_last(name).first) && !plugin_module(split_last(owner).first))
      tied.emplace(name, owner);
  }
  std::vector<ModelTensor> out;
  for (const auto kind : {model::TensorKind::kParameter, model::TensorKind::kBuffer}) {
    for (const model::ModuleEntry& module : modules()) {
      for (ModelTensor& tensor : own_tensors(module, kind, tied)) out.push_back(std::move(tensor));
    }
  }
  return out;
}

std::uint64_t ModelContext::bytes() {
  std::uint64_t sum = 0;
  for (const ModelTensor& tensor : tensors()) {
    if (!tensor.plugin && tensor.tied_to.empty()) sum += get_param(tensor.name).nbytes();
  }
  for (const auto& module : plugin_modules()) {
    const qh_module_memory memory = module->memory();
    sum += memory.weight_bytes + memory.overhead_bytes + memory.runtime_bytes;
  }
  return sum;
}

std::vector<ModelTensor> ModelContext::find_tensor(const std::string& name) {
  const auto [owner_name, leaf] = split_last(name);
  torch::nn::Module* owner = model::find_module(root_, owner_name);
  // A parameter of a plugin's module may have dots in its own name.
  std::string parent = owner_name;
  while (!owner && !parent.empty()) {
    parent = split_last(parent).first;
    owner = model::find_module(root_, parent);
  }
  if (!owner) return {};
  const model::ModuleEntry entry{parent, owner->name(), owner, nullptr, true};
  for (const auto kind : {model::TensorKind::kParameter, model::TensorKind::kBuffer}) {
    for (ModelTensor& tensor : own_tensors(entry, kind, {})) {
      if (tensor.name == name) return {std::move(tensor)};
    }
  }
  return {};
}

PluginModule* ModelContext::plugin_module(const std::string& name) const {
  std::shared_lock lock(mutex_);
  const auto found = replaced_.find(name);
  return found == replaced_.end() ? nullptr : found->second.module.get();
}

std::vector<std::shared_ptr<PluginModule>> ModelContext::plugin_modules() const {
  std::vector<std::shared_ptr<PluginModule>> out;
  for (const model::ModuleEntry& entry : model::walk_modules(root_)) {
    std::shared_lock lock(mutex_);
    const auto found = replaced_.find(entry.name);
    if (found != replaced_.end()) out.push_back(found->second.module);
  }
  return out;
}

std::vector<std::string> ModelContext::default_modules_to_not_convert() {
  SkipFacts facts{info_.tied, "", info_.output_embeddings};
  for (const ModelTensor& tensor : tensors()) {
    if (!tensor.is_buffer && tensor.tied_to.empty()) facts.last_parameter = tensor.name;
  }
  return quanthost::default_modules_to_not_convert(facts);
}

std::shared_ptr<const ModuleClass> ModelContext::class_of(const qh_module_class& theirs) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<const ModuleClass>& known = classes_[&theirs];
  if (!known) known = std::make_shared<const ModuleClass>(theirs);
  return known;
}

void ModelContext::replace_module(const std::string& name, const qh_module_class& module_class,
                                  qh_module* state) {
  const torch::nn::Module& replaced = model::get_module(root_, name);
  const std::string original = replaced.name();
  const Features features = features_of(replaced);
  auto module =
      std::make_shared<PluginModule>(class_of(module_class), state, name, execs_.on("cpu"));
  try {
    need_same_features(*module, features);
    model::replace_module(root_, name, module);
  } catch (...) {
    module->disown();  // on failure the state stays the plugin's
    throw;
  }
  std::unique_lock lock(mutex_);
  Replaced& entry = replaced_[name];
  if (!entry.module) {
    entry.original_class = original;
    entry.features = features;
  }
  entry.module = std::move(module);
}

void ModelContext::restore_module(const std::string& name, at::Tensor weight, at::Tensor bias) {
  std::string original;
  Features features;
  {
    std::shared_lock lock(mutex_);
    const auto found = replaced_.find(name);
    if (found == replaced_.end())
      fail(ErrorKind::kKey, "module {} was not put there by a plugin", name);
    original = found->second.original_class;
    features = found->second.features;
  }
  const std::int64_t dimensions = features.stride > 0 ? 4 : 2;
  if (weight.dim() != dimensions)
    fail(ErrorKind::kValue, "{}: a dense weight of {} has {} dimensions, found {}", name, original,
         dimensions, weight.dim());
  if (features.in > 0 && weight.sizes() != at::IntArrayRef({features.out, features.in})) {
    fail(ErrorKind::kValue, "{}: the plugin gave back a weight of shape {}, the layer has [{}, {}]",
         name, shape_text(weight.sizes().vec()), features.out, features.in);
  }
  const auto options = model::without_memory(weight.scalar_type());
  std::shared_ptr<model::Layer> dense;
  if (original == "Conv1D") {
    weight = weight.t().contiguous();  // back to [in, out]
    dense = std::make_shared<model::Conv1D>(weight.size(0), weight.size(1), options);
  } else if (features.stride > 0) {
    dense = std::make_shared<model::Conv2d>(weight.size(1), weight.size(0), weight.size(2),
                                            features.stride, bias.defined(), options);
  } else {
    dense =
        std::make_shared<model::Linear>(weight.size(1), weight.size(0), bias.defined(), options);
  }
  dense->set_parameter("weight", std::move(weight));
  if (bias.defined()) dense->set_parameter("bias", std::move(bias));
  model::replace_module(root_, name, dense);
  std::unique_lock lock(mutex_);
  replaced_.erase(name);
}

at::Tensor ModelContext::get_param(const std::string& name) {
  const auto found = find_tensor(name);
  if (found.empty()) fail(ErrorKind::kKey, "the model has no parameter {}", name);
  if (found[0].plugin)
    return found[0].plugin->get_param(name.substr(found[0].plugin->full_name().size() + 1));
  const auto [owner, leaf] = model::find_owner(root_, name);
  const auto parameters = owner->named_parameters(false);
  const at::Tensor* tensor = parameters.find(leaf);
  return tensor ? *tensor : owner->named_buffers(false)[leaf];
}

void ModelContext::set_param(const std::string& name, at::Tensor value) {
  const auto found = find_tensor(name);
  if (found.empty()) fail(ErrorKind::kKey, "the model has no parameter {}", name);
  const ModelTensor& tensor = found[0];
  if (tensor.plugin) {
    tensor.plugin->set_param(name.substr(tensor.plugin->full_name().size() + 1), std::move(value));
  } else if (tensor.is_buffer) {
    const auto [owner, leaf] = model::find_owner(root_, name);
    owner->named_buffers(false)[leaf].set_data(value);
  } else {
    model::set_parameter(root_, name, std::move(value));
  }
}

}  // namespace quanthost
