// The plugin module as an autograd function: what makes a quantized model trainable around its
// frozen weights.
#pragma once

#include <ATen/core/Tensor.h>

namespace quanthost {

class PluginModule;

at::Tensor forward_with_gradient(PluginModule& module, const at::Tensor& input);

}  // namespace quanthost
