#include "examples/qlora/lora.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "host/base/error.hpp"
#include "host/load/plugin_module.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::qlora {
namespace {

struct Features {
  std::int64_t in = 0, out = 0;
};

Features features_of(torch::nn::Module& module) {
  if (const auto* quantized = dynamic_cast<const PluginModule*>(&module)) {
    const qh_module_info info = quantized->describe();
    return {info.in_features, info.out_features};
  }
  if (const auto* dense = dynamic_cast<const model::Linear*>(&module))
    return {dense->in_features(), dense->out_features()};
  return {};
}

bool targeted(const std::string& name, const LoraConfig& config) {
  return std::any_of(config.targets.begin(), config.targets.end(), [&](const std::string& target) {
    return name == target || name.ends_with("." + target);
  });
}

}  // namespace

LoraLayer::LoraLayer(std::shared_ptr<model::Layer> base, at::Tensor a, at::Tensor b, double scaling)
    : Layer("LoraLayer"), scaling_(scaling) {
  base_ = add("base_layer", std::move(base));
  register_parameter("lora_A", std::move(a));
  register_parameter("lora_B", std::move(b));
}

at::Tensor LoraLayer::forward(const at::Tensor& input) {
  const at::Tensor change = at::linear(at::linear(input.to(at::kFloat), a()), b()) * scaling_;
  return (*base_)(input) + change.to(input.scalar_type());
}

std::vector<Adapter> add_adapters(torch::nn::Module& root, const LoraConfig& config) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(config.seed);
  std::vector<Adapter> adapters;
  for (const model::ModuleEntry& entry : model::walk_modules(root)) {
    if (!targeted(entry.name, config)) continue;
    const Features features = features_of(*entry.module);
    if (features.in == 0) continue;
    // As PEFT starts them: A uniform within 1/√in, B zero.
    const double bound = 1.0 / std::sqrt(static_cast<double>(features.in));
    const at::Tensor a = at::empty({config.rank, features.in}).uniform_(-bound, bound, random);
    const at::Tensor b = at::zeros({features.out, config.rank});
    auto base = std::dynamic_pointer_cast<model::Layer>(entry.module->shared_from_this());
    auto layer = std::make_shared<LoraLayer>(std::move(base), a, b, config.scaling());
    model::replace_module(root, entry.name, layer);
    adapters.push_back({entry.name, std::move(layer)});
  }
  if (adapters.empty())
    throw Error(ErrorKind::kValue, "no linear layer of the model has a name that adapters go to",
                "name other layers with --targets; `quanthost inspect` lists them");
  return adapters;
}

}  // namespace quanthost::qlora
