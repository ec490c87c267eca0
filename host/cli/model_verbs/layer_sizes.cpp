#include "host/cli/model_verbs/layer_sizes.hpp"

#include <map>

#include "host/base/file.hpp"
#include "host/load/plugin_module.hpp"
#include "host/load/tensor_bridge.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::cli {
namespace {

constexpr const char* kReportEnding = "_report.json";  // of the files that quantizers save

OrderedJson entry(const model::ModuleEntry& module, const OrderedJson& method, std::uint64_t before,
                  std::uint64_t after) {
  return {{"name", module.name},    {"class", module.class_name},
          {"method", method},       {"quantized", !method.is_null()},
          {"bytes_before", before}, {"bytes_after", after}};
}

OrderedJson quantized_entry(const model::ModuleEntry& module, const PluginModule& layer,
                            const std::string& method) {
  const qh_module_info info = layer.describe();
  const qh_module_memory memory = layer.memory();
  const std::size_t element = at::elementSize(to_scalar_type(info.dtype));
  const std::int64_t elements = info.out_features * (info.in_features + (info.has_bias ? 1 : 0));
  return entry(module, method, static_cast<std::uint64_t>(elements) * element,
               memory.weight_bytes + memory.overhead_bytes);
}

}  // namespace

OrderedJson layer_sizes(const LoadedModel& loaded) {
  std::map<std::string, std::uint64_t> dense;  // bytes of a module's own tensors
  for (const model::TensorEntry& tensor : model::walk_parameters(loaded.model->root())) {
    if (!tensor.tied_to.empty() || !tensor.tensor.defined()) continue;
    const std::size_t dot = tensor.name.rfind('.');
    dense[dot == std::string::npos ? "" : tensor.name.substr(0, dot)] += tensor.tensor.nbytes();
  }
  const std::string method = loaded.quantizer ? loaded.quantizer->config().spec->method : "";
  OrderedJson out = OrderedJson::array();
  for (const model::ModuleEntry& module : model::walk_modules(loaded.model->root())) {
    if (const auto* layer = dynamic_cast<const PluginModule*>(module.module)) {
      out.push_back(quantized_entry(module, *layer, method));
    } else if (const auto own = dense.find(module.name); own != dense.end()) {
      out.push_back(entry(module, nullptr, own->second, own->second));
    }
  }
  return out;
}

void add_saved_reports(OrderedJson& layers, const std::filesystem::path& folder) {
  std::map<std::string, Json> reported;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (!file.path().filename().string().ends_with(kReportEnding)) continue;
    const Json report = parse_json(read_text_file(file.path()), file.path().string());
    for (const Json& layer : report.value("layers", Json::array()))
      reported[layer.value("name", "")] = layer;
  }
  for (OrderedJson& layer : layers) {
    const auto found = reported.find(layer.at("name").get<std::string>());
    if (found == reported.end()) continue;
    for (const char* key : {"error", "rtn_error", "loss", "bits", "group_size", "seconds"})
      if (found->second.contains(key)) layer[key] = found->second.at(key);
  }
}

}  // namespace quanthost::cli
