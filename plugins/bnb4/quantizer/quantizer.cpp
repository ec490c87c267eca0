// Replacing layers, and filling them from a checkpoint.
#include "plugins/bnb4/quantizer/quantizer.hpp"

#include <algorithm>

namespace quanthost::bnb4 {
namespace {

constexpr const char* kSerializableVersion = "0.41.3";

// "model.layers.0.mlp.up_proj" and "weight".
std::pair<std::string_view, std::string_view> split_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {{}, name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// The module a key such as "x.weight.absmax" belongs to; empty when it is no such key.
std::string_view module_of_stored(std::string_view key) {
  for (const std::string_view suffix :
       {".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
        ".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4"}) {
    if (key.size() > suffix.size() && key.substr(key.size() - suffix.size()) == suffix) {
      return key.substr(0, key.size() - suffix.size());
    }
  }
  return {};
}

// [in, out] as a Conv1D stores it becomes [out, in].
qh::Tensor transposed(const qh::Exec& exec, const qh::Tensor& tensor) {
  const qh::TensorView view = tensor.view();
  if (view.ndim() != 2) throw qh::Error(QH_ERR_VALUE, "a Conv1D weight has to be a matrix");
  std::vector<int64_t> shape = {view.size(1), view.size(0)};
  std::vector<int64_t> strides = {1, view.size(1)};
  qh_tensor turned = *view.abi();
  turned.shape = shape.data();
  turned.strides = strides.data();
  qh::Tensor out = exec.allocate(view.dtype(), shape);
  exec.copy(&turned, out.abi());
  return out;
}

}  // namespace

Bnb4Quantizer::Bnb4Quantizer(const qh::Host& host, const qh_create_args& args)
    : Quantizer(host, args), options_(read_options(config)) {
  if (options_.skip_modules) modules_to_not_convert = *options_.skip_modules;
}

void Bnb4Quantizer::process_before_load(const qh::Exec& exec, qh::Model& model,
                                        const qh::DeviceMap& map,
                                        const std::vector<std::string>& keep_in_fp32) {
  kernels_->add(host(), session(), {std::string(exec.device_name())});
  modules_to_not_convert =
      options_.skip_modules ? *options_.skip_modules : model.default_modules_to_not_convert();
  modules_to_not_convert.insert(modules_to_not_convert.end(), keep_in_fp32.begin(),
                                keep_in_fp32.end());
  if (map.size() > 1) {
    check_offload(map);
    if (options_.cpu_offload) {
      for (const auto& [module, device] : map) {
        if (device == "cpu" || device == "disk") modules_to_not_convert.push_back(module);
      }
    }
  }
  size_t replaced = 0;
  for (const qh::ModuleDesc& desc : model.modules()) {
    if (desc.class_name != "Linear" && desc.class_name != "Conv1D") continue;
    if (model.is_skipped(desc.name, modules_to_not_convert)) continue;
    replace_linear(model, desc);
    ++replaced;
  }
  std::sort(transposed_.begin(), transposed_.end());
  if (replaced == 0) host().warn("no linear layer was found to quantize: the model stays as it is");
}

void Bnb4Quantizer::replace_linear(qh::Model& model, const qh::ModuleDesc& desc) {
  if (desc.class_name == "Conv1D") transposed_.push_back(desc.name);
  model.replace_module(
      desc.name,
      std::make_unique<Linear4bit>(host(), kernels_,
                                   LayerShape{desc.in_features, desc.out_features, desc.has_bias},
                                   LayerOptions{options_.quant_type, options_.double_quant,
                                                options_.quant_storage, options_.compute_dtype}));
}

std::vector<std::string> Bnb4Quantizer::update_unexpected_keys(qh::Model& model,
                                                               std::vector<std::string> keys,
                                                               std::string_view prefix) {
  const auto is_ours = [&](const std::string& key) {
    std::string_view module = module_of_stored(key);
    if (module.empty()) return false;
    if (!prefix.empty() && module.substr(0, prefix.size()) == prefix) {
      const std::string_view inner = module.substr(std::min(prefix.size() + 1, module.size()));
      if (model.plugin_module<Linear4bit>(inner)) return true;
    }
    return model.plugin_module<Linear4bit>(module) != nullptr;
  };
  keys.erase(std::remove_if(keys.begin(), keys.end(), is_ours), keys.end());
  return keys;
}

double Bnb4Quantizer::param_element_size(qh::Model& model, std::string_view name,
                                         qh::TensorView param) {
  const auto [module, leaf] = split_name(name);
  if (leaf == "weight" && model.plugin_module<Linear4bit>(module)) return 0.5;
  return param.dtype().bits / 8.0;
}

bool Bnb4Quantizer::check_quantized_param(qh::Model& model, const qh::ParamQuery& query) {
  const auto [module, leaf] = split_name(query.name);
  return (leaf == "weight" || leaf == "bias") && model.plugin_module<Linear4bit>(module) != nullptr;
}

void Bnb4Quantizer::create_quantized_param(const qh::Exec& exec, qh::Model& model,
                                           qh::ParamArgs args) {
  const auto [module, leaf] = split_name(args.name);
  Linear4bit* layer = model.plugin_module<Linear4bit>(module);
  if (!layer || (leaf != "weight" && leaf != "bias")) {
    throw qh::Error(QH_ERR_VALUE,
                    "'" + std::string(args.name) + "' is no parameter of a 4-bit layer");
  }
  if (!args.value) {
    throw qh::Error(QH_ERR_VALUE, "'" + std::string(args.name) + "' has no value to put on " +
                                      std::string(args.target_device));
  }
  if (leaf == "bias") return layer->set_param(exec, "bias", std::move(args.value));
  if (pre_quantized) return load_stored(exec, model, *layer, args);
  const bool turn = std::binary_search(transposed_.begin(), transposed_.end(), module);
  layer->quantize(exec, turn ? transposed(exec, args.value) : std::move(args.value));
}

void Bnb4Quantizer::load_stored(const qh::Exec& exec, qh::Model& model, Linear4bit& layer,
                                qh::ParamArgs& args) {
  if (!is_serializable()) {
    throw qh::Error(QH_ERR_VALUE,
                    "a stored 4-bit model needs bitsandbytes>=" +
                        std::string(kSerializableVersion) + ", found " + version_,
                    "update the plugin that provides bitsandbytes");
  }
  const std::string prefix = std::string(args.name) + ".";
  bool has_state = false;
  for (const std::string& key : model.checkpoint_names(prefix)) {
    layer.set_param(exec, key.substr(prefix.size() - sizeof("weight.") + 1),
                    model.read_checkpoint(exec, key));
    args.consumed(key);
    has_state = has_state || key.find(".quant_state.bitsandbytes__") != std::string::npos;
  }
  if (!has_state) {
    throw qh::Error(QH_ERR_VALUE,
                    "'" + std::string(args.name) + "' has no " + prefix +
                        "quant_state.bitsandbytes__nf4 or __fp4 beside it: the checkpoint's config "
                        "says it is quantized",
                    "the checkpoint is damaged, or this module belongs into llm_int8_skip_modules");
  }
  layer.set_param(exec, "weight", std::move(args.value));
}

bool Bnb4Quantizer::is_serializable() {
  if (version_.empty()) version_ = host().package_version(session(), "bitsandbytes");
  return host().satisfies(version_, std::string(">=") + kSerializableVersion);
}

void Bnb4Quantizer::dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) {
  std::vector<std::string> names;
  for (const qh::ModuleDesc& desc : model.modules()) {
    if (desc.class_name == Linear4bit::kClassName) names.push_back(desc.name);
  }
  for (const std::string& name : names) {
    exec.throw_if_cancelled();
    if (Linear4bit* layer = model.plugin_module<Linear4bit>(name)) {
      model.restore_module(name, layer->dequantize(exec, dtype), layer->bias(exec));
    }
  }
}

}  // namespace quanthost::bnb4
