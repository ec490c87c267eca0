// qh.layers/1: layers in floats through LibTorch.
#include <ATen/ops/conv2d.h>
#include <ATen/ops/layer_norm.h>
#include <quanthost/abi/layers.h>

#include "host/load/abi_strings.hpp"
#include "host/load/model_context.hpp"
#include "host/load/services/services.hpp"
#include "host/load/tensor_bridge.hpp"
#include "host/model/layers.hpp"

namespace quanthost::services {
namespace {

at::Tensor optional_alias(const qh_tensor* view) { return view ? alias(*view) : at::Tensor(); }

// Written where the caller wants it; a shape that is not the caller's would resize its memory.
void give(const at::Tensor& result, const qh_tensor* out, const char* what) {
  at::Tensor to = alias(*out);
  if (to.sizes() != result.sizes() || to.scalar_type() != result.scalar_type())
    fail(ErrorKind::kValue, "{}: the output is {} {}, the result {} {}", what,
         c10::toString(to.scalar_type()), c10::str(to.sizes()), c10::toString(result.scalar_type()),
         c10::str(result.sizes()));
  to.copy_(result);
}

qh_status layer_norm(const qh_exec*, const qh_tensor* x, const qh_tensor* weight,
                     const qh_tensor* bias, double eps, const qh_tensor* out) {
  return guard_call([&] {
    const at::Tensor input = alias(*x);
    if (input.dim() == 0) fail(ErrorKind::kValue, "layer_norm: the input is a scalar");
    give(at::layer_norm(input, {input.size(-1)}, optional_alias(weight), optional_alias(bias), eps),
         out, "layer_norm");
  });
}

qh_status conv2d(const qh_exec*, const qh_tensor* x, const qh_tensor* weight, const qh_tensor* bias,
                 const qh_conv2d* given, const qh_tensor* out) {
  return guard_call([&] {
    const qh_conv2d geometry = copy_sized(given);
    give(at::conv2d(alias(*x), alias(*weight), optional_alias(bias), geometry.stride,
                    geometry.padding, geometry.dilation, geometry.groups),
         out, "conv2d");
  });
}

qh_status describe_conv2d(qh_model* model, qh_str name, qh_conv2d* out) {
  return guard_call([&] {
    const std::string wanted(from_abi(name));
    const auto* conv = dynamic_cast<const model::Conv2d*>(
        &model::get_module(ModelContext::from_abi(model).root(), wanted));
    if (!conv) fail(ErrorKind::kKey, "'{}' is no Conv2d", wanted);
    const at::Tensor& weight = conv->weight();
    const std::int64_t stride = conv->stride();
    write_sized(*out, qh_conv2d{sizeof(qh_conv2d),
                                conv->bias().defined() ? 1u : 0u,
                                weight.size(1),
                                weight.size(0),
                                1,
                                {weight.size(2), weight.size(3)},
                                {stride, stride},
                                {0, 0},
                                {1, 1}});
  });
}

}  // namespace

const qh_layers_api& layers() {
  static const qh_layers_api table{sizeof(qh_layers_api), 0, layer_norm, conv2d, describe_conv2d};
  return table;
}

}  // namespace quanthost::services
