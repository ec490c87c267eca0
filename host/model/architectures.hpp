// One builder a structure, and the wrapper that puts a head on a backbone.
#pragma once

#include "host/model/model.hpp"

namespace quanthost::model {

std::unique_ptr<Model> build_llama(const ModelConfig& config, const at::TensorOptions& options);
std::unique_ptr<Model> build_gpt_neox(const ModelConfig& config, const at::TensorOptions& options);
std::unique_ptr<Model> build_gpt2(const ModelConfig& config, const at::TensorOptions& options);
std::unique_ptr<Model> build_opt(const ModelConfig& config, const at::TensorOptions& options);
std::unique_ptr<Model> build_bert(const ModelConfig& config, const at::TensorOptions& options);
std::unique_ptr<Model> build_vit(const ModelConfig& config, const at::TensorOptions& options);

// LlamaForCausalLM and its like: the backbone under one name and a head under another.
class WithHead : public Module {
 public:
  WithHead(std::string class_name, const std::string& base_name, std::shared_ptr<Module> base,
           const std::string& head_name, std::shared_ptr<Layer> head)
      : Module(std::move(class_name)) {
    add(base_name, std::move(base));
    head_ = add(head_name, std::move(head));
  }
  Slot<Layer> head() const { return head_; }

 private:
  Slot<Layer> head_;
};

// A module that only holds another one under a name, e.g. OPTModel its decoder.
class Holder : public Module {
 public:
  Holder(std::string class_name, const std::string& child_name, std::shared_ptr<Module> child)
      : Module(std::move(class_name)) {
    add(child_name, std::move(child));
  }
};

}  // namespace quanthost::model
