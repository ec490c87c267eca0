// What a plugin's qh_model handle stands for: the tree of modules, the facts transformers knows
// about it, its checkpoint.
#pragma once

#include <quanthost/abi.h>

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/base/json.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "host/load/exec.hpp"
#include "host/load/plugin_module.hpp"
#include "host/load/tensor_bridge.hpp"
#include "host/load/tokenizer_cache.hpp"
#include "host/model/model.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost {

// A parameter or buffer of the model, a plugin's ones included.
struct ModelTensor {
  std::string name;  // full
  qh_dtype dtype;
  std::vector<std::int64_t> shape;
  bool is_buffer = false;
  bool persistent = true;  // false: no checkpoint holds it
  std::string tied_to;     // the first parameter that shares its memory; empty: it is that one
  PluginModule* plugin = nullptr;   // the plugin's module it belongs to, if any
  double plugin_element_bytes = 0;  // what that module says one element takes
  torch::nn::Module* owner = nullptr;

  std::int64_t elements() const;
};

// Of a layer that maps vectors to vectors; zeros: not such a layer.
struct Features {
  std::int64_t in = 0, out = 0;
  std::int64_t stride = 0;  // of a Conv2d
};

// The load thread changes it; other threads may look things up meanwhile.
class ModelContext {
 public:
  // All of these outlive the context; `checkpoint` may be null.
  ModelContext(model::Model& model, Json config, const Checkpoint* checkpoint,
               std::string name_or_path, Execs& execs);

  qh_model* abi() { return reinterpret_cast<qh_model*>(this); }
  static ModelContext& from_abi(qh_model* model) { return *reinterpret_cast<ModelContext*>(model); }

  model::Model& model() { return model_; }
  const model::Model& model() const { return model_; }
  model::Module& root() { return root_; }
  const model::ModelInfo& info() const { return info_; }
  const Json& config() const { return config_; }
  const Checkpoint* checkpoint() const { return checkpoint_; }
  const std::string& name_or_path() const { return name_or_path_; }
  Execs& execs() { return execs_; }
  TokenizerCache& tokenizers() { return tokenizers_; }

  std::vector<model::ModuleEntry> modules();
  std::vector<ModelTensor> tensors();  // in the order of named_parameters, then the buffers
  std::vector<ModelTensor> find_tensor(const std::string& name);  // one or none
  PluginModule* plugin_module(const std::string& name) const;     // null when `name` is none
  std::vector<std::shared_ptr<PluginModule>> plugin_modules()
      const;  // in the order of named_modules

  // Parameters, buffers and quantized state, each shared one once.
  std::uint64_t bytes();

  std::vector<std::string> default_modules_to_not_convert();

  // On success the model owns `state`.
  void replace_module(const std::string& name, const qh_module_class& module_class,
                      qh_module* state);
  void restore_module(const std::string& name, at::Tensor weight, at::Tensor bias);
  at::Tensor get_param(const std::string& name);
  void set_param(const std::string& name, at::Tensor value);

  std::map<std::string, std::string> attributes;  // name -> JSON

  // The name in the checkpoint of a tensor of the model, and the reverse: they differ by the base
  // model's prefix.
  std::function<std::string(const std::string&)> checkpoint_name = [](const std::string& name) {
    return name;
  };

 private:
  struct Replaced {
    std::shared_ptr<PluginModule> module;
    std::string original_class;  // "Linear" or "Conv1D"
    Features features;           // of that
  };

  std::shared_ptr<const ModuleClass> class_of(const qh_module_class& theirs);
  std::vector<ModelTensor> own_tensors(const model::ModuleEntry& module, model::TensorKind kind,
                                       const std::unordered_map<std::string, std::string>& tied);

  model::Model& model_;
  model::Module& root_;
  const model::ModelInfo& info_;
  const Json config_;
  const Checkpoint* checkpoint_;
  const std::string name_or_path_;
  Execs& execs_;
  TokenizerCache tokenizers_;
  mutable std::shared_mutex mutex_;
  std::map<const qh_module_class*, std::shared_ptr<const ModuleClass>> classes_;
  std::unordered_map<std::string, Replaced> replaced_;
};

}  // namespace quanthost
