#include "host/load/plugin_module_autograd.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include "host/load/plugin_module.hpp"

namespace quanthost {
namespace {

// Keeps the module alive until its backward pass is over.
struct Keeper : torch::CustomClassHolder {
  explicit Keeper(std::shared_ptr<torch::nn::Module> kept) : module(std::move(kept)) {}
  std::shared_ptr<torch::nn::Module> module;
};

class PluginFunction : public torch::autograd::Function<PluginFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            PluginModule* module) {
    context->save_for_backward({input});
    context->saved_data["module"] =
        c10::IValue::make_capsule(c10::make_intrusive<Keeper>(module->shared_from_this()));
    return module->compute(input);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto keeper = context->saved_data["module"].toCapsule();
    auto* module = static_cast<PluginModule*>(static_cast<Keeper&>(*keeper).module.get());
    const at::Tensor input = context->get_saved_variables()[0].contiguous();
    return {module->gradient(grads[0], input), at::Tensor()};
  }
};

}  // namespace

at::Tensor forward_with_gradient(PluginModule& module, const at::Tensor& input) {
  return PluginFunction::apply(input, &module);
}

}  // namespace quanthost
