#include "host/cli/model_verbs/layer_sizes.hpp"

#include <map>

#include "host/load/plugin_module.hpp"
#include "host/load/tensor_bridge.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::cli {
namespace {

OrderedJson entry(const std::string& name, const std::string& module_class, bool quantized,
                  std::uint64_t before, std::uint64_t after) {
  return {{"name", name},
          {"class", module_class},
          {"quantized", quantized},
          {"bytes_before", before},
          {"bytes_after", after}};
}

OrderedJson quantized_entry(const model::ModuleEntry& module, const PluginModule& layer) {
  const qh_module_info info = layer.describe();
  const qh_module_memory memory = layer.memory();
  const std::size_t element = at::elementSize(to_scalar_type(info.dtype));
  const std::int64_t elements = info.out_features * (info.in_features + (info.has_bias ? 1 : 0));
  return entry(module.name, module.class_name, true, static_cast<std::uint64_t>(elements) * element,
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
  OrderedJson out = OrderedJson::array();
  for (const model::ModuleEntry& module : model::walk_modules(loaded.model->root())) {
    if (const auto* layer = dynamic_cast<const PluginModule*>(module.module)) {
      out.push_back(quantized_entry(module, *layer));
    } else if (const auto own = dense.find(module.name); own != dense.end()) {
      out.push_back(entry(module.name, module.class_name, false, own->second, own->second));
    }
  }
  return out;
}

}  // namespace quanthost::cli
