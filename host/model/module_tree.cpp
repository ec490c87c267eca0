#include "host/model/module_tree.hpp"

#include <map>

#include "host/base/error.hpp"

namespace quanthost::model {
namespace {

std::string joined(const std::string& prefix, const std::string& leaf) {
  return prefix.empty() ? leaf : prefix + "." + leaf;
}

void walk(torch::nn::Module& module, const std::string& name, torch::nn::Module* parent,
          std::vector<ModuleEntry>& entries) {
  const auto children = module.named_children();
  entries.push_back({name, module.name(), &module, parent, children.is_empty()});
  for (const auto& child : children)
    walk(*child.value(), joined(name, child.key()), &module, entries);
}

Module& ours(torch::nn::Module& module, const std::string& name, const char* purpose) {
  if (auto* typed = dynamic_cast<Module*>(&module)) return *typed;
  throw Error(ErrorKind::kType,
              fmt::format("{}: module '{}' of class {} is not a quanthost::model::Module", purpose,
                          name, module.name()),
              "derive it from quanthost::model::Module");
}

std::vector<TensorEntry> walk_tensors(torch::nn::Module& root, TensorKind kind) {
  std::vector<TensorEntry> entries;
  std::map<const void*, std::string>
      first_name;  // of a tensor's memory, or of the tensor while it has none
  for (const ModuleEntry& module : walk_modules(root)) {
    const auto tensors = kind == TensorKind::kParameter ? module.module->named_parameters(false)
                                                        : module.module->named_buffers(false);
    const auto* typed = dynamic_cast<const Module*>(module.module);
    for (const auto& item : tensors) {
      TensorEntry entry{
          joined(module.name, item.key()), item.value(), kind, module.module, {}, true};
      const auto [first, is_first] =
          first_name.try_emplace(entry.tensor.unsafeGetTensorImpl(), entry.name);
      if (!is_first) entry.tied_to = first->second;
      if (kind == TensorKind::kBuffer && typed) entry.persistent = typed->persistent(item.key());
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

}  // namespace

std::vector<ModuleEntry> walk_modules(torch::nn::Module& root) {
  std::vector<ModuleEntry> entries;
  walk(root, "", nullptr, entries);
  return entries;
}

std::vector<TensorEntry> walk_parameters(torch::nn::Module& root) {
  return walk_tensors(root, TensorKind::kParameter);
}

std::vector<TensorEntry> walk_buffers(torch::nn::Module& root) {
  return walk_tensors(root, TensorKind::kBuffer);
}

torch::nn::Module* find_module(torch::nn::Module& root, const std::string& name) {
  torch::nn::Module* module = &root;
  std::size_t begin = 0;
  while (begin < name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const auto children = module->named_children();
    const auto* child = children.find(name.substr(begin, end - begin));
    if (!child) return nullptr;
    module = child->get();
    begin = end + 1;
  }
  return module;
}

torch::nn::Module& get_module(torch::nn::Module& root, const std::string& name) {
  if (torch::nn::Module* module = find_module(root, name)) return *module;
  std::string known = name;
  while (!find_module(root, known)) {
    const std::size_t dot = known.rfind('.');
    known.resize(dot == std::string::npos ? 0 : dot);
  }
  fail(ErrorKind::kKey, "there is no module '{}'; the name exists as far as '{}'", name, known);
}

std::pair<torch::nn::Module*, std::string> find_owner(torch::nn::Module& root,
                                                      const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {&root, name};
  return {find_module(root, name.substr(0, dot)), name.substr(dot + 1)};
}

void replace_module(torch::nn::Module& root, const std::string& name,
                    const std::shared_ptr<torch::nn::Module>& replacement) {
  const auto [owner, leaf] = find_owner(root, name);
  if (!owner) fail(ErrorKind::kKey, "replace_module: there is no module '{}'", name);
  ours(*owner, name.substr(0, name.size() - leaf.size()), "replace_module")
      .replace_child(leaf, replacement);
}

void set_parameter(torch::nn::Module& root, const std::string& name, at::Tensor value) {
  const auto [owner, leaf] = find_owner(root, name);
  if (!owner) fail(ErrorKind::kKey, "set_parameter: no module holds '{}'", name);
  ours(*owner, name, "set_parameter").set_parameter(leaf, std::move(value));
}

HookHandle on_input(torch::nn::Module& root, const std::string& name, InputHook hook) {
  return ours(get_module(root, name), name, "on_input").on_input(std::move(hook));
}

HookHandle on_output(torch::nn::Module& root, const std::string& name, OutputHook hook) {
  return ours(get_module(root, name), name, "on_output").on_output(std::move(hook));
}

void move_to(torch::nn::Module& root, at::Device device) {
  std::map<const void*, at::Tensor> moved;
  for (const TensorEntry& entry : walk_parameters(root)) {
    if (entry.tensor.device() == device) continue;
    at::Tensor& target = moved[entry.tensor.unsafeGetTensorImpl()];
    if (!target.defined()) target = entry.tensor.to(device);
    ours(*entry.owner, entry.name, "move_to")
        .set_parameter(entry.name.substr(entry.name.rfind('.') + 1), target);
  }
  for (TensorEntry& entry : walk_buffers(root)) entry.tensor.set_data(entry.tensor.to(device));
}

}  // namespace quanthost::model
