#include "host/load/model_outline.hpp"

#include <algorithm>
#include <cmath>

namespace quanthost {
namespace {

enum class TensorKind { kParameters, kBuffers };

template <typename Visit>
void visit_tensors(const ModuleOutline& module, const std::string& prefix, TensorKind kind,
                   const Visit& visit) {
  for (const TensorOutline& tensor :
       kind == TensorKind::kParameters ? module.parameters : module.buffers) {
    visit(join_name(prefix, tensor.name), tensor.bytes);
  }
  for (const ModuleOutline& child : module.children) {
    visit_tensors(child, join_name(prefix, child.name), kind, visit);
  }
}

template <typename Visit>
void visit_all_tensors(const ModelOutline& model, const Visit& visit) {
  const auto untied = [&](const std::string& name, double bytes) {
    if (!model.tied.contains(name)) visit(name, bytes);
  };
  visit_tensors(model.root, "", TensorKind::kParameters, untied);
  visit_tensors(model.root, "", TensorKind::kBuffers, untied);
}

void largest_no_split(const ModelOutline& model, const std::map<std::string, double>& sizes,
                      const ModuleOutline& module, const std::string& name, double& largest) {
  if (model.no_split_classes.contains(module.class_name)) {
    const auto found = sizes.find(name);
    if (found != sizes.end()) largest = std::max(largest, found->second);
  }
  for (const ModuleOutline& child : module.children) {
    largest_no_split(model, sizes, child, join_name(name, child.name), largest);
  }
}

}  // namespace

std::string join_name(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

std::map<std::string, double> module_sizes(const ModelOutline& model) {
  std::map<std::string, double> sizes;
  sizes[""] = 0;
  visit_all_tensors(model, [&](const std::string& name, double bytes) {
    sizes[""] += bytes;
    for (auto dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      sizes[name.substr(0, dot)] += bytes;
    }
    sizes[name] += bytes;
  });
  return sizes;
}

double mean_leaf_bytes(const ModelOutline& model) {
  std::map<std::string, double> leaves;
  visit_all_tensors(model, [&](const std::string& name, double bytes) {
    const auto dot = name.rfind('.');
    if (dot != std::string::npos) leaves[name.substr(0, dot)] += bytes;
  });
  double sum = 0;
  for (const auto& [name, bytes] : leaves) sum += bytes;
  return std::trunc(sum / static_cast<double>(std::max<std::size_t>(leaves.size(), 1)));
}

double largest_no_split_bytes(const ModelOutline& model,
                              const std::map<std::string, double>& sizes) {
  double largest = 0;
  largest_no_split(model, sizes, model.root, "", largest);
  return largest;
}

}  // namespace quanthost
