// The decisions of quanto's quantizer, in the order in which a load asks for them.
#include "quantizer/quantizer.hpp"

#include <quanthost/abi/forward.h>

#include <algorithm>
#include <set>

#include "quantizer/config_json.hpp"

namespace quanthost::quanto {
namespace {

using qh::Error;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

QuantoQuantizer::QuantoQuantizer(const qh::Host& host, const qh_create_args& args)
    : qh::Quantizer(host, args), options_(config), packages_(host, args.session) {
  modules_to_not_convert = config.strings("modules_to_not_convert");
  if (options_.activations && !options_.calibration && !pre_quantized)
    throw Error(QH_ERR_VALUE,
                "We don't support quantizing the activations while a model is loaded: their scales "
                "have to be calibrated on data",
                "give the data as `calibration`, leave `activations` out, or load a model whose "
                "activations were calibrated already");
}

void QuantoQuantizer::validate_environment(const qh::Environment&, const Report&) {
  for (const char* package : {"quanto", "accelerate"})
    if (host().package_version(session(), package).empty())
      throw Error(QH_ERR_IMPORT,
                  std::string("Loading a quanto quantized model requires accelerate and quanto; ") +
                      package + " was not found",
                  std::string("add a plugin that provides the package `") + package +
                      "` to the search path; `quanthost plugins list` shows what there is");
}

std::optional<qh::DeviceMap> QuantoQuantizer::update_device_map(std::optional<qh::DeviceMap> map) {
  if (map) return map;
  host().info("The device map was not given: quanto puts the whole model on the CPU.");
  return qh::DeviceMap{{"", "cpu"}};
}

qh::Dtype QuantoQuantizer::adjust_target_dtype(qh::Dtype) {
  const std::string accelerate = host().package_version(session(), "accelerate");
  if (accelerate.empty() || !host().satisfies(accelerate, ">0.27.0"))
    throw Error(QH_ERR_VALUE,
                "a device map for a quanto model is inferred with accelerate > 0.27.0; found is " +
                    (accelerate.empty() ? std::string("none") : accelerate),
                "give the device map yourself, or upgrade accelerate");
  switch (options_.weights) {
    case QType::int2:
      return qh::kInt2;
    case QType::int4:
      return qh::kInt4;
    case QType::int8:
      return qh::kInt8;
    case QType::float8_e4m3fnuz:
      return qh::kFloat8E4m3fnuz;
    case QType::float8_e5m2:
      return qh::kFloat8E5m2;
    case QType::float8_e4m3fn:
      break;
  }
  return qh::kFloat8E4m3fn;
}

qh::MemoryLimits QuantoQuantizer::adjust_max_memory(qh::MemoryLimits limits) {
  for (auto& [device, bytes] : limits) bytes *= 0.90;
  return limits;
}

void QuantoQuantizer::replace(qh::Model& model, const qh::ModuleDesc& module, const MapEntry& entry,
                              bool stored) {
  qh::ParamDesc weight{};
  const bool found = model.find_param(module.name + ".weight", weight);
  WeightSpec spec{*entry.weights,  entry.activations,  {},
                  module.has_bias, options_.optimizer, found ? weight.dtype : qh::kFloat32,
                  stored};
  if (module.class_name == "Linear") {
    spec.shape = {module.out_features, module.in_features};
    model.replace_module(module.name, std::make_unique<QLinear>(host(), packages_, recent_, spec));
    return;
  }
  qh_conv2d conv{};
  conv.struct_size = sizeof(conv);
  qh::check(host()
                .need(host().layers, QH_LAYERS_ID)
                .describe_conv2d(model.handle(), qh::to_abi(module.name), &conv));
  spec.has_bias = conv.has_bias != 0;
  spec.shape = {conv.out_channels, conv.in_channels / conv.groups, conv.kernel[0], conv.kernel[1]};
  model.replace_module(module.name,
                       std::make_unique<QConv2d>(host(), packages_, recent_, spec, conv));
}

void QuantoQuantizer::replace_norm(qh::Model& model, const qh::ModuleDesc& module,
                                   QType activations) {
  LayerNormSpec spec{activations, 0, layer_norm_eps(model.config_json()), false, false, {}};
  qh::ParamDesc weight{}, bias{};
  spec.has_bias = model.find_param(module.name + ".bias", bias);
  spec.has_weight = model.find_param(module.name + ".weight", weight);
  if (spec.has_weight) {
    spec.width = weight.shape.at(0);
    spec.dtype = weight.dtype;
  }
  if (!spec.has_weight) {
    host().warn("'" + module.name + "' has no weight: its output is not quantized");
    return;
  }
  model.replace_module(module.name, std::make_unique<QLayerNorm>(host(), packages_, recent_, spec));
}

// A checkpoint with a quantization map is taken as it says; any other model is quantized by the
// options.
std::optional<MapEntry> QuantoQuantizer::entry_for(
    qh::Model& model, const qh::ModuleDesc& module,
    const std::optional<QuantizationMap>& map) const {
  const bool is_conv = module.class_name == "Conv2d";
  const bool has_weight = is_conv || module.class_name == "Linear";
  if (!has_weight && module.class_name != "LayerNorm") return std::nullopt;
  if (!map) {
    if (model.is_skipped(module.name, modules_to_not_convert)) return std::nullopt;
    if (is_conv && !options_.convolutions) return std::nullopt;
    if (has_weight) return MapEntry{options_.weights, options_.activations};
    return options_.activations ? std::optional(MapEntry{std::nullopt, options_.activations})
                                : std::nullopt;
  }
  const auto found =
      std::find_if(map->begin(), map->end(), [&](const auto& e) { return e.first == module.name; });
  if (found == map->end()) return std::nullopt;
  const MapEntry& entry = found->second;
  if (has_weight && !entry.weights && entry.activations)
    throw Error(QH_ERR_NOT_IMPLEMENTED,
                std::string(kMapFile) + " quantizes what passes through '" + module.name +
                    "' but not its weight",
                "quantize the model again with a type for the weights");
  return entry.weights || entry.activations ? std::optional(entry) : std::nullopt;
}

void QuantoQuantizer::process_before_load(const qh::Exec& exec, qh::Model& model,
                                          const qh::DeviceMap& device_map,
                                          const std::vector<std::string>& keep_in_fp32) {
  packages_.for_device(exec.device_kind());
  for (const auto& [module, device] : device_map) {
    const std::string kind = device.substr(0, device.find(':'));
    if (kind != "disk") packages_.for_device(kind);
  }
  if (!config.has("modules_to_not_convert"))
    modules_to_not_convert = model.default_modules_to_not_convert();
  modules_to_not_convert.insert(modules_to_not_convert.end(), keep_in_fp32.begin(),
                                keep_in_fp32.end());

  const std::string map_text =
      host().checkpoint.struct_size ? model.checkpoint_file(kMapFile) : std::string();
  std::optional<QuantizationMap> map;
  if (!map_text.empty()) map = parse_map(map_text);
  std::size_t quantized = 0;
  for (const qh::ModuleDesc& module : model.modules()) {
    const std::optional<MapEntry> entry = entry_for(model, module, map);
    if (!entry) continue;
    if (!entry->weights) {
      replace_norm(model, module, *entry->activations);
      continue;
    }
    replace(model, module, *entry, map || pre_quantized);
    ++quantized;
  }
  if (quantized == 0)
    host().warn(
        "You are loading your model using quanto but no linear modules were found in your model; "
        "please check "
        "modules_to_not_convert and the model's architecture.");
}

WeightedModule* QuantoQuantizer::weighted_module(qh::Model& model, std::string_view name) const {
  if (QLinear* linear = model.plugin_module<QLinear>(name)) return linear;
  return model.plugin_module<QConv2d>(name);
}

QuantoQuantizer::Owner QuantoQuantizer::owner(qh::Model& model, std::string_view name) const {
  // A part of a weight has dots in its own name: "….weight._data._data".
  for (std::size_t dot = name.rfind('.'); dot != std::string_view::npos && dot != 0;
       dot = name.rfind('.', dot - 1)) {
    if (WeightedModule* module = weighted_module(model, name.substr(0, dot)))
      return {module, name.substr(dot + 1)};
  }
  return {nullptr, {}};
}

// Everything a module makes itself is not missing: its weight's parts and its scales.
std::vector<std::string> QuantoQuantizer::update_missing_keys(qh::Model& model,
                                                              std::vector<std::string> keys,
                                                              std::string_view) {
  std::vector<std::string> left;
  for (std::string& key : keys) {
    const std::size_t dot = key.rfind('.');
    if (dot != std::string::npos && Activations::is_scale(key.substr(dot + 1)) &&
        model.plugin_module<QLayerNorm>(std::string_view(key).substr(0, dot)))
      continue;
    const Owner found = owner(model, key);
    const bool stored_part = found.module && found.module->spec().pre_quantized &&
                             found.name != "input_scale" && found.name != "output_scale";
    if (!found.module || stored_part || ends_with(key, ".weight") || ends_with(key, ".bias"))
      left.push_back(std::move(key));
  }
  return left;
}

double QuantoQuantizer::param_element_size(qh::Model& model, std::string_view name,
                                           qh::TensorView param) {
  const Owner found = owner(model, name);
  if (found.module && found.name == "weight") return bit_width(found.module->spec().weights) / 8.0;
  return param.dtype().bits / 8.0;
}

// The seed's rule: where the model is spread over several devices, what stays on the CPU is left to
// be quantized later.
bool QuantoQuantizer::check_quantized_param(qh::Model& model, const qh::ParamQuery& query) {
  std::set<std::string_view> devices;
  for (const auto& [module, device] : query.device_map) devices.insert(device);
  const bool only_host =
      std::all_of(devices.begin(), devices.end(),
                  [](std::string_view d) { return d == "cpu" || d == "disk"; }) &&
      devices.count("cpu") != 0;
  if (query.param_device == "cpu" && devices.size() > 1 && !only_host) return false;
  const Owner found = owner(model, query.name);
  if (!found.module) return false;
  if (found.module->spec().pre_quantized) return true;
  return found.name == "weight" && !found.module->frozen();
}

// Rows of 8 bits are independent. Below, rows that lie far apart share a byte, so a weight comes
// whole.
std::int64_t QuantoQuantizer::row_granularity(qh::Model& model, std::string_view name) {
  const Owner found = owner(model, name);
  return found.module && found.name == "weight" && !is_affine(found.module->spec().weights) ? 1 : 0;
}

void QuantoQuantizer::create_quantized_param(const qh::Exec& exec, qh::Model& model,
                                             qh::ParamArgs args) {
  const Owner found = owner(model, args.name);
  if (!found.module)
    throw Error(QH_ERR_VALUE,
                "'" + std::string(args.name) + "' belongs to no module that quanto quantizes");
  if (found.name == "weight")
    found.module->quantize_rows(exec, args.value.view(), args.row_begin);
  else
    found.module->set_param(exec, found.name, std::move(args.value));
}

std::vector<std::pair<std::string, QModule*>> QuantoQuantizer::our_modules(qh::Model& model) const {
  std::vector<std::pair<std::string, QModule*>> out;
  for (const qh::ModuleDesc& module : model.modules()) {
    if (WeightedModule* weighted = weighted_module(model, module.name))
      out.emplace_back(module.name, weighted);
    else if (QLayerNorm* norm = model.plugin_module<QLayerNorm>(module.name))
      out.emplace_back(module.name, norm);
  }
  return out;
}

// The scales of activations follow the data, batch by batch, through the whole model.
void QuantoQuantizer::process_after_load(const qh::Exec& exec, qh::Model& model) {
  if (pre_quantized || !options_.calibration) return;
  const CalibrationOptions& options = *options_.calibration;
  qh_calibration_args data{};
  data.struct_size = sizeof(data);
  data.batch_size = options.batch_size;
  data.dataset_json = qh::to_abi(options.dataset);
  data.tokenizer = qh::to_abi(options.tokenizer);
  data.sample_count = options.samples;
  data.sequence_length = options.sequence_length;
  data.pad_token_id = -1;
  const auto forward =
      qh::copy_sized(static_cast<const qh_forward_api*>(host().service(QH_FORWARD_ID)));
  const auto modules = our_modules(model);
  for (const auto& [name, module] : modules) module->activations().calibrate(options.settings);
  qh::check(host().need(forward, QH_FORWARD_ID).run(session(), model.handle(), exec.abi(), &data));
  for (const auto& [name, module] : modules) module->activations().calibrate(std::nullopt);
}

void QuantoQuantizer::dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) {
  for (const auto& [name, module] : our_modules(model)) {
    WeightedModule* layer = weighted_module(model, name);
    if (!layer)
      throw Error(QH_ERR_NOT_IMPLEMENTED,
                  "'" + name + "' is a norm with quantized activations, which cannot be undone");
    qh::Tensor bias = layer->spec().has_bias ? layer->get_param(exec, "bias") : qh::Tensor();
    if (bias && dtype != qh::kNoDtype) bias = exec.converted(std::move(bias), dtype);
    model.restore_module(name, layer->dequantize(exec, dtype), std::move(bias));
  }
}

// The data that scales were found on is no part of the model.
std::string QuantoQuantizer::saved_config(qh::Model&) { return without_calibration(config.json()); }

std::vector<std::pair<std::string, std::string>> QuantoQuantizer::saved_files(qh::Model& model) {
  QuantizationMap map;
  for (const auto& [name, module] : our_modules(model)) map.emplace_back(name, module->map_entry());
  return {{kMapFile, write_map(map)}};
}

}  // namespace quanthost::quanto
