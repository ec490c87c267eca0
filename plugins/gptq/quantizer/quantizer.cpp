// Layers of a checkpoint that is quantized: found, loaded, finished, saved and turned back.
#include "quantizer/quantizer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quantizer/blocks.hpp"
#include "quantizer/calibrate.hpp"

namespace quanthost::gptq {
namespace {

using Json = nlohmann::ordered_json;
using qh::Error;

constexpr const char* kQuantizeConfig = "quantize_config.json";
constexpr const char* kReport = "gptq_report.json";

// The bits that a qweight of this many rows was packed with; the config's own where they fit.
int bits_of(const qh::ModuleDesc& module, std::int64_t rows, int configured, WordLayout layout) {
  if (words_for(module.in_features, configured, layout) == rows) return configured;
  for (const int bits : {2, 3, 4, 8})
    if (words_for(module.in_features, bits, layout) == rows) return bits;
  throw Error(QH_ERR_VALUE,
              module.name + ".qweight has " + std::to_string(rows) + " rows of words, which " +
                  std::to_string(module.in_features) + " inputs do not fill with 2, 3, 4 or 8 bits",
              "the checkpoint is damaged, or config.json is of another model");
}

// What the checkpoint says of this layer; false where it holds it unquantized.
bool read_stored_spec(const qh::Model& model, const qh::ModuleDesc& module, LinearSpec& spec) {
  qh::ParamDesc found;
  if (!model.checkpoint_info(module.name + ".qweight", found)) return false;
  if (found.shape.size() == 2)
    spec.bits = bits_of(module, found.shape[0], spec.bits, spec.stored.layout);
  if (model.checkpoint_info(module.name + ".scales", found) && found.shape.size() == 2)
    spec.groups = found.shape[0];
  spec.has_g_idx = model.checkpoint_has(module.name + ".g_idx");
  // Older writers store a bias of zeros for layers that have none.
  spec.has_bias = spec.has_bias || model.checkpoint_has(module.name + ".bias");
  return true;
}

}  // namespace

std::map<std::string, qh::Dtype> dtypes_of(const qh::Model& model) {
  std::map<std::string, qh::Dtype> dtypes;
  for (const qh::ParamDesc& param : model.parameters()) dtypes[param.name] = param.dtype;
  return dtypes;
}

LinearSpec linear_spec(const qh::ModuleDesc& module, const std::map<std::string, qh::Dtype>& dtypes,
                       const Options& options) {
  const auto dtype = dtypes.find(module.name + ".weight");
  return {options.solver.grid.bits,  module.in_features,
          module.out_features,       groups_of(module.in_features, options.solver.group_size),
          module.has_bias,           dtype == dtypes.end() ? qh::kFloat32 : dtype->second,
          stored_as(options.format), true,
          options.solver.group_size};
}

GptqQuantizer::GptqQuantizer(const qh::Host& host, const qh_create_args& args)
    : qh::Quantizer(host, args),
      options_(read_options(host, config, pre_quantized)),
      packages_(host, args.session) {}

void GptqQuantizer::process_before_load(const qh::Exec& exec, qh::Model& model,
                                        const qh::DeviceMap& map, const std::vector<std::string>&) {
  if (model.main_input_name() != "input_ids")
    throw Error(QH_ERR_RUNTIME,
                "only pure text models can be quantized with GPTQ; the main input of this one is " +
                    model.main_input_name(),
                "a text model's main input is input_ids");
  packages_.for_device(exec.device_kind());
  check_offload(map);
  if (pre_quantized) replace_stored_layers(model);
}

// The tensors of the checkpoint say which layers are quantized, in how many bits and groups: files
// with settings of their own for some layers exist, and configs that name other layers.
void GptqQuantizer::replace_stored_layers(qh::Model& model) {
  const std::vector<qh::ModuleDesc> modules = model.modules();
  const bool has_checkpoint = host().checkpoint.struct_size != 0;
  const bool any_stored =
      has_checkpoint && std::any_of(modules.begin(), modules.end(), [&](const auto& module) {
        return is_linear(module) && model.checkpoint_has(module.name + ".qweight");
      });
  const std::vector<std::string> named =
      any_stored ? std::vector<std::string>() : layers_to_quantize(modules, options_);
  const std::map<std::string, qh::Dtype> dtypes = dtypes_of(model);
  std::size_t replaced = 0;
  for (const qh::ModuleDesc& module : modules) {
    if (!is_linear(module)) continue;
    LinearSpec spec = linear_spec(module, dtypes, options_);
    if (any_stored) {
      if (!read_stored_spec(model, module, spec)) continue;
    } else if (std::find(named.begin(), named.end(), module.name) == named.end()) {
      continue;
    }
    model.replace_module(module.name, std::make_unique<QuantLinear>(host(), packages_, spec));
    ++replaced;
  }
  if (replaced == 0)
    host().warn("the checkpoint says that it is quantized with GPTQ, and no linear layer of it is");
}

std::vector<std::string> GptqQuantizer::update_missing_keys(qh::Model& model,
                                                            std::vector<std::string> keys,
                                                            std::string_view) {
  const auto is_made_here = [&](const std::string& key) {
    const std::size_t dot = key.rfind('.');
    if (dot == std::string::npos || key.substr(dot) != ".g_idx") return false;
    const QuantLinear* layer = model.plugin_module<QuantLinear>(key.substr(0, dot));
    return layer && !layer->spec().has_g_idx;
  };
  keys.erase(std::remove_if(keys.begin(), keys.end(), is_made_here), keys.end());
  return keys;
}

void GptqQuantizer::process_after_load(const qh::Exec& exec, qh::Model& model) {
  if (pre_quantized) return finish_stored_layers(exec, model);
  report_ = calibrate(exec, session(), model, options_, packages_);
  model.set_attribute("gptq_report", report_);
}

// Labels are known to be wrong: optimum and gptqmodel change the zeros at one step and the label at
// another. Symmetric zeros show what they are; layers without any follow the others.
void GptqQuantizer::finish_stored_layers(const qh::Exec& exec, qh::Model& model) {
  std::vector<QuantLinear*> layers;
  for (const qh::ModuleDesc& module : model.modules())
    if (QuantLinear* layer = model.plugin_module<QuantLinear>(module.name)) layers.push_back(layer);
  StoredAs stored = stored_as(options_.format);
  if (options_.solver.grid.symmetric) {
    std::int64_t shown_v1 = 0, shown_v2 = 0;
    for (const QuantLinear* layer : layers)
      if (const auto shown = layer->zeros_shown(exec))
        ++(*shown == ZeroFormat::v1 ? shown_v1 : shown_v2);
    if (shown_v1 != shown_v2) stored.zeros = shown_v1 > shown_v2 ? ZeroFormat::v1 : ZeroFormat::v2;
  }
  if (stored.zeros != stored_as(options_.format).zeros) {
    new_label_ = with_zeros(options_.format, stored.zeros);
    host().warn("the checkpoint's config says checkpoint_format " +
                std::string(label_of(options_.format)) + ", and the zeros of its layers are " +
                std::string(label_of(*new_label_)) +
                ": they are read as what they are, and saved with the right label");
  }
  if (options_.save_format) new_label_ = options_.save_format;
  for (QuantLinear* layer : layers) {
    exec.throw_if_cancelled();
    layer->finish_loading(exec, stored);
    if (options_.save_format) layer->save_as(stored_as(*options_.save_format));
  }
}

void GptqQuantizer::dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) {
  for (const qh::ModuleDesc& module : model.modules()) {
    exec.throw_if_cancelled();
    QuantLinear* layer = model.plugin_module<QuantLinear>(module.name);
    if (!layer) continue;
    qh::Tensor bias = layer->bias(exec);
    if (bias)
      bias = exec.converted(std::move(bias), dtype == qh::kNoDtype ? layer->spec().dtype : dtype);
    model.restore_module(module.name, layer->dequantize(exec, dtype), std::move(bias));
  }
}

std::string GptqQuantizer::relabeled(const std::string& json) const {
  if (!new_label_) return json;
  Json config = Json::parse(json, nullptr, false);
  if (!config.is_object()) return json;
  config.erase("save_format");
  if (config.contains("format")) config["format"] = label_of(*new_label_);
  config["checkpoint_format"] = label_of(*new_label_);
  return config.dump(2);
}

std::string GptqQuantizer::saved_config(qh::Model&) {
  return pre_quantized ? relabeled(config.json()) : gptq::saved_config(config, options_);
}

std::vector<std::pair<std::string, std::string>> GptqQuantizer::saved_files(qh::Model& model) {
  if (!pre_quantized)
    return {{kQuantizeConfig, quantize_config_file(options_)}, {kReport, report_}};
  std::vector<std::pair<std::string, std::string>> files;
  if (host().checkpoint.struct_size == 0) return files;
  if (const std::string text = model.checkpoint_file(kQuantizeConfig); !text.empty())
    files.emplace_back(kQuantizeConfig, relabeled(text));
  if (const std::string text = model.checkpoint_file(kReport); !text.empty())
    files.emplace_back(kReport, text);
  return files;
}

}  // namespace quanthost::gptq
