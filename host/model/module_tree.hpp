// What quantizers and loaders ask of a tree of modules. Works on any torch::nn::Module tree;
// replacing modules and giving parameters values works where the parent or owner is a
// quanthost::model::Module.
#pragma once

#include "host/model/layers.hpp"

namespace quanthost::model {

struct ModuleEntry {
  std::string name;        // full name; empty for the root
  std::string class_name;  // as in Python: "Linear", "LlamaDecoderLayer"
  torch::nn::Module* module = nullptr;
  torch::nn::Module* parent = nullptr;  // null for the root
  bool leaf = false;
};

enum class TensorKind { kParameter, kBuffer };

struct TensorEntry {
  std::string name;  // full name
  at::Tensor tensor;
  TensorKind kind = TensorKind::kParameter;
  torch::nn::Module* owner = nullptr;
  std::string
      tied_to;  // full name of the first tensor that shares its memory; empty for that one itself
  bool persistent = true;  // false: no checkpoint holds it
};

// In the order of transformers' named_modules(): each parent before its children, children as they
// were defined.
std::vector<ModuleEntry> walk_modules(torch::nn::Module& root);

// Parameters in the order of named_parameters(remove_duplicate=False), then the same for buffers.
std::vector<TensorEntry> walk_parameters(torch::nn::Module& root);
std::vector<TensorEntry> walk_buffers(torch::nn::Module& root);

// Null when there is none. The empty name is the root.
torch::nn::Module* find_module(torch::nn::Module& root, const std::string& name);
// Throws kKey, naming the last part of the name that exists.
torch::nn::Module& get_module(torch::nn::Module& root, const std::string& name);
// The module a full tensor or child name belongs to (null: no such module), and the rest of the
// name.
std::pair<torch::nn::Module*, std::string> find_owner(torch::nn::Module& root,
                                                      const std::string& name);

void replace_module(torch::nn::Module& root, const std::string& name,
                    const std::shared_ptr<torch::nn::Module>& replacement);
void set_parameter(torch::nn::Module& root, const std::string& name, at::Tensor value);

// Hooks on a named module. They stay until the handle is destroyed.
HookHandle on_input(torch::nn::Module& root, const std::string& name, InputHook hook);
HookHandle on_output(torch::nn::Module& root, const std::string& name, OutputHook hook);

// Moves all parameters and buffers of `module` and its children; tied parameters stay tied within
// it.
void move_to(torch::nn::Module& module, at::Device device);

}  // namespace quanthost::model
