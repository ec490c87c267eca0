#include "host/load/sizes.hpp"

#include <algorithm>
#include <map>

namespace quanthost {
namespace {

double element_bytes(qh_dtype dtype) { return dtype.bits * std::max<int>(dtype.lanes, 1) / 8.0; }
bool is_integer(qh_dtype dtype) {
  return dtype.code == QH_DTYPE_INT || dtype.code == QH_DTYPE_UINT || dtype.code == QH_DTYPE_BOOL;
}

// accelerate's rule: a floating tensor takes the smaller of its own and the target type, an integer
// its own.
double plain_bytes(const ModelTensor& tensor, qh_dtype target) {
  if (tensor.plugin && tensor.plugin_element_bytes > 0) return tensor.plugin_element_bytes;
  const double own = element_bytes(tensor.dtype);
  return is_integer(tensor.dtype) ? own : std::min(own, element_bytes(target));
}

void collect(const ModuleOutline& module, const std::string& name,
             std::vector<std::pair<std::string, double>>& out) {
  for (const auto* tensors : {&module.parameters, &module.buffers}) {
    for (const TensorOutline& tensor : *tensors)
      out.emplace_back(join_name(name, tensor.name), tensor.bytes);
  }
  for (const ModuleOutline& child : module.children)
    collect(child, join_name(name, child.name), out);
}

class Outliner {
 public:
  Outliner(std::map<std::string, std::vector<ModelTensor>> by_module,
           std::map<std::string, double> bytes)
      : by_module_(std::move(by_module)), bytes_(std::move(bytes)) {}

  ModuleOutline outline(torch::nn::Module& module, const std::string& leaf,
                        const std::string& name) const {
    ModuleOutline out{leaf, module.name(), {}, {}, {}};
    const auto found = by_module_.find(name);
    if (found != by_module_.end()) {
      for (const ModelTensor& tensor : found->second) {
        const std::string own = name.empty() ? tensor.name : tensor.name.substr(name.size() + 1);
        (tensor.is_buffer ? out.buffers : out.parameters).push_back({own, bytes_.at(tensor.name)});
      }
    }
    for (const auto& child : module.named_children()) {
      out.children.push_back(outline(*child.value(), child.key(), join_name(name, child.key())));
    }
    return out;
  }

 private:
  std::map<std::string, std::vector<ModelTensor>> by_module_;
  std::map<std::string, double> bytes_;
};

}  // namespace

ModelOutline outline_of(ModelContext& model, Quantizer* quantizer, at::ScalarType load_type,
                        const std::vector<std::string>& keep_in_fp32) {
  const qh_dtype load = to_qh_dtype(load_type);
  const qh_dtype target = quantizer ? quantizer->adjust_target_dtype(load) : load;
  std::map<std::string, qh_dtype> special;
  if (quantizer) {
    for (const auto& [name, dtype] : quantizer->get_special_dtypes_update(model, load))
      special[name] = dtype;
  }
  for (const std::string& name : keep_in_fp32) special[name] = to_qh_dtype(at::kFloat);

  std::map<torch::nn::Module*, std::string> module_names;
  for (const model::ModuleEntry& entry : model.modules()) module_names[entry.module] = entry.name;
  std::map<std::string, std::vector<ModelTensor>> by_module;
  std::map<std::string, double> bytes;
  ModelOutline out;
  for (ModelTensor& tensor : model.tensors()) {
    std::optional<double> size =
        quantizer ? quantizer->param_element_size(model, tensor) : std::nullopt;
    const auto kept = special.find(tensor.name);
    if (!size)
      size = kept != special.end() ? element_bytes(kept->second)
                                   : plain_bytes(tensor, tensor.plugin ? target : load);
    bytes[tensor.name] = static_cast<double>(tensor.elements()) * *size;
    if (!tensor.tied_to.empty()) out.tied[tensor.name] = tensor.tied_to;
    by_module[module_names.at(tensor.owner)].push_back(std::move(tensor));
  }
  out.root = Outliner(std::move(by_module), std::move(bytes)).outline(model.root(), "", "");
  out.no_split_classes = {model.info().no_split_classes.begin(),
                          model.info().no_split_classes.end()};
  return out;
}

std::vector<std::pair<std::string, double>> bytes_per_device(const ModelOutline& model,
                                                             const DeviceMap& map) {
  std::vector<std::pair<std::string, double>> tensors, out;
  collect(model.root, "", tensors);
  for (const std::string& device : map.devices()) out.emplace_back(device, 0.0);
  for (const auto& [name, bytes] : tensors) {
    if (model.tied.contains(name)) continue;
    const auto device = map.find(name);
    for (auto& [known, sum] : out) {
      if (known == device) sum += bytes;
    }
  }
  return out;
}

}  // namespace quanthost
