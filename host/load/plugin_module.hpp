// A quantized layer of a plugin as a layer of the model: forward, gradient, state and memory behind
// one module class.
#pragma once

#include <quanthost/abi/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/load/exec.hpp"
#include "host/model/layers.hpp"

namespace quanthost {

// A plugin's table, copied as far as both sides know it, with the defaults in place of what it
// leaves out.
struct ModuleClass {
  explicit ModuleClass(
      const qh_module_class& theirs);  // throws kValue when a required function is missing
  const qh_module_class* identity;     // the plugin's own table: its address names the class
  qh_module_class table;
  std::string name;
};

struct PluginParam {
  std::string name;  // within the module
  qh_dtype dtype;
  std::vector<std::int64_t> shape;
  double element_bytes;
  bool is_buffer;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

class PluginModule final : public model::Layer {
 public:
  // Owns `state` from here on.
  PluginModule(std::shared_ptr<const ModuleClass> module_class, qh_module* state,
               std::string full_name, std::shared_ptr<Exec> exec);
  ~PluginModule() override;
  void disown() {
    state_ = nullptr;
  }  // the state goes back to whoever made it; the module is of no more use

  // What `state` needs while it lives, for a module that outlives its quantizer's owner.
  void keep(std::shared_ptr<const void> needed) { needed_ = std::move(needed); }

  at::Tensor forward(const at::Tensor& input) override;
  at::Tensor compute(const at::Tensor& input);  // forward without autograd
  at::Tensor gradient(const at::Tensor& grad_output, const at::Tensor& input);

  const ModuleClass& module_class() const { return *class_; }
  qh_module* state() const { return state_; }
  const std::string& full_name() const { return full_name_; }
  const Exec& exec() const { return *exec_; }

  qh_module_info describe() const;
  std::vector<PluginParam> params() const;
  void set_param(const std::string& name, at::Tensor value);
  at::Tensor get_param(const std::string& name) const;
  NamedTensors state_tensors() const;  // what a checkpoint stores for it
  at::Tensor dequantize(qh_dtype dtype) const;
  qh_module_memory memory() const;
  void prepare();
  void move_to(std::shared_ptr<Exec> exec);

 private:
  at::Tensor empty_output(const at::Tensor& input) const;
  void check(qh_status status, const char* doing) const {
    if (status != QH_OK) [[unlikely]] {
      fail_call(status, doing);
    }
  }
  [[noreturn]] void fail_call(qh_status status, const char* doing) const;

  std::shared_ptr<const void> needed_;
  std::shared_ptr<const ModuleClass> class_;
  qh_module* state_;
  std::string full_name_;
  std::shared_ptr<Exec> exec_;
  std::int64_t out_features_;
};

}  // namespace quanthost
